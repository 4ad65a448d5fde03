"""What the homeserver says to us (Application Service API): transactions of events, questions for names, ping.

A transaction is answered with 200 only when all of it is stored, and comes again unchanged, under the same id, until it
is. So `Transactions.transaction` has to know an id again that it has dealt with; here those that were answered lately
are known already, and one that comes again while it is being dealt with waits for that. One at a time, in their order.

An ASGI application for `/_matrix/app/…` and the older paths without that prefix ("Legacy routes"). The homeserver shows
its token in the `Authorization` header; in the query, where logs would see it, none is looked for.
"""

import asyncio
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import unquote

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from ghostlive.chat.errors import BusyError
from ghostlive.chat.matrix.events import RoomEvent, read_events

_log = structlog.get_logger("matrix")

_PATH: Final = re.compile(
    r"(?:/_matrix/app/(?:v1|unstable))?/(transactions|users|rooms|ping|thirdparty)(?:/(.*))?", re.DOTALL
)
_PREFIX: Final = "/_matrix/app/"
_OLD: Final = re.compile(r"/(?:transactions/[^/]+|users/@[^/]+|rooms/[#!][^/]+)")
_TRANSACTION: Final = 32 * 1024 * 1024
"""Bytes of a transaction: a hundred events of 64 KiB, whatever their escapes, and what else it may have in it."""
_BODY: Final = 64 * 1024
"""Bytes of any other body."""
_ID: Final = 128
"""Characters of a transaction's id."""
_KNOWN: Final = 256
"""Transactions that are remembered here."""
_WITHIN: Final = 60.0
"""Seconds in which a body has to arrive."""


class Transactions(Protocol):
    """Who takes events."""

    async def transaction(self, txn_id: str, events: Sequence[RoomEvent]) -> None:
        """Store what follows from these events, once: the same id may come again, also after our restart.

        The id (at most 255 characters) is the homeserver's, made unique over all its lives.

        When it returns, all is stored. When it raises, the homeserver sends the transaction again.
        """


class Lazy(Protocol):
    """Who makes rooms and users when somebody asks for them."""

    async def alias_wanted(self, alias: str) -> bool:
        """Have the room of that alias made; whether there is one now."""

    async def user_wanted(self, mxid: str) -> bool:
        """Have the ghost of that Matrix ID made; whether there is one now."""


class Receiver:
    """The application. One for each homeserver."""

    def __init__(self, *, hs_token: str, transactions: Transactions, lazy: Lazy) -> None:
        """`hs_token` is what the homeserver has to say."""
        self._token = hs_token.encode()
        self._transactions = transactions
        self._lazy = lazy
        self._turn = asyncio.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._warned = False

    def handles(self, path: str, query: bytes = b"") -> bool:
        """Whether a request is for this application. `path` is decoded."""
        return path.startswith(_PREFIX) or _OLD.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        try:
            status, body = await self._answer(scope, receive)
        except _RefusedError as refusal:
            status, body = refusal.status, {"errcode": refusal.errcode, "error": refusal.text}
        data = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Mapping[str, Any]]:
        self._check(scope)
        # The raw path: an alias may have `/` and `%` in it, which the decoded one cannot tell from ours.
        raw = scope.get("raw_path") or scope["path"].encode()
        found = _PATH.fullmatch(raw.partition(b"?")[0].decode("latin-1"))
        if found is None:
            raise _RefusedError(404, "M_UNRECOGNIZED", "there is nothing here")
        what, name, method = found[1], unquote(found[2] or ""), scope["method"]
        match what, method:
            case "transactions", "PUT":
                if not name or len(name) > _ID:
                    raise _RefusedError(400, "M_INVALID_PARAM", "no transaction has such an id")
                await self._take(name, await _read(receive, _TRANSACTION))
                return 200, {}
            case "rooms", "GET":
                known = await self._lazy.alias_wanted(name)
            case "users", "GET":
                known = await self._lazy.user_wanted(name)
            case "ping", "POST":
                await _read(receive, _BODY)
                return 200, {}
            case (("transactions" | "rooms" | "users" | "ping"), _):
                raise _RefusedError(405, "M_UNRECOGNIZED", f"{method} is not for this")
            case _:
                raise _RefusedError(404, "M_UNRECOGNIZED", "there are no third parties here")
        if not known:
            raise _RefusedError(404, "M_NOT_FOUND", "there is no such stream or person")
        return 200, {}

    def _check(self, scope: Scope) -> None:
        """Raise unless it is the homeserver who asks."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = given.partition(b" ")
        if kind.lower() != b"bearer" or not token:
            raise _RefusedError(401, "M_UNAUTHORIZED", "the homeserver's token is missing (Authorization: Bearer)")
        if not secrets.compare_digest(token.strip(), self._token):
            if not self._warned:
                self._warned = True
                _log.warning(
                    "a homeserver came with another token than the one it was registered with",
                    hint="write the registration file again and restart the homeserver",
                )
            raise _RefusedError(403, "M_FORBIDDEN", "this is not the token of the registration")

    async def _take(self, txn_id: str, body: bytes) -> None:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, "M_NOT_JSON", "the transaction is no JSON") from error
        if not isinstance(document, dict) or not isinstance(document.get("events"), list):
            raise _RefusedError(400, "M_BAD_JSON", "the transaction has no list of events")
        async with self._turn:
            events = read_events(document["events"])
            key = _key(txn_id, events)
            if key in self._known:
                return
            try:
                await self._transactions.transaction(key, events)
            except Exception as error:
                # Whatever it was, the homeserver keeps the transaction, and everything behind it, and comes again.
                text = "a transaction of the homeserver could not be taken"
                if isinstance(error, BusyError | OSError | SQLAlchemyError):  # a locked database, most likely
                    _log.warning(text, txn=txn_id, error=str(error))
                else:
                    _log.error(text, txn=txn_id, exc_info=error)
                raise _RefusedError(500, "M_UNKNOWN", "not stored; send it again") from error
            self._known[key] = None
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)


def _key(txn_id: str, events: Sequence[RoomEvent]) -> str:
    """What tells a transaction from all others: a homeserver whose data was lost counts from 1 again.

    What else stands in a transaction may differ when it comes again (how old an event is).
    """
    return f"{txn_id}.{sha256(' '.join(event.event_id for event in events).encode()).hexdigest()[:16]}"


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, errcode: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.errcode = errcode
        self.text = text


async def _read(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_WITHIN):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _RefusedError(400, "M_UNKNOWN", "the request broke off")
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise _RefusedError(413, "M_TOO_LARGE", f"at most {most} bytes are read")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        raise _RefusedError(408, "M_UNKNOWN", "the request did not arrive in time") from error
