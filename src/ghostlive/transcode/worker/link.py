"""The worker's end of the connection: one thread reads, all may write."""

import select
import socket
import threading
import time
from typing import Final

from ghostlive.transcode.wire import Decoder, Message, encode

_READ: Final = 1024 * 1024


class LinkClosedError(Exception):
    """The server has gone."""


class Link:
    """Messages from and to the server."""

    def __init__(self, connection: socket.socket) -> None:
        """`connection` is a connected stream socket."""
        self._socket = connection
        self._decoder = Decoder()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._writing = threading.Lock()

    def send(self, message: Message) -> None:
        """Send from any thread, waiting while the server takes nothing. Raises `LinkClosedError`."""
        data = encode(message)
        try:
            with self._writing:
                self._socket.sendall(data)
        except OSError as error:
            raise LinkClosedError from error

    def receive(self, until: float) -> tuple[list[Message], float]:
        """What has come by the moment `until` (`time.monotonic`), and when it came; nothing when nothing came.

        Raises `LinkClosedError` at the end, `WireError` for nonsense.
        """
        if not self._poll.poll(max(0.0, 1000 * (until - time.monotonic()))):
            return [], 0.0
        try:
            data = self._socket.recv(_READ)
        except OSError as error:
            raise LinkClosedError from error
        if not data:
            raise LinkClosedError
        now = time.monotonic()
        return self._decoder.feed(data), now
