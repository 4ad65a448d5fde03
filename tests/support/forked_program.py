"""Ghost Live for tests that end it many times: forked from a process that has imported everything already.

`ghostlive serve` takes a second to start, nearly all of it for importing. Here that is paid once; what runs is the
same. As a program (`python -m tests.support.forked_program DATA`) this starts a server for each line on standard input,
and writes the process id when it has forked and a line when that process has ended.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import Program, get, wait_for


class ForkedProgram:
    """Starts and kills servers on the data of a `Program` that is not running itself."""

    def __init__(self, program: Program) -> None:
        """`program` says where the data, the ports and the settings are."""
        self.program = program
        self._pid = 0
        with (program.data / "test.log").open("ab") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forked_program", str(program.data)],
                env=program.environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def start(self) -> None:
        """Start a server and wait until it answers."""
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(b"start\n")
        self._nursery.stdin.flush()
        self._pid = int(self._answer())
        wait_for("the server", lambda: get(f"{self.program.url}/healthz").status_code == 200)

    def kill(self) -> None:
        """kill -9."""
        os.kill(self._pid, signal.SIGKILL)
        self._pid = 0
        assert self._answer() == b"ended\n"

    def close(self) -> None:
        """End everything."""
        if self._pid:
            self.kill()
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.stdout.close()
        self._nursery.wait(10)

    def _answer(self) -> bytes:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline()


@contextmanager
def forked(program: Program) -> Iterator[ForkedProgram]:
    """Servers that are gone afterwards, whatever happens."""
    servers = ForkedProgram(program)
    try:
        yield servers
    finally:
        servers.close()


def main(data: Path) -> None:
    """Fork a server for each line."""
    from ghostlive.app.config import load_config
    from ghostlive.app.logging import setup_logging
    from ghostlive.app.server import run
    from ghostlive.web import rest  # noqa: F401  # else each would import it anew

    config = load_config(data)
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            os.dup2(2, 1)
            setup_logging(config.log)
            run(config, data)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        os.waitpid(pid, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
