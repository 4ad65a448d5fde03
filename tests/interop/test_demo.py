"""The demo as a newcomer meets it: in a terminal, with a test picture that makes room for their own."""

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.encoder import Picture, publishing
from tests.support.program import Program, command, wait_for

pytestmark = pytest.mark.interop


class Terminal:
    """What a program printed on its terminal, and the keyboard."""

    def __init__(self, keyboard: int) -> None:
        self.screen = ""
        self._keyboard = keyboard

    def press_enter(self) -> None:
        os.write(self._keyboard, b"\n")

    def read(self) -> None:
        """Until the program has ended."""
        while True:
            try:
                text = os.read(self._keyboard, 65536)
            except OSError:  # Linux says so when the last program has closed the terminal.
                return
            self.screen += text.decode(errors="replace")


@contextmanager
def demo(program: Program) -> Iterator[tuple[Terminal, "subprocess.Popen[bytes]"]]:
    """`ghostlive demo` in a terminal of its own."""
    keyboard, screen = pty.openpty()
    environment = program.environ()
    process = subprocess.Popen(
        [command(), "demo", "--data", str(program.data)], env=environment, stdin=screen, stdout=screen, stderr=screen
    )
    os.close(screen)
    terminal = Terminal(keyboard)
    reader = threading.Thread(target=terminal.read)
    reader.start()
    try:
        yield terminal, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        os.close(keyboard)


def test_enter_stops_the_test_picture_and_the_printed_key_is_for_ones_own(tmp_path: Path) -> None:
    program = Program(tmp_path / "data")
    with demo(program) as (terminal, process):
        # Requests are answered before there is such a stream.
        wait_for("the test picture", lambda: program.stream("demo").get("state") == "live", 60)
        assert program.stream("demo")["tracks"][0]["width"] == 1280
        found = wait_for("the key", lambda: re.search(r"gl_[a-z2-7]{32}", terminal.screen))
        assert f"rtmp://localhost:{program.rtmp_port}/app" in terminal.screen
        assert f"http://localhost:{program.http_port}/demo" in terminal.screen
        terminal.press_enter()
        wait_for("the end of the test picture", lambda: program.stream("demo")["state"] == "offline")
        with publishing(f"{program.rtmp}/{found.group()}", Picture(width=320, height=180)):
            wait_for("my own picture", lambda: program.stream("demo")["state"] == "live")
            assert program.stream("demo")["tracks"][0]["width"] == 320
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in terminal.screen
