"""Fuzz target: what homeservers and strangers on them send: transactions, events, power levels.

Run with `python -m tests.fuzz.fuzz_matrix [CORPUS…]`; nothing but the documented refusals may escape.
"""

import asyncio
import json
import sys
from collections.abc import Sequence

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.chat.matrix"]):
    from ghostlive.chat.matrix.events import RoomEvent, read_events
    from ghostlive.chat.matrix.power import changed_levels, read_levels
    from ghostlive.chat.matrix.receiver import Receiver

from starlette.types import Message

BOT = "@_ghostlive:chat.test"


class Taker:
    """Takes everything, and looks at it."""

    async def transaction(self, txn_id: str, events: Sequence[RoomEvent]) -> None:
        assert len(txn_id) <= 255
        for event in events:
            assert event.event_id.startswith("$")
            assert event.sender.startswith("@")
            assert isinstance(event.content, dict)
            assert event.membership is not None
            assert event.relates_to is not None
            levels = read_levels(event.content, BOT, event.content)
            levels.lacking(event.sender)
            changed_levels(event.content, {BOT: 50}, {event.sender: 90}, levels.creators)

    async def alias_wanted(self, alias: str) -> bool:
        return False

    async def user_wanted(self, mxid: str) -> bool:
        return False


_RECEIVER = Receiver(hs_token="secret", transactions=Taker(), lazy=Taker())
_LOOP = asyncio.new_event_loop()


def test_one_input(data: bytes) -> None:
    """A request line, and behind a zero the body."""
    target, _, body = data.partition(b"\0")
    method, _, path = target.decode("latin-1").partition(" ")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("latin-1"),
        "headers": [(b"authorization", b"Bearer secret")],
    }
    _LOOP.run_until_complete(_RECEIVER(scope, receive, send))
    assert sent[0]["status"] in (200, 400, 404, 405, 413)
    json.loads(sent[1]["body"])
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    read_events(document)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
