"""A homeserver in memory, behind httpx's transport: what an application service sees of Synapse, without a process.

    homeserver = FakeHomeserver()
    client = MatrixClient(url=homeserver.url, token=homeserver.as_token, …, transport=homeserver.transport)
    homeserver.connect(receiver)                    # an ASGI application: gets transactions and queries
    alice = homeserver.user("alice")                # an ordinary person in some Matrix client
    await alice.join("#live_demo:chat.test")        # asks the receiver when nobody knows the alias
    await alice.say(room_id, "hello")
    await homeserver.push()                         # deliver what waits, here and now …
    async with homeserver.pushing():                # … or by itself, as soon as there is something
        await homeserver.idle()                     # until all of it is acknowledged

Faults are switched on where a test wants them, and no test has to sleep for one:

    homeserver.dead = True                          # nobody listens (`ConnectError`)
    homeserver.fail(503, times=3, path="/send/")    # the next three are answered like this
    homeserver.limit(retry_after_ms=200)            # 429
    homeserver.lose_answers(path="/send/")          # done, but the answer never comes (`ReadTimeout`)
    gate = homeserver.hold("/join"); …; gate.set()  # slow: waits until the test lets it go on
    homeserver.restart()                            # forgets what Synapse keeps in memory only: transaction ids

As in Synapse: a transaction id counts per path **and application service** (not per ghost), and is remembered over a
restart only for requests with a `device_id`; a failed `createRoom` keeps its alias.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import quote, unquote

import httpx
from tests.support.fake_rooms import Content, FakeEvent, FakeRoom, RejectionError, create_power, hashed_id

_MOST_PUSHED: Final = 100
"""Events in one transaction, as Synapse has it."""
_JSON: Final = {"content-type": "application/json"}


@dataclass(slots=True)
class Fault:
    """What the next matching requests meet."""

    path: re.Pattern[str]
    times: int
    status: int = 0
    body: Content | None = None
    gate: asyncio.Event | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came, as tests look at it."""

    method: str
    path: str
    user: str
    body: Content
    status: int


class FakeUser:
    """An ordinary person with an ordinary client; every method raises `RejectionError` when the homeserver refuses."""

    def __init__(self, homeserver: "FakeHomeserver", mxid: str) -> None:
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


class FakeHomeserver:
    """See the top of this file."""

    def __init__(
        self,
        *,
        server_name: str = "chat.test",
        room_version: str = "12",
        as_token: str = "as-token",
        hs_token: str = "hs-token",
        appservice_id: str = "ghostlive",
        sender_localpart: str = "_ghostlive",
        users: str = "_ghostlive_",
        aliases: str = "live_",
    ) -> None:
        """`users` and `aliases` are what localparts in the (exclusive) namespaces begin with."""
        self.server_name = server_name
        self.room_version = room_version
        self.as_token = as_token
        self.hs_token = hs_token
        self.appservice_id = appservice_id
        self.bot = f"@{sender_localpart}:{server_name}"
        self.url = "http://homeserver.test"
        self.transport = httpx.MockTransport(self._handle)
        self.rooms: dict[str, FakeRoom] = {}
        self.aliases: dict[str, str] = {}
        self.registered: set[str] = {self.bot}
        self.profiles: dict[str, Content] = {}
        self.devices: dict[str, set[str]] = {}
        self.media: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.seen: list[Seen] = []
        """Every request that was carried out or refused, oldest first."""
        self.dead = False
        """Nobody listens at the homeserver's address."""
        self.now_ms = 1_800_000_000_000
        """The homeserver's clock; one millisecond passes with each event."""
        self.wall: Callable[[], float] | None = None
        """Its clock when a test gives it one (seconds since 1970): of its events, and of its answers' dates."""
        self.pushed: list[tuple[str, list[Content]]] = []
        """Transactions that were acknowledged, oldest first."""
        self._users = f"@{users}"
        self._aliases = f"#{aliases}"
        self._faults: list[Fault] = []
        self._receiver: httpx.AsyncClient | None = None
        self._waiting: deque[Content] = deque()
        self._in_flight: tuple[str, list[Content]] | None = None
        self._pushes = 0
        self._news = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._memory: dict[tuple[str, str], Content] = {}
        """Answers by path and transaction id: what a restart forgets."""
        self._stored: dict[tuple[str, str, str, str], str] = {}
        """Event ids by room, user, device and transaction id: what a restart keeps."""
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

    def requests(self, method: str = "", path: str = "") -> list[Seen]:
        """Requests that came, by method and a regular expression for the path."""
        return [one for one in self.seen if method in ("", one.method) and re.search(path, one.path)]

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

    # Faults

    def fail(
        self, status: int, *, times: int = 1, path: str = "", errcode: str = "M_UNKNOWN", text: str = "", **more: Any
    ) -> None:
        """Answer the next matching requests with an error; `path` is a regular expression."""
        body = {"errcode": errcode, "error": text or f"made to fail with {status}", **more}
        self._faults.append(Fault(re.compile(path), times, status, body))

    def limit(self, *, retry_after_ms: int = 100, times: int = 1, path: str = "") -> None:
        """Answer the next matching requests with 429."""
        self.fail(429, times=times, path=path, errcode="M_LIMIT_EXCEEDED", retry_after_ms=retry_after_ms)

    def skip(self, times: int, *, path: str = "") -> None:
        """Let matching requests pass before faults that are switched on later count."""
        if times:
            self._faults.append(Fault(re.compile(path), times))

    def lose_answers(self, *, times: int = 1, path: str = "") -> None:
        """Carry out the next matching requests but never answer them."""
        self._faults.append(Fault(re.compile(path), times, lost=True))

    def hold(self, path: str = "", *, times: int = 1_000_000) -> asyncio.Event:
        """Let matching requests wait until the event that is returned is set."""
        gate = asyncio.Event()
        self._faults.append(Fault(re.compile(path), times, gate=gate))
        return gate

    def restart(self) -> None:
        """Forget what a homeserver keeps in memory only."""
        self._memory.clear()

    def heal(self) -> None:
        """No faults any more; what is held goes on."""
        self.dead = False
        for fault in self._faults:
            if fault.gate is not None:
                fault.gate.set()
        self._faults.clear()

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

    # HTTP

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        fault = self._take_fault(path)
        if self.dead:
            raise httpx.ConnectError("nobody listens", request=request)
        if fault is not None and fault.gate is not None:
            await fault.gate.wait()
            if self.dead:
                raise httpx.ReadError("connection lost", request=request)
        user = ""
        body: Content = {}
        try:
            if fault is not None and fault.status:
                raise _MadeError(fault.status, fault.body or {})
            user = self._authenticate(request)
            body = json.loads(request.content) if request.content and _is_json(request) else {}
            answer = await self._route(request, path, user, body)
        except RejectionError as error:
            answer = httpx.Response(error.status, json=error.body)
        except _MadeError as made:
            answer = httpx.Response(made.status, json=made.body)
        if self.wall is not None:
            answer.headers["date"] = formatdate(self.wall(), usegmt=True)
        self.seen.append(Seen(request.method, path, user, body, answer.status_code))
        if fault is not None and fault.lost:
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return answer

    def _take_fault(self, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.path.search(path):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def _authenticate(self, request: httpx.Request) -> str:
        if request.url.path == "/_matrix/client/versions":
            return ""
        if request.headers.get("authorization") != f"Bearer {self.as_token}":
            raise RejectionError(401, "M_UNKNOWN_TOKEN", "Unrecognised access token.")
        user: str = request.url.params.get("user_id", self.bot)
        if not self._is_ours(user):
            raise RejectionError(403, "M_FORBIDDEN", "Application service cannot masquerade as this user.")
        if user not in self.registered:
            raise RejectionError(403, "M_FORBIDDEN", "Application service has not registered this user")
        device = request.url.params.get("device_id")
        if device is not None and device not in self.devices.get(user, set()):
            raise RejectionError(400, "M_UNKNOWN_DEVICE", "Application service specified an unknown device")
        return user

    async def _route(self, request: httpx.Request, path: str, user: str, body: Content) -> httpx.Response:
        parts = [unquote(part) for part in path.removeprefix("/_matrix/").split("/")]
        query = request.url.params
        ts = int(query["ts"]) if "ts" in query else None
        match request.method, parts:
            case "GET", ["client", "versions"]:
                return _ok({"versions": ["v1.11", "v1.13", "v1.17"], "unstable_features": {}})
            case "GET", ["client", "v3", "capabilities"]:
                versions = {"default": self.room_version, "available": {"11": "stable", "12": "stable"}}
                return _ok({"capabilities": {"m.room_versions": versions}})
            case "GET", ["client", "v3", "account", "whoami"]:
                return _ok({"user_id": user, "is_guest": False})
            case "POST", ["client", "v3", "register"]:
                return self._register(body)
            case ("PUT", ["client", "v3", "profile", whose, field]) if whose == user:
                self.profiles.setdefault(user, {})[field] = body[field]
                return _ok({})
            case "GET", ["client", "v3", "profile", whose]:
                return _ok(self.profiles.get(whose, {}))
            case "POST", ["client", "v3", "createRoom"]:
                return _ok({"room_id": self.make_room(user, body).id})
            case method, ["client", "v3", "directory", "room", alias]:
                return await self._directory(method, alias, body)
            case "GET", ["client", "v3", "joined_rooms"]:
                return _ok({"joined_rooms": [r.id for r in self.rooms.values() if r.membership(user) == "join"]})
            case "POST", ["client", "v3", "join", target]:
                room = await self.resolve(target)
                self.set_membership(room, user, user, "join")
                return _ok({"room_id": room.id})
            case "POST", ["client", "v1", "appservice", appservice_id, "ping"]:
                return await self._ping(appservice_id, body)
            case "GET", ["client", "v1", "rooms", room_id, "hierarchy"]:
                return _ok({"rooms": list(self._hierarchy(self._joined(room_id, user)))})
            case "GET", ["client", "v1", "media", "download" | "thumbnail", server, media_id, *_]:
                return self._media(server, media_id)
            case "POST", ["media", "v3", "upload"]:
                self._ids += 1
                kind = str(request.headers.get("content-type", "application/octet-stream"))
                return _ok({"content_uri": self.add_media(f"upload{self._ids}", request.content, kind)})
            case method, ["client", "v3", "rooms", room_id, *rest]:
                caller = _Caller(user, query.get("device_id", ""), path, whole=query.get("format") == "event")
                return self._in_room(caller, self.room(room_id), [method, *rest], body, ts)
        raise RejectionError(404, "M_UNRECOGNIZED", f"Unrecognized request {request.method} {path}")

    def _in_room(
        self, caller: "_Caller", room: FakeRoom, request: list[str], body: Content, ts: int | None
    ) -> httpx.Response:
        user = caller.user
        reason = str(body.get("reason", ""))
        match request:
            case ["PUT", "send", kind, txn]:
                return self._once(caller, room, txn, lambda: self.add(room, kind, user, body, ts=ts, txn=txn))
            case ["PUT", "redact", event_id, txn]:
                return self._once(caller, room, txn, lambda: self.redact(room, user, event_id, reason, txn))
            case ["PUT", "state", "m.room.canonical_alias", *_] if self.aliases.get(
                body.get("alias", "")
            ) != room.id and body.get("alias"):
                raise RejectionError(400, "M_BAD_ALIAS", f"Room alias {body['alias']} does not point to the room")
            case ["PUT", "state", kind, *key]:
                event = self.add(room, kind, user, body, state_key="/".join(key), ts=ts)
                return _ok({"event_id": event.event_id})
            case ["GET", "state"]:
                self._was_in(room.id, user)
                return _ok([event.wire() for event in room.state.values()])
            case ["GET", "state", kind, *key]:
                self._was_in(room.id, user)
                found = room.state.get((kind, "/".join(key)))
                if found is None:
                    raise RejectionError(404, "M_NOT_FOUND", "Event not found.")
                return _ok(found.wire() if caller.whole else found.content)
            case ["GET", "joined_members"]:
                self._joined(room.id, user)
                joined = {one: room.content("m.room.member", one) for one in room.members()}
                return _ok({"joined": {one: {"display_name": c.get("displayname")} for one, c in joined.items()}})
            case ["GET", "members"]:
                self._joined(room.id, user)
                return _ok({"chunk": [e.wire() for (kind, _), e in room.state.items() if kind == "m.room.member"]})
            case ["GET", "messages"]:
                self._joined(room.id, user)
                return _ok({"start": "0", "chunk": [event.wire() for event in reversed(room.timeline)]})
            case ["GET", "event", event_id]:
                self._joined(room.id, user)
                found = room.events.get(event_id)
                if found is None:
                    raise RejectionError(404, "M_NOT_FOUND", "Event not found.")
                return _ok(found.wire())
            case ["GET", "aliases"]:
                return _ok({"aliases": [alias for alias, target in self.aliases.items() if target == room.id]})
            case ["POST", "join"]:
                self.set_membership(room, user, user, "join")
                return _ok({"room_id": room.id})
            case ["POST", "leave"]:
                self.set_membership(room, user, user, "leave", reason)
                return _ok({})
            case ["POST", ("invite" | "kick" | "ban" | "unban") as act]:
                if act == "unban" and room.membership(body["user_id"]) != "ban":
                    raise RejectionError(403, "M_BAD_STATE", "Cannot unban user who was not banned")
                after = {"invite": "invite", "kick": "leave", "ban": "ban", "unban": "leave"}[act]
                self.set_membership(room, user, body["user_id"], after, reason)
                return _ok({})
        raise RejectionError(404, "M_UNRECOGNIZED", f"Unrecognized request {request[0]} {caller.path}")

    def _once(self, caller: "_Caller", room: FakeRoom, txn: str, act: Callable[[], FakeEvent]) -> httpx.Response:
        """Synapse's two memories of transaction ids (`rest/client/transactions.py`, `event_txn_id_device_id`)."""
        if (caller.path, txn) in self._memory:
            return _ok(self._memory[caller.path, txn])
        key = (room.id, caller.user, caller.device, txn)
        event_id = self._stored.get(key) if caller.device else None
        if event_id is None:
            event_id = act().event_id
            if caller.device:
                self._stored[key] = event_id
        self._memory[caller.path, txn] = {"event_id": event_id}
        return _ok({"event_id": event_id})

    def _register(self, body: Content) -> httpx.Response:
        mxid = f"@{body['username']}:{self.server_name}"
        if body.get("type") != "m.login.application_service":
            raise RejectionError(403, "M_FORBIDDEN", "Registration has been disabled.")
        if not self._is_ours(mxid):
            raise RejectionError(400, "M_EXCLUSIVE", "Invalid user localpart for this application service.")
        if mxid in self.registered:
            raise RejectionError(400, "M_USER_IN_USE", "User ID already taken.")
        self.registered.add(mxid)
        if body.get("inhibit_login"):
            return _ok({"user_id": mxid})
        device = body.get("device_id") or f"DEVICE{len(self.registered)}"
        self.devices.setdefault(mxid, set()).add(device)
        return _ok({"user_id": mxid, "device_id": device, "access_token": "not-used"})

    async def _directory(self, method: str, alias: str, body: Content) -> httpx.Response:
        if method == "GET":
            room = await self.resolve(alias)
            return _ok({"room_id": room.id, "servers": [self.server_name]})
        if method == "PUT":
            if not alias.endswith(f":{self.server_name}"):
                raise RejectionError(400, "M_INVALID_PARAM", "Room alias must be local")
            if alias in self.aliases:
                raise RejectionError(409, "M_UNKNOWN", f"Room alias {alias} already exists")
            self.aliases[alias] = self.room(body["room_id"]).id
        elif self.aliases.pop(alias, None) is None:
            raise RejectionError(404, "M_NOT_FOUND", f"Room alias {alias} not found")
        return _ok({})

    async def _ping(self, appservice_id: str, body: Content) -> httpx.Response:
        if appservice_id != self.appservice_id:
            raise RejectionError(403, "M_FORBIDDEN", "Mismatching application service ID in path")
        if self._receiver is None:
            raise RejectionError(502, "M_CONNECTION_FAILED", "ConnectionRefusedError")
        sent = {"transaction_id": body.get("transaction_id")}
        answer = await self._receiver.post("/_matrix/app/v1/ping", json=sent, headers=self._credentials())
        if answer.status_code != 200:
            text = f"HTTP {answer.status_code}"
            raise RejectionError(502, "M_BAD_STATUS", text, status=answer.status_code, body=answer.text)
        self._news.set()
        return _ok({"duration_ms": 1})

    def _hierarchy(self, space: FakeRoom) -> Iterator[Content]:
        children = [
            event.wire()
            for (kind, _), event in space.state.items()
            if kind == "m.space.child" and event.content.get("via")
        ]
        yield {"room_id": space.id, "room_type": "m.space", "children_state": children}
        for child in children:
            room = self.rooms.get(child["state_key"])
            if room is not None:
                yield {"room_id": room.id, "name": room.content("m.room.name").get("name"), "children_state": []}

    def _was_in(self, room_id: str, user: str) -> None:
        """State can be read by who left, too: as it was then, of which this keeps no more than that they left."""
        room = self.rooms.get(room_id)
        if room is None or room.membership(user) not in ("leave", "ban") or ("m.room.member", user) not in room.state:
            self._joined(room_id, user)

    def _joined(self, room_id: str, user: str) -> FakeRoom:
        room = self.room(room_id)
        if room.membership(user) != "join":
            raise RejectionError(403, "M_FORBIDDEN", f"User {user} not in room {room_id}")
        return room

    def _media(self, server: str, media_id: str) -> httpx.Response:
        found = self.media.get((server, media_id))
        if found is None:
            raise RejectionError(404, "M_NOT_FOUND", "Not found")
        kind, data = found
        return httpx.Response(200, content=data, headers={"content-type": kind})


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks, and for which path."""

    user: str
    device: str
    path: str
    whole: bool
    """They want whole state events, not only the content."""


class _MadeError(Exception):
    """A fault's answer."""

    def __init__(self, status: int, body: Content) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def _ok(body: Any) -> httpx.Response:
    return httpx.Response(200, content=json.dumps(body), headers=_JSON)


def _is_json(request: httpx.Request) -> bool:
    kind: str = request.headers.get("content-type", "")
    return kind.startswith("application/json")
