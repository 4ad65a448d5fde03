"""`python -m ghostlive.transcode.worker DESCRIPTOR MEMORY [NAME]`: a worker that talks through an inherited socket.

MEMORY is in bytes; NAME only stands in the process list.
"""

import os
import signal
import socket
import sys
import threading
import traceback


def main(arguments: list[str]) -> None:
    """Run until the server closes the connection."""
    try:
        descriptor, memory = int(arguments[0]), int(arguments[1])
        connection = socket.socket(fileno=descriptor)
    except (IndexError, ValueError, OSError) as error:
        sys.exit(f"{__doc__}\nIt is started by ghostlive serve: {error}")
    # The server ends its workers; a key pressed in its terminal is not for them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.excepthook = _give_up

    # Limits hold before FFmpeg is loaded.
    from ghostlive.transcode.worker.confine import confine  # noqa: PLC0415

    missing = confine(memory)

    from ghostlive.transcode.wire import Notice  # noqa: PLC0415
    from ghostlive.transcode.worker.link import Link  # noqa: PLC0415
    from ghostlive.transcode.worker.loop import Loop  # noqa: PLC0415

    link = Link(connection)
    for what in missing:
        link.send(Notice(0, f"this system does not allow {what}"))
    Loop(link).run()
    # Encoders may be at work in threads; there is nothing left that they could spoil.
    sys.stderr.flush()
    os._exit(0)


def _give_up(failure: threading.ExceptHookArgs) -> None:
    """A rendition's thread met what it does not know: better a new process than one without that thread."""
    traceback.print_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
