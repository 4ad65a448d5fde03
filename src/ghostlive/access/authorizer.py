"""The one place that says who may do what, with one log line for each decision about a publisher.

Publishing asks the database each time, so a key that another process revokes is refused at once. That a stream exists
is remembered for half a second, since every playlist of every viewer asks.
"""

from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.access.keys import hash_secret
from ghostlive.access.limits import Seldom
from ghostlive.core.clock import Clock, SystemClock
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role

_log = structlog.get_logger("access")

BANNED: Final = "You were banned from watching this stream."
_REMEMBER = 0.5  # seconds
_REMEMBER_NAMES = 4096  # strangers choose the names they ask for
_REFUSAL_EVERY = 1.0  # seconds


class Authorizer:
    """Decides on every request. Holds no lock and no connection between two."""

    def __init__(self, streams: StreamRepository, clock: Clock | None = None) -> None:
        """`streams` knows streams and keys."""
        self._streams = streams
        self._clock = clock or SystemClock()
        self._known: dict[str, tuple[float, bool]] = {}
        self._refusals: dict[tuple[Action, Verdict], Seldom] = {}
        self.banned: Callable[[str, str, str | None], bool] = lambda _stream, _address, _browser: False
        """Whether somebody was banned from watching: stream, address, and the cookie of `access.browser`. The chat,
        which knows, is made later."""

    async def decide(self, request: AccessRequest) -> Decision:
        """Answer `request`. Never raises because of what is in it."""
        match request.action:
            case Action.PUBLISH:
                decision = await self._publish(request)
            case Action.PLAY | Action.CHAT:
                decision = await self._play(request)
            case Action.MODERATE | Action.MANAGE | Action.CREATE:
                decision = await self._staff(request)
        self._tell(request, decision)
        return decision

    def _tell(self, request: AccessRequest, decision: Decision) -> None:
        # Viewers come by the thousand and one by one mean little; publishers and refusals are what one looks for.
        log = _log.info
        more: dict[str, int | str] = {}
        if request.action is not Action.PUBLISH:
            if decision.allowed:
                log = _log.debug
            elif (unsaid := self._seldom(request.action, decision.verdict).due()) is None:
                return
            elif unsaid:
                more = {"unsaid": unsaid}
        if request.user is not None:
            more["user"] = request.user.name
        log(
            request.action.value,
            verdict=decision.verdict.value,
            stream=decision.stream or request.stream,
            protocol=request.protocol,
            address=request.address,
            **more,
        )

    def _seldom(self, action: Action, verdict: Verdict) -> Seldom:
        """Being refused costs a viewer nothing, so that they could fill the log; one kind must not hide another."""
        return self._refusals.setdefault((action, verdict), Seldom(self._clock, every=_REFUSAL_EVERY))

    async def _publish(self, request: AccessRequest) -> Decision:
        if not request.key:
            return Decision(
                Verdict.KEY_MISSING,
                reason="No stream key was given. Put the key of your stream into the encoder's Stream Key field.",
            )
        key = await self._streams.find_key(hash_secret(request.key))
        if key is None:
            return Decision(
                Verdict.KEY_UNKNOWN,
                reason="This stream key is not known here. Copy the whole key again, or have a new one made "
                "(ghostlive key rotate).",
            )
        if not key.active:
            return Decision(
                Verdict.KEY_UNKNOWN,
                reason="This stream key was revoked. Ask whoever runs this server for the new one.",
            )
        if request.stream is not None and request.stream != key.stream:
            return Decision(
                Verdict.KEY_OF_OTHER_STREAM,
                reason=f"This stream key does not belong to the stream {request.stream[:64]!r}. Use that stream's own "
                "key, or leave the stream's name out of the address.",
            )
        try:
            await self._streams.touch_key(key.id)
        except SQLAlchemyError as error:
            # Somebody holds the database for long; a date is no reason to keep a publisher out.
            _log.warning("the use of a key was not noted", stream=key.stream, reason=str(error))
        return Decision(Verdict.ALLOWED, key.stream)

    async def _play(self, request: AccessRequest) -> Decision:
        if request.stream is not None and await self._exists(request.stream):
            if request.action is Action.PLAY and self.banned(request.stream, request.address, request.browser):
                return Decision(Verdict.BANNED, reason=BANNED)
            return Decision(Verdict.ALLOWED, request.stream)
        return Decision(Verdict.STREAM_UNKNOWN, reason="There is no stream of that name.")

    async def _staff(self, request: AccessRequest) -> Decision:
        user = request.user
        if user is None:
            return Decision(Verdict.SIGN_IN_NEEDED, reason="Sign in first.")
        owner_id = None
        if request.action is not Action.CREATE:
            record = await self._streams.get(request.stream or "")
            if record is None:
                return Decision(Verdict.STREAM_UNKNOWN, reason="There is no stream of that name.")
            owner_id = record.owner_id
        match user.role:
            case Role.OWNER | Role.ADMIN:
                allowed = True
            case Role.STREAMER:
                allowed = request.action is Action.CREATE or owner_id == user.id
            case Role.MODERATOR:
                allowed = request.action is Action.MODERATE
        if not allowed:
            return Decision(
                Verdict.ROLE_TOO_LOW,
                reason="Your account may not do that. Ask the owner of this server for the right to.",
            )
        return Decision(Verdict.ALLOWED, request.stream)

    async def _exists(self, name: str) -> bool:
        now = self._clock.now()
        if (known := self._known.get(name)) is not None and now < known[0]:
            return known[1]
        exists = await self._streams.get(name) is not None
        if len(self._known) >= _REMEMBER_NAMES:
            self._known.clear()
        self._known[name] = (now + _REMEMBER, exists)
        return exists
