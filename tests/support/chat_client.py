"""A viewer of the chat as a page is one: it says hello, keeps its token, knows how far it has come, and comes back.

Speaks `docs/reference/chat.md` over the synchronous client of the `websockets` library.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATIENCE = 60.0
"""Seconds to wait for anything."""

Json = dict[str, Any]


def chat_url(http_url: str, stream: str) -> str:
    """The chat of a stream on a server, from the server's `http://…`."""
    return f"ws{http_url.removeprefix('http')}/api/v1/streams/{stream}/chat"


class ChatPage:
    """What a page with the chat shows, and what it keeps for coming back."""

    def __init__(self, token: str | None = None) -> None:
        """Nothing was received yet; `token` makes a guest the same guest."""
        self.token = token
        self.you: Json | None = None
        self.seq: int | None = None
        self.messages: list[Json] = []
        """What the page shows, in order; deleted ones are taken out."""
        self.shown: list[int] = []
        """The id of every message that was ever put on the page: no id may be there twice."""
        self.resets = 0
        """How often the page had to forget what it had."""
        self.events: list[Json] = []
        """Everything else that arrived, as it came."""
        self.acks: dict[str, int] = {}
        """Message ids by transaction."""

    def hello(self) -> Json:
        """The first message of a connection."""
        hello: Json = {"type": "hello"}
        if self.token is not None:
            hello["token"] = self.token
        if self.seq is not None:
            hello["since"] = self.seq
        return hello

    def take_in(self, message: Json) -> None:
        """Do what a page does with a message of the server."""
        kind = message["type"]
        if kind == "welcome":
            self.you = message["you"]
            if message["reset"]:
                self.resets += 1
                self.messages.clear()
                self.shown.clear()
            self._show(message["messages"])
            self._remove(message["deleted"])
            self.seq = message["seq"]
        elif kind == "joined":
            self.you = message["you"]
            self.token = message.get("token", self.token)
        elif kind == "message":
            self._show([message["message"]])
            self.seq = message["seq"]
        elif kind == "deleted":
            self._remove(message["ids"])
            self.seq = message["seq"]
        elif kind == "ack":
            self.acks[message["txn"]] = message["id"]
        else:
            self.events.append(message)

    def _show(self, messages: list[Json]) -> None:
        self.messages += messages
        self.shown += [message["id"] for message in messages]

    def _remove(self, ids: list[int]) -> None:
        self.messages = [message for message in self.messages if message["id"] not in ids]

    @property
    def texts(self) -> list[str]:
        """The texts on the page."""
        return [message["text"] for message in self.messages]


class ChatClient(ChatPage):
    """One page with the chat open. What it has seen survives `reconnect`, as it does in a browser."""

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, token: str | None = None) -> None:
        """Nothing is opened yet; `open` or `with` does that."""
        super().__init__(token)
        self._url = url
        self._headers = dict(headers or {})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self) -> Json:
        """Open the socket and say hello; the welcome."""
        self.close()
        self._socket = self._stack.enter_context(
            connect(
                self._url,
                additional_headers=self._headers,
                open_timeout=PATIENCE,
                ping_timeout=None,  # a busy machine is no reason to hang up
                max_size=None,
                max_queue=None,  # else what nobody asked for would keep it from seeing the close frame
                proxy=None,
            )
        )
        self.send(**self.hello())
        return self.until("welcome")

    def close(self) -> None:
        """Leave."""
        self._stack.close()

    def send(self, **message: Any) -> None:
        """Send a message of the protocol."""
        self.send_raw(json.dumps(message))

    def send_raw(self, data: str | bytes) -> None:
        """Send whatever."""
        self._socket.send(data)

    def join(self, name: str) -> Json:
        """Take a name."""
        self.send(type="join", name=name)
        return self.until("joined")

    def post(self, text: str, txn: str, **more: Any) -> int:
        """Say something and wait until it is stored, and on the page; its id."""
        self.send(type="post", txn=txn, text=text, **more)
        self.wait(lambda: self.acks.get(txn) in self.shown, f"the ack of {txn} and the message")
        return self.acks[txn]

    def until(self, kind: str) -> Json:
        """Read until something of this type comes; errors in between fail."""
        end = time.monotonic() + PATIENCE
        while True:
            message = self.receive(end - time.monotonic())
            if message["type"] == kind:
                return message
            assert message["type"] != "error", f"while waiting for {kind}: {message}"

    def error(self) -> Json:
        """Read until an error comes."""
        return self.until_any("error")

    def until_any(self, *kinds: str) -> Json:
        """Read until something of one of these types comes."""
        end = time.monotonic() + PATIENCE
        while True:
            message = self.receive(end - time.monotonic())
            if message["type"] in kinds:
                return message

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Read until the page is as wanted."""
        end = time.monotonic() + PATIENCE
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {what}"
            try:
                message = self.receive(left)
            except TimeoutError:
                raise AssertionError(f"waited in vain for {what}") from None
            assert message["type"] != "error", f"while waiting for {what}: {message}"

    def wait_shown(self, number: int) -> None:
        """Read until so many messages were put on the page."""
        self.wait(lambda: len(self.shown) == number, f"{number} messages")

    def closed(self) -> tuple[int, str]:
        """Read until the server closes; its code and reason."""
        try:
            end = time.monotonic() + PATIENCE
            while True:
                self.receive(end - time.monotonic())
        except ConnectionClosed as error:
            return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")

    def receive(self, timeout: float) -> Json:
        """The next message, as the page takes it in. Raises TimeoutError, and ConnectionClosed."""
        message: Json = json.loads(self._socket.recv(max(0.001, timeout)))
        self.take_in(message)
        return message


@contextmanager
def guest(url: str, name: str) -> Iterator[ChatClient]:
    """A guest with a name."""
    with ChatClient(url) as client:
        client.join(name)
        yield client
