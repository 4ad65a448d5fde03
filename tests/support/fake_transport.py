"""An asyncio transport without a socket: a test looks at what was written, and plays the kernel."""

import asyncio
from collections.abc import Iterable
from typing import Any


class FakeTransport(asyncio.Transport):
    """Records what its protocol does. Nothing leaves by itself while `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.stuck = False
        self.buffered = 0
        self.reading = True
        self.eof_written = False
        self.aborted = False
        self.closed = False
        self.protocol: Any = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol

    def write(self, data: Any) -> None:
        assert not self.eof_written, "written after the end"
        self.written += data
        if self.stuck:
            self.buffered += len(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        assert not self.eof_written
        self.eof_written = True

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        """The peer takes what waits, and the connection ends."""
        self.lose()

    def abort(self) -> None:
        self.aborted = True
        self.lose()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is over."""
        if not self.closed:
            self.closed = True
            self.protocol.connection_lost(error)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data
