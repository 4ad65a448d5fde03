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
restart only for requests with a `device_id`. Rooms, people and what is pushed are in `fake_matrix`.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import unquote

import httpx
from tests.support.fake_matrix import FakeMatrix
from tests.support.fake_rooms import Content, FakeEvent, FakeRoom, RejectionError

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


class FakeHomeserver(FakeMatrix):
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
        """See `FakeMatrix`."""
        super().__init__(
            server_name=server_name,
            room_version=room_version,
            hs_token=hs_token,
            sender_localpart=sender_localpart,
            users=users,
            aliases=aliases,
        )
        self.as_token = as_token
        self.appservice_id = appservice_id
        self.url = "http://homeserver.test"
        self.transport = httpx.MockTransport(self._handle)
        self.devices: dict[str, set[str]] = {}
        self.seen: list[Seen] = []
        """Every request that was carried out or refused, oldest first."""
        self.dead = False
        """Nobody listens at the homeserver's address."""
        self._faults: list[Fault] = []
        self._memory: dict[tuple[str, str], Content] = {}
        """Answers by path and transaction id: what a restart forgets."""
        self._stored: dict[tuple[str, str, str, str], str] = {}
        """Event ids by room, user, device and transaction id: what a restart keeps."""

    def requests(self, method: str = "", path: str = "") -> list[Seen]:
        """Requests that came, by method and a regular expression for the path."""
        return [one for one in self.seen if method in ("", one.method) and re.search(path, one.path)]

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

    # Requests

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
