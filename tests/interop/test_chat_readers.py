"""Five hundred pages that never read: the others do not wait for them, and the server does not keep them."""

import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.chat_client import PATIENCE, ChatPage, chat_url, guest
from tests.support.program import running

pytestmark = pytest.mark.interop

SILENT = 500
MESSAGES = 200
"""Of 7 kB each: what waits for one viewer (64 KiB), and what the kernel takes before that."""
SETTINGS = {
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
    "GHOSTLIVE_CHAT__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__WAITING_BYTES": "65536",
    "GHOSTLIVE_CHAT__MESSAGE_LENGTH": "7000",
    "GHOSTLIVE_LOG__LEVEL": "info",
    # Where messages come slowly, the kernel would drop them before the server does.
    "GHOSTLIVE_HTTP__STALL_TIMEOUT": "600",
}
HELLO = b"\x81\x90\0\0\0\0" + b'{"type":"hello"}'
PING = b"\x81\x8f\0\0\0\0" + b'{"type":"ping"}'


def silent(url: str) -> socket.socket:
    """A socket that opens the chat with as little room as it can have, and then does nothing."""
    parts = urlsplit(url)
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    opened.settimeout(PATIENCE)
    opened.connect((parts.hostname, parts.port))
    opened.sendall(
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += opened.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    opened.sendall(HELLO)
    return opened


@pytest.mark.limit(240)
def test_five_hundred_sockets_that_never_read(tmp_path: Path) -> None:
    with running(tmp_path / "data", SETTINGS) as program:
        program.add_stream("silent")
        url = chat_url(program.url, "silent")
        stuck = [silent(url) for _ in range(SILENT)]
        try:
            with guest(url, "Ann") as ann, guest(url, "Bob") as bob:
                ann.wait(lambda: _people(ann) == SILENT + 2, "everybody to be here")
                for opened in stuck:
                    opened.sendall(PING)  # else those that were opened first might be put out because they are silent
                slowest = 0.0
                for number in range(1, MESSAGES + 1):
                    bob.send(type="ping")
                    begin = time.monotonic()
                    ann.post("x" * 7000, f"t{number}")
                    bob.wait_shown(number)
                    slowest = max(slowest, time.monotonic() - begin)
                assert slowest < 3.0, "who waits for one of them waits for minutes"
                ann.wait(lambda: _people(ann) == 2, "those to go who do not read")
                ann.post("alone at last", "last")
                bob.wait_shown(MESSAGES + 1)
                assert bob.texts == ann.texts
            for opened in stuck:
                _make_room(opened)
            for opened in stuck:
                assert _is_over(opened)
            assert "reason='too slow to read'" in program.log
        finally:
            for opened in stuck:
                opened.close()


def _people(page: ChatPage) -> int:
    events = page.events
    counts = [event["people"] for event in events if event["type"] == "count"]
    return counts[-1] if counts else 0


def _make_room(opened: socket.socket) -> None:
    # With hardly any, what the kernel kept would come in crumbs, at the pace of its probes.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    # Who reads tells the other side of it, and what is left is on its way: so for all of them at a time.
    with suppress(ConnectionResetError):
        opened.recv(65536)


def _is_over(opened: socket.socket) -> bool:
    try:
        while opened.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True
