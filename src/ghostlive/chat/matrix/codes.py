"""Signing in with Matrix, without a password passing us: a one-time code that somebody sends from their Matrix client.

The page, or the studio, asks for a code; the person sends it to the bot, or types it in the chat's room; that their
homeserver says that they sent it is the proof of who they are. It is none of whose browser that is: whoever sees the
code can send it, and an account that was linked to a stranger would make them a moderator of its rooms. So the page
says who has sent the code, and only its yes links the browser (or the account) to that Matrix ID.

Who types it into the page instead is told so, and nobody else sees it (`check_text`).

A code lives ten minutes and counts once; a new one makes the one before void. What is stored is a keyed hash. The other
way round, somebody may be talked into sending a stranger's code; the answer says what that does, and how to undo it.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from ghostlive.access.limits import Throttle, network_of
from ghostlive.access.secret import keyed_hash
from ghostlive.chat.errors import SignInCodeError, TooFastError
from ghostlive.core.clock import Clock
from ghostlive.db.matrix import CodeRecord, MatrixRepository

_log = structlog.get_logger("matrix")

LIFETIME: Final = timedelta(minutes=10)
_ALPHABET: Final = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"
"""Without letters that look like digits or like each other's neighbours; typing I, L, O or U is forgiven."""
_GROUPS, _LENGTH = 2, 5
"""50 bits: with the limits below, nobody finds one that is valid within its ten minutes."""
_PREFIX: Final = "GHOST"
_CODE: Final = re.compile(r"GHOST-?([A-Z0-9]{5})-?([A-Z0-9]{5})", re.ASCII)
_SOMEWHERE: Final = re.compile(
    r"(?:(?<![A-Z0-9])|(?<=GHOST))(?=([A-Z0-9]{5})[\s_-]*([A-Z0-9]{5})(?![A-Z0-9]))", re.ASCII
)
"""What may be a code in a text; its hash says whether it is. What all have in front may be missing: others know it."""
_FORGIVEN: Final = str.maketrans("ILOU", "110V")
_LONGEST: Final = 60
"""Of a message that may be a code."""
_MOST_CLAIMS: Final = 10_000
"""Codes that were sent and wait for a yes; each took somebody a code and a message, and then the oldest is left."""
_UNLINK: Final = frozenset({"!unlink", "unlink"})

_NO_CODE: Final = "That code is not valid (any more). Ask for a new one on the page, and send it within ten minutes."
_SLOWER: Final = "Those were too many codes. Wait a few minutes, then ask for a new one on the page."
_NOTHING: Final = "Nothing is linked to your Matrix ID here."


def is_code(text: str) -> bool:
    """Whether a message is a code, whether or not it is a good one: nobody else has to read it."""
    return _found(text) is not None


def _found(text: str) -> re.Match[str] | None:
    return None if len(text) > _LONGEST else _CODE.fullmatch(text.strip().upper().replace(" ", ""))


@dataclass(frozen=True, slots=True)
class Code:
    """A code that was just made. It exists only here; show it and forget it."""

    text: str = field(repr=False)
    expires_in: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody sent a code; whose it is has not said yet that it was them."""

    mxid: str
    until: datetime


class MatrixSignIn:
    """Links of browsers and accounts to Matrix IDs. `start` before use."""

    def __init__(
        self, *, repository: MatrixRepository, clock: Clock, now: Callable[[], datetime], secret: bytes
    ) -> None:
        """`now` is the time that people read; `secret` keys the hashes of codes."""
        self._repository = repository
        self._now = now
        self._secret = secret
        self._by_subject = Throttle(clock, burst=5, period=30.0)
        self._by_address = Throttle(clock, burst=20, period=10.0)
        self._attempts = Throttle(clock, burst=5, period=30.0)
        self.links: dict[str, str] = {}
        """Matrix IDs by account (`u_…`) or browser (`b_…`)."""
        self._claims: dict[str, _Claim] = {}
        """By account or browser. In memory: after a restart one asks for another code."""
        self._pending: dict[str, CodeRecord] = {}
        """Codes that nobody has sent yet, by their hashes."""
        self.bot = ""
        """The Matrix ID to which codes are sent; empty while there is no homeserver."""
        self.changed: list[Callable[[str], object]] = []
        """Told the account or browser whose link was made or undone."""

    async def start(self) -> None:
        """Read the links. Raises like the database."""
        self.links.clear()
        self.links.update({link.author: link.mxid for link in await self._repository.links()})
        self._pending = {code.code_hash: code for code in await self._repository.codes(now=self._now())}

    async def issue(self, subject: str, address: str) -> Code:
        """A code for an account or a browser; the one before is void. Raises `TooFastError`, and like the database."""
        network = network_of(address)
        wait = max(self._by_subject.wait(subject), self._by_address.wait(network))
        if wait > 0:
            raise TooFastError("Those were too many codes. Try again in a moment.", wait)
        self._by_subject.spend(subject)
        self._by_address.spend(network)
        self._claims.pop(subject, None)
        await self._repository.forget_codes(before=self._now())
        groups = ["".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(_GROUPS)]
        record = CodeRecord(self._hash("".join(groups)), subject, self._now() + LIFETIME)
        await self._repository.add_code(record)
        self._forget(subject)
        self._pending[record.code_hash] = record
        return Code("-".join([_PREFIX, *groups]), LIFETIME.total_seconds())

    async def heard(self, mxid: str, text: str, now: datetime) -> str | None:
        """A user of Matrix wrote something; None when it has nothing to do with codes, else what they are answered.

        Raises like the database.
        """
        if text.strip().lower() in _UNLINK:
            return await self._unlink_all(mxid)
        found = _found(text)
        if found is None:
            return None
        if self._attempts.wait(mxid) > 0:
            return _SLOWER
        self._attempts.spend(mxid)
        subject = await self._repository.redeem_code(self._hash("".join(found.groups()).translate(_FORGIVEN)), now=now)
        if subject is None:
            return _NO_CODE
        self._forget(subject)
        self._attempts.refund(mxid)
        if len(self._claims) >= _MOST_CLAIMS:
            del self._claims[next(iter(self._claims))]
        self._claims[subject] = _Claim(mxid, now + LIFETIME)
        what = "the account" if subject.startswith("u_") else "the browser"
        return (
            f"Now say yes on the page that showed you this code: {what} there is linked to you ({mxid}) then. "
            "If you did not ask for that code yourself, write !unlink to me."
        )

    def check_text(self, text: str) -> None:
        """Somebody wants to say that on a page, where all would read it.

        Raises `SignInCodeError` for a code that can be used, whosever it is, and not for what only looks like one.
        """
        if not self._pending:
            return
        for found in _SOMEWHERE.finditer(text.upper()):
            code = self._pending.get(self._hash("".join(found.groups()).translate(_FORGIVEN)))
            if code is not None and code.expires_at > self._now():
                where = f"to {self.bot}, or in the room of this chat," if self.bot else "in the room of this chat,"
                raise SignInCodeError(
                    "There is a code in it by which somebody signs in, so nobody was shown this. "
                    f"Send the code {where} with your Matrix client, and only if you asked for it yourself."
                )

    def claim(self, subject: str) -> str | None:
        """The Matrix ID that sent the code of an account or browser, as long as that has not said whether it was it."""
        claim = self._claims.get(subject)
        if claim is None or claim.until <= self._now():
            self._claims.pop(subject, None)
            return None
        return claim.mxid

    async def confirm(self, subject: str, mxid: str) -> bool:
        """Who asked for the code says that `mxid`, which sent it, is them; False when it was not. Raises like the
        database.
        """
        if self.claim(subject) != mxid:
            return False
        await self._repository.link(subject, mxid, at=self._now())
        self._claims.pop(subject, None)
        self.links[subject] = mxid
        self._tell(subject)
        _log.info("linked to a Matrix ID", subject=subject, mxid=mxid)
        return True

    async def withdraw(self, subject: str) -> None:
        """Who asked for a code says that somebody else sent it, or wants it no more. Raises like the database."""
        await self._repository.forget_code_of(subject)
        self._forget(subject)
        self._claims.pop(subject, None)

    async def unlink(self, subject: str) -> bool:
        """Undo the link of an account or browser; False when there was none. Raises like the database."""
        gone = await self._repository.unlink(subject)
        if self.links.pop(subject, None) is not None:
            self._tell(subject)
        return gone

    async def _unlink_all(self, mxid: str) -> str:
        claimed = [subject for subject, claim in self._claims.items() if claim.mxid == mxid]
        for subject in claimed:
            del self._claims[subject]
        linked = await self._repository.linked_to(mxid)
        for link in linked:
            await self.unlink(link.author)
        undone = len(claimed) + len(linked)
        if not undone:
            return _NOTHING
        return f"{undone} {'link was' if undone == 1 else 'links were'} undone."

    def _forget(self, subject: str) -> None:
        """The code of an account or browser is void; so are those whose time is over."""
        now = self._now()
        left = (code for code in self._pending.values() if code.author != subject and code.expires_at > now)
        self._pending = {code.code_hash: code for code in left}

    def _tell(self, subject: str) -> None:
        for changed in self.changed:
            changed(subject)

    def _hash(self, code: str) -> str:
        return keyed_hash(self._secret, "matrix code", code)
