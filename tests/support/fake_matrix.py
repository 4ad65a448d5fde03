"""What a homeserver in memory has and does by itself: rooms, people, aliases, files, and what it pushes to its
application service. `fake_homeserver` puts the Client-Server API over it, and is what tests begin with.

Rules and redactions are those of `fake_rooms`. As in Synapse, a failed `createRoom` keeps its alias.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx
from tests.support.fake_rooms import Content, FakeEvent, FakeRoom, RejectionError, create_power, hashed_id

_MOST_PUSHED: Final = 100
"""Events in one transaction, as Synapse has it."""


class FakeUser:
    """An ordinary person with an ordinary client; every method raises `RejectionError` when the homeserver refuses."""

    def __init__(self, homeserver: "FakeMatrix", mxid: str) -> None:
        self.mxid = mxid
        self._hs = homeserver

    async def join(self, room_or_alias: str) -> str:
        """Join; the room's id."""
        room = await self._hs.resolve(room_or_alias)
        self._hs.set_membership(room, self.mxid, self.mxid, "join")
        return room.id

    async def send(self, room_id: str, kind: str, content: Content, *, ts: int | None = None) -> str:
        """Send any message event; its id."""
        return self._hs.add(self._hs.room(room_id), kind, self.mxid, content, ts=ts).event_id

    async def say(self, room_id: str, text: str) -> str:
        """Send a text; its id."""
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text})

    async def set_state(self, room_id: str, kind: str, content: Content, key: str = "") -> str:
        """Send a state event; its id."""
        return self._hs.add(self._hs.room(room_id), kind, self.mxid, content, state_key=key).event_id

    async def redact(self, room_id: str, event_id: str, reason: str = "") -> str:
        """Redact; the redaction's id."""
        return self._hs.redact(self._hs.room(room_id), self.mxid, event_id, reason).event_id

    async def leave(self, room_id: str) -> None:
        """Leave."""
        self._hs.set_membership(self._hs.room(room_id), self.mxid, self.mxid, "leave")

    async def invite(self, room_id: str, user: str) -> None:
        """Invite."""
        self._hs.set_membership(self._hs.room(room_id), self.mxid, user, "invite")

    async def kick(self, room_id: str, user: str, reason: str = "") -> None:
        """Kick."""
        self._hs.set_membership(self._hs.room(room_id), self.mxid, user, "leave", reason)

    async def ban(self, room_id: str, user: str, reason: str = "") -> None:
        """Ban."""
        self._hs.set_membership(self._hs.room(room_id), self.mxid, user, "ban", reason)

    async def unban(self, room_id: str, user: str) -> None:
        """Lift a ban."""
        self._hs.set_membership(self._hs.room(room_id), self.mxid, user, "leave")

    async def set_power(self, room_id: str, user: str, level: int | None) -> None:
        """Give a level, or with None the default one."""
        content = dict(self._hs.room(room_id).content("m.room.power_levels"))
        users = {key: value for key, value in content.get("users", {}).items() if key != user}
        content["users"] = users if level is None else users | {user: level}
        await self.set_state(room_id, "m.room.power_levels", content)

    async def upgrade(self, room_id: str, version: str = "12") -> str:
        """Upgrade a room as Element does; the new room's id. Aliases move; nobody else is in the new room yet."""
        old = self._hs.room(room_id)
        new = self._hs.make_room(self.mxid, {"room_version": version, "preset": "public_chat"}, predecessor=room_id)
        body = {"body": "This room has been replaced", "replacement_room": new.id}
        self._hs.add(old, "m.room.tombstone", self.mxid, body, state_key="")
        for alias, target in list(self._hs.aliases.items()):
            if target == room_id:
                self._hs.aliases[alias] = new.id
        return new.id


class FakeMatrix:
    """See the top of this file."""

    def __init__(
        self, *, server_name: str, room_version: str, hs_token: str, sender_localpart: str, users: str, aliases: str
    ) -> None:
        """`users` and `aliases` are what localparts in the (exclusive) namespaces begin with."""
        self.server_name = server_name
        self.room_version = room_version
        self.hs_token = hs_token
        self.bot = f"@{sender_localpart}:{server_name}"
        self.rooms: dict[str, FakeRoom] = {}
        self.aliases: dict[str, str] = {}
        self.registered: set[str] = {self.bot}
        self.profiles: dict[str, Content] = {}
        self.media: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.now_ms = 1_800_000_000_000
        """The homeserver's clock; one millisecond passes with each event."""
        self.wall: Callable[[], float] | None = None
        """Its clock when a test gives it one (seconds since 1970): of its events, and of its answers' dates."""
        self.pushed: list[tuple[str, list[Content]]] = []
        """Transactions that were acknowledged, oldest first."""
        self._users = f"@{users}"
        self._aliases = f"#{aliases}"
        self._receiver: httpx.AsyncClient | None = None
        self._waiting: deque[Content] = deque()
        self._in_flight: tuple[str, list[Content]] | None = None
        self._pushes = 0
        self._news = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._ids = 0

    # For tests

    def user(self, localpart: str, server: str = "") -> FakeUser:
        """A person, here or on another server."""
        mxid = f"@{localpart}:{server or self.server_name}"
        self.registered.add(mxid)
        return FakeUser(self, mxid)

    def room(self, room_id: str) -> FakeRoom:
        """The room of that id; raises `RejectionError` when there is none."""
        room = self.rooms.get(room_id)
        if room is None:
            raise RejectionError(404, "M_NOT_FOUND", f"unknown room {room_id}")
        return room

    def room_at(self, alias: str) -> FakeRoom:
        """The room to which an alias points."""
        return self.room(self.aliases[alias])

    def add_media(self, media_id: str, data: bytes, content_type: str, server: str = "") -> str:
        """Have a picture or file; its `mxc:` address."""
        server = server or self.server_name
        self.media[server, media_id] = (content_type, data)
        return f"mxc://{server}/{media_id}"

    def crowd(self, room_id: str, count: int, server: str = "elsewhere.test") -> None:
        """Let many people be in a room; the application service hears of each."""
        room = self.room(room_id)
        for number in range(count):
            mxid = f"@person{number}:{server}"
            self.set_membership(room, mxid, mxid, "join")

    # Transactions

    def connect(self, receiver: Any) -> None:
        """Push to this ASGI application, and ask it for unknown aliases and users."""
        transport = httpx.ASGITransport(app=receiver, raise_app_exceptions=False)
        self._receiver = httpx.AsyncClient(transport=transport, base_url="http://receiver.test")

    async def push(self) -> int:
        """Deliver what waits until all of it is acknowledged or one transaction is not; how many events were taken.

        A transaction that was not acknowledged comes again unchanged, under the same id, with the next call.
        """
        taken = 0
        while self._in_flight is not None or self._waiting:
            if self._in_flight is None:
                events = [self._waiting.popleft() for _ in range(min(_MOST_PUSHED, len(self._waiting)))]
                self._pushes += 1
                self._in_flight = (str(self._pushes), events)
            txn_id, events = self._in_flight
            if not await self.transact(txn_id, events):
                return taken
            self._in_flight = None
            self.pushed.append((txn_id, events))
            taken += len(events)
        self._quiet.set()
        return taken

    async def transact(self, txn_id: str, events: list[Content]) -> bool:
        """Push one transaction; whether it was answered with 200. Tests repeat and reorder with it."""
        if self._receiver is None:
            return False
        path = f"/_matrix/app/v1/transactions/{txn_id}"
        try:
            answer = await self._receiver.put(path, json={"events": events}, headers=self._credentials())
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    @asynccontextmanager
    async def pushing(self) -> AsyncIterator[None]:
        """Deliver by itself. After a failure it waits for the next event or ping, instead of Synapse's back-off."""
        task = asyncio.create_task(self._push_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def idle(self) -> None:
        """Until nothing waits to be pushed."""
        await self._quiet.wait()

    async def _push_on(self) -> None:
        while True:
            self._news.clear()
            await self.push()
            await self._news.wait()

    def _credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.hs_token}"}

    def _tell(self, room: FakeRoom, event: FakeEvent) -> None:
        """Queue an event for the application service if it is interested (spec "Application Service API", Pushing)."""
        about = event.state_key is not None and event.type == "m.room.member" and self._is_ours(event.state_key)
        ours = about or self._is_ours(event.sender) or room.membership(self.bot) == "join"
        if (
            ours
            or any(map(self._is_ours, room.members()))
            or any(a.startswith(self._aliases) and r == room.id for a, r in self.aliases.items())
        ):
            self._waiting.append(json.loads(json.dumps(event.wire())))
            self._quiet.clear()
            self._news.set()

    def _is_ours(self, user: str) -> bool:
        return user == self.bot or (user.startswith(self._users) and user.endswith(f":{self.server_name}"))

    # What happens in rooms

    def add(
        self,
        room: FakeRoom,
        kind: str,
        sender: str,
        content: Content,
        *,
        state_key: str | None = None,
        ts: int | None = None,
        redacts: str | None = None,
        txn: str | None = None,
    ) -> FakeEvent:
        """Authorize an event and put it into a room."""
        self.now_ms = self.now_ms + 1 if self.wall is None else int(self.wall() * 1000)
        self._ids += 1
        event_id = hashed_id("$", room.id, self._ids)
        stamp = self.now_ms if ts is None else ts
        event = FakeEvent(
            event_id, room.id, kind, sender, json.loads(json.dumps(content)), stamp, state_key, redacts, txn=txn
        )
        room.authorize(event)
        if state_key is not None:
            same = room.state.get((kind, state_key))
            if same is not None and same.content == event.content and same.sender == sender:
                return same
        room.append(event)
        self._tell(room, event)
        return event

    def force(self, room: FakeRoom, kind: str, sender: str, content: Content, *, state_key: str) -> None:
        """State against all rules, as an administrator of the homeserver makes it with tools of their own."""
        self._ids += 1
        event_id = hashed_id("$", room.id, self._ids)
        event = FakeEvent(event_id, room.id, kind, sender, content, self.now_ms, state_key)
        room.append(event)
        self._tell(room, event)

    def redact(self, room: FakeRoom, sender: str, event_id: str, reason: str, txn: str | None = None) -> FakeEvent:
        """Redact an event; `redacts` stands in the content too."""
        if event_id not in room.events:
            raise RejectionError(404, "M_NOT_FOUND", "Could not find event")
        content = {"redacts": event_id, **({"reason": reason} if reason else {})}
        return self.add(room, "m.room.redaction", sender, content, redacts=event_id, txn=txn)

    def set_membership(
        self, room: FakeRoom, sender: str, user: str, membership: str, reason: str = "", **more: Any
    ) -> FakeEvent:
        """Join, invite, leave, kick, ban, unban."""
        content: Content = {"membership": membership, **({"reason": reason} if reason else {}), **more}
        if membership in ("join", "invite"):
            content = {**self.profiles.get(user, {}), **content}
        return self.add(room, "m.room.member", sender, content, state_key=user)

    async def resolve(self, room_or_alias: str) -> FakeRoom:
        """The room, created by the application service when it is asked for an alias of its namespace."""
        if room_or_alias.startswith("#"):
            if room_or_alias not in self.aliases:
                await self._query("rooms", room_or_alias)
            if room_or_alias not in self.aliases:
                raise RejectionError(404, "M_NOT_FOUND", f"Room alias {room_or_alias} not found")
            room_or_alias = self.aliases[room_or_alias]
        return self.room(room_or_alias)

    async def query_user(self, mxid: str) -> bool:
        """Ask the application service for a user of its namespace; whether it knows them."""
        return await self._query("users", mxid)

    async def _query(self, what: str, name: str) -> bool:
        begins = self._aliases if what == "rooms" else self._users
        if self._receiver is None or not name.startswith(begins) or not name.endswith(f":{self.server_name}"):
            return False
        path = f"/_matrix/app/v1/{what}/{quote(name, safe='')}"
        answer = await self._receiver.get(path, headers=self._credentials())
        return answer.status_code == 200

    def make_room(self, creator: str, body: Content, predecessor: str = "") -> FakeRoom:
        """`createRoom` (spec "Creation"), in the order in which Synapse does it, failures included."""
        version = str(body.get("room_version", self.room_version))
        self._ids += 1
        hashed = not version.isdecimal() or int(version) >= 12
        room_id = hashed_id("!", "room", self._ids) if hashed else f"!room{self._ids}:{self.server_name}"
        room = FakeRoom(room_id, version)
        alias = ""
        if body.get("room_alias_name"):
            alias = f"#{body['room_alias_name']}:{self.server_name}"
            if alias in self.aliases:
                raise RejectionError(400, "M_ROOM_IN_USE", "Room alias already taken")
            # Synapse does this before the room exists, and does not undo it: the failed call keeps the alias.
            self.aliases[alias] = room_id
        content = {**body.get("creation_content", {}), "room_version": version}
        if not hashed and int(version) < 11:
            content["creator"] = creator
        if predecessor:
            content["predecessor"] = {"room_id": predecessor}
        levels = create_power(hashed, creator, body.get("power_level_content_override"))
        if hashed and creator in levels["users"]:
            raise RejectionError(400, "M_UNKNOWN", f"Creator user {creator} must not appear in content.users")
        self.rooms[room_id] = room
        public = body.get("preset") == "public_chat" or body.get("visibility") == "public"
        self.add(room, "m.room.create", creator, content, state_key="")
        self.set_membership(room, creator, creator, "join")
        self.add(room, "m.room.power_levels", creator, levels, state_key="")
        if alias:
            self.add(room, "m.room.canonical_alias", creator, {"alias": alias}, state_key="")
        state: dict[tuple[str, str], Content] = {
            ("m.room.join_rules", ""): {"join_rule": "public" if public else "invite"},
            ("m.room.history_visibility", ""): {"history_visibility": "shared"},
            ("m.room.guest_access", ""): {"guest_access": "forbidden" if public else "can_join"},
        }
        for one in body.get("initial_state", []):
            state[one["type"], one.get("state_key", "")] = one["content"]
        for name in ("name", "topic"):
            if name in body:
                state[f"m.room.{name}", ""] = {name: body[name]}
        for (kind, key), value in state.items():
            self.add(room, kind, creator, value, state_key=key)
        for user in body.get("invite", []):
            self.set_membership(room, creator, user, "invite")
        return room
