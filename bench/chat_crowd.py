"""A crowd that talks in one chat as people do in a lively one: what `bench.chat_page` lets pour into a page.

Guests with a socket each write at an even rate with a burst every ten seconds: short and long lines, links, answers,
mentions, emoji, `/me`; meanwhile they react to what was said last, and change and take back some of it. What they do
follows from a seed, so that each run says the same.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

GUESTS: Final = 20
BURST: Final = 20
"""Messages at once."""
BURST_EVERY: Final = 10.0
"""Seconds."""
OTHERS: Final = (("react", 3.0), ("edit", 0.4), ("delete", 0.3))
"""What else is done, and how many times a second."""
_RECENT: Final = 40
_WORDS: Final = (
    "goal", "what", "a", "save", "no", "way", "that", "was", "close", "did", "you", "see", "it", "again", "please",
    "the", "sound", "is", "great", "tonight", "hello", "everybody", "from", "the", "north", "who", "is", "playing",
)  # fmt: skip
_EMOJI: Final = ("👍", "❤️", "😂", "🎉", "👻", "🔥")


@dataclass
class Guest:
    """One of the crowd."""

    socket: ClientConnection
    said: deque[int] = field(default_factory=lambda: deque(maxlen=10))
    """Ids of messages that can still be changed or taken back."""


class Crowd:
    """Guests that are in the chat. `said` counts what they have said so far."""

    def __init__(self, guests: list[Guest], viewer: str) -> None:
        """`viewer` is the name of the person at the page, whom some speak to."""
        self.said = 0
        self._guests = guests
        self._viewer = viewer
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._numbers = count()
        self._random = random.Random(6)

    async def listen(self, guest: Guest) -> None:
        """Note which ids this guest's messages got, for as long as the socket is open."""
        async for text in guest.socket:
            # Everybody is told of everything: of that nothing is of use here.
            if '"ack"' in str(text)[:60] and (stored := json.loads(text)["id"]) is not None:
                guest.said.append(stored)
                self._recent.append(stored)

    async def talk(self, rate: float, seconds: float) -> None:
        """Say `rate` messages a second for so long; every ten seconds some of them come at once."""
        clock = asyncio.get_running_loop().time
        begin = clock()
        spoken = 0
        bursts = 0
        others = dict.fromkeys((kind for kind, _ in OTHERS), 0)
        steady = rate - BURST / BURST_EVERY
        while (passed := clock() - begin) < seconds:
            if passed >= (bursts + 0.5) * BURST_EVERY:
                bursts += 1
                await asyncio.gather(*(self.say() for _ in range(BURST)))
            while spoken < steady * passed:
                spoken += 1
                await self.say()
            for kind, often in OTHERS:
                while others[kind] < often * passed:
                    others[kind] += 1
                    await self._do(kind)
            await asyncio.sleep(0.01)

    async def say(self) -> None:
        """One message of somebody."""
        number = next(self._numbers)
        post: dict[str, Any] = {"type": "post", "txn": f"b{number}", "text": self._words(self._random.randint(1, 12))}
        match self._random.random():
            case kind if kind < 0.15:
                post["text"] = self._words(60)
            case kind if kind < 0.25:
                post["text"] += f" https://example.org/watch/{number}?from=chat and more."
            case kind if kind < 0.37 and self._recent:
                post["reply"] = self._random.choice(self._recent)
            case kind if kind < 0.42:
                post["text"] = f"@{self._viewer} {post['text']}"
            case kind if kind < 0.47:
                post["emote"] = True
            case kind if kind < 0.55:
                post["text"] = self._random.choice(_EMOJI) * self._random.randint(1, 3)
        self.said += 1
        await self._send(self._guests[number % len(self._guests)], post)

    async def _do(self, kind: str) -> None:
        guest = self._random.choice(self._guests)
        if kind == "react":
            if self._recent:
                target, key = self._random.choice(self._recent), self._random.choice(_EMOJI)
                await self._send(guest, {"type": "react", "id": target, "key": key, "on": True})
        elif guest.said:
            target = guest.said.pop()
            if kind == "edit":
                await self._send(guest, {"type": "edit", "id": target, "text": self._words(8)})
            else:
                if target in self._recent:
                    self._recent.remove(target)
                await self._send(guest, {"type": "delete", "id": target})

    async def _send(self, guest: Guest, message: dict[str, Any]) -> None:
        await guest.socket.send(json.dumps(message))

    def _words(self, words: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=words))


@asynccontextmanager
async def crowd(url: str, viewer: str) -> AsyncIterator[Crowd]:
    """A crowd in the chat at `url` (`ws:`), until the end of the block."""
    guests = [Guest(await connect(url, compression=None)) for _ in range(GUESTS)]
    for number, guest in enumerate(guests):
        await guest.socket.send('{"type":"hello"}')
        await guest.socket.send(json.dumps({"type": "join", "name": f"Guest {number}"}))
        while '"joined"' not in str(await guest.socket.recv())[:60]:
            pass
    found = Crowd(guests, viewer)
    listening = [asyncio.ensure_future(found.listen(guest)) for guest in guests]
    try:
        yield found
    finally:
        for guest in guests:
            await guest.socket.close()
        await asyncio.gather(*listening)
