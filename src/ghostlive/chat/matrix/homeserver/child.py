"""The homeserver's process: waits for an earlier one to end, then is Synapse until whoever started it is gone.

`python -m ghostlive.chat.matrix.homeserver.child LOCK SYNAPSE-ARGUMENTS…`; standard input is a pipe whose other end the
starter keeps open. It closes also when the starter is killed, on every Unix, and that is the sign to end. LOCK is a
file that is locked as long as this runs, so that two never have the same database open.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from typing import Final

NICENESS: Final = 5
"""Picture and page go first where both want the processor."""
_GRACE: Final = 10.0
"""Seconds that Synapse has for its end when its starter is gone."""


def _end_with_starter() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """See the module."""
    path, *arguments = sys.argv[1:]
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    threading.Thread(target=_end_with_starter, name="starter", daemon=True).start()
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.nice(NICENESS)
    os.umask(0o077)
    sys.argv = ["synapse", *arguments]
    from synapse.app.homeserver import main as synapse  # noqa: PLC0415 - the extra; a second's import

    synapse()


if __name__ == "__main__":
    main()
