"""The pace of what comes from Matrix: CPU time of this server for each thousand events that its homeserver sends.

A hundred events in a transaction, which is what a homeserver sends when it has many; beside it one event in each. All
of ours is in it, from the request's bytes to the pages' listeners, over a SQLite file; of the homeserver only its
requests. A tenth of the events are answers, a tenth reactions, a twentieth edits, the rest messages of 50 people.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
from tests.support.fake_homeserver import FakeHomeserver

from bench.harness import Report, Row, in_memory, ratio
from ghostlive.access.authorizer import Authorizer
from ghostlive.app.matrixroles import LinkedRoles
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.matrix.bridge import Bridge
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.codes import MatrixSignIn
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.incoming import Incoming
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.chat.service import ChatService
from ghostlive.core.clock import SystemClock
from ghostlive.db.chat import ChatRepository
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import UserRepository
from ghostlive.hub.hub import Hub

MANY: Final = 100
"""Events of a full transaction."""
PEOPLE: Final = 50
LATER: Final = 120
"""Messages that come before somebody answers one: three seconds, at 40 a second."""
AIM: Final = 1000
"""Events for each second of CPU time."""
ALIAS: Final = "#live_demo:chat.test"


class Server:
    """The chat and its bridge, to which a homeserver in memory sends what it is told to."""

    def __init__(self, bridge: Bridge, service: ChatService, homeserver: FakeHomeserver) -> None:
        self._service = service
        self._bridge = bridge
        self._homeserver = homeserver
        self._numbers = count(1)
        self._said: list[str] = []
        transport = httpx.ASGITransport(app=bridge.receiver)
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url="http://live.test",
            headers={"Authorization": f"Bearer {homeserver.hs_token}"},
        )

    async def ready(self) -> None:
        """Until there is a room."""
        while ALIAS not in self._homeserver.aliases or self._bridge.keeper.record("demo") is None:
            await asyncio.sleep(0.01)

    def bodies(self, transactions: int, each: int) -> Iterator[tuple[int, bytes]]:
        """Requests that the homeserver makes; made before the clock runs."""
        room = self._homeserver.room_at(ALIAS).id
        for _ in range(transactions):
            events = [self._event(room, next(self._numbers)) for _ in range(each)]
            yield next(self._numbers), json.dumps({"events": events}).encode()

    def _event(self, room: str, number: int) -> dict[str, Any]:
        event_id, sender = f"$event-{number}", f"@person{number % PEOPLE}:elsewhere.test"
        kind = "m.room.message"
        content: dict[str, Any] = {"msgtype": "m.text", "body": f"message {number} of the evening"}
        match number % 20 if len(self._said) > 2 * LATER else 0:
            case 3 | 13:
                content["m.relates_to"] = {"m.in_reply_to": {"event_id": self._said[-LATER]}}
            case 6 | 16:
                kind = "m.reaction"
                content = {
                    "m.relates_to": {"rel_type": "m.annotation", "event_id": self._said[-LATER], "key": "👍"},
                }
            case 9:
                old = self._said[-LATER]
                sender = f"@person{int(old.partition('-')[2]) % PEOPLE}:elsewhere.test"
                content["m.new_content"] = {"msgtype": "m.text", "body": "better words"}
                content["m.relates_to"] = {"rel_type": "m.replace", "event_id": old}
            case _:
                self._said.append(event_id)
        return {
            "event_id": event_id,
            "room_id": room,
            "type": kind,
            "sender": sender,
            "content": content,
            "origin_server_ts": time.time_ns() // 1_000_000,
        }

    async def take(self, requests: list[tuple[int, bytes]]) -> None:
        """Take them as the homeserver sends them: the next one when one is acknowledged."""
        for number, body in requests:
            answer = await self._http.put(f"/_matrix/app/v1/transactions/{number}", content=body)
            answer.raise_for_status()

    @property
    def stored(self) -> int:
        """Messages from Matrix that are stored."""
        return self._service.stored["matrix"]


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[Server]:
    """All of ours, without its sockets."""
    clock = SystemClock()
    homeserver = FakeHomeserver()
    async with Database(DatabaseConfig(), folder) as database:
        hub = Hub(clock=clock)
        streams, users, chat = StreamRepository(database), UserRepository(database), ChatRepository(database)
        config = ChatConfig(burst=0)
        await streams.add("demo", title="Demo")
        service = ChatService(repository=chat, users=users, hub=hub, clock=clock, config=config, secret=b"s" * 32)
        moderation = Moderation(service, chat=chat, stored=ModerationRepository(database), users=users, clock=clock)
        service.moderation = moderation
        service.journal = MatrixJournal()
        await service.start()
        client = MatrixClient(
            url=homeserver.url,
            token=homeserver.as_token,
            server_name=homeserver.server_name,
            transport=homeserver.transport,
        )
        bridge = Bridge(
            client=client,
            config=MatrixConfig(mode="external", server_name="chat.test", hs_token=homeserver.hs_token),
            service=service,
            database=database,
            records=streams,
            users=users,
            hub=hub,
            clock=clock,
            page_url="http://live.test",
        )
        incoming = Incoming(
            service=service,
            repository=chat,
            people=bridge.repository,
            bot=client.bot,
            server_name="chat.test",
            message_length=config.message_length,
        )
        incoming.way, incoming.actions = bridge.way, moderation.actions
        authorize = Authorizer(streams, clock).decide
        incoming.role = LinkedRoles(links=bridge.repository, users=users, authorize=authorize).role
        incoming.linked = bridge.repository.linked
        sign_in = MatrixSignIn(repository=bridge.repository, clock=clock, now=service.now, secret=b"s" * 32)
        await sign_in.start()
        incoming.heard = sign_in.heard
        service.observe(incoming.observe)
        bridge.incoming = incoming
        homeserver.connect(bridge.receiver)
        task = asyncio.create_task(bridge.run())
        try:
            found = Server(bridge, service, homeserver)
            await found.ready()
            yield found
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await service.stop()


async def measure(folder: Path, events: int, each: int) -> float:
    """Seconds of CPU time for a thousand events, of which so many are in a transaction."""
    async with server(folder) as found:
        await found.take(list(found.bodies(3, MANY)))  # everybody is known, and everything is loaded
        requests = list(found.bodies(max(1, events // each), each))
        before, begin = found.stored, time.process_time()
        await found.take(requests)
        used = time.process_time() - begin
        assert found.stored - before >= 0.7 * events, "messages are missing"
        return used * 1000 / events


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=5000, help="in full transactions (default %(default)d)")
    options = parser.parse_args()
    with in_memory() as folder:
        together = asyncio.run(measure(folder / "together", options.events, MANY))
        alone = asyncio.run(measure(folder / "alone", options.events // 5, 1))
    report = Report("Events from Matrix, CPU seconds for each thousand", "one in each transaction")
    report.add(
        Row(
            f"{MANY} in each transaction",
            f"{together:.2f} s",
            f"{alone:.2f} s",
            ratio(alone, together),
            aim=f"≤ {1000 / AIM:g} s",
            met=together * AIM <= 1000,
        )
    )
    report.show()


if __name__ == "__main__":
    main()
