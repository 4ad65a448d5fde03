"""Signing in with name and password, and what keeps strangers from guessing it.

Each address may try so often, and each account may be tried so often by all addresses that it does not know. Who has
signed in to an account before, from an address or with a browser that brings our mark, is judged by their own limit
alone: strangers who try an account in vain can keep out other strangers, not its owner.

An attempt counts before its password is checked, so that a thousand at once are not better than one after another;
the right password takes it back. Names that nobody has cost the same time and hit the same limits as those that
somebody has.
"""

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.access.limits import Seldom, Throttle, TooBusyError, network_of
from ghostlive.access.passwords import Passwords
from ghostlive.access.secret import keyed_hash
from ghostlive.core.clock import Clock
from ghostlive.core.errors import RefusedError
from ghostlive.db.users import Credentials, UserRepository, is_user_name

_log = structlog.get_logger("access")

_OWN_BURST: Final = 10
_OWN_PERIOD: Final = 60.0
"""Ten attempts at once for an address or a browser, then one a minute."""
_ACCOUNT_BURST: Final = 20
_ACCOUNT_PERIOD: Final = 180.0
"""Twenty attempts at once for an account from where it is not known, then 480 a day."""
BUSY_RETRY: Final = 5.0
"""Seconds after which to come again when too many wait."""
_MAX_KNOWN: Final = 10_000


class SignInRefusedError(RefusedError):
    """Nobody was signed in; the text says why. `retry_after` is None when name or password are wrong."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        """`retry_after` is in seconds."""
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where an attempt to sign in comes from. Secrets never appear in its representation."""

    name: str
    address: str
    """The peer's IP address, after trusted proxies."""
    mark: str | None = field(default=None, repr=False)
    """What `SignIn.mark` made for this browser, if it brings one."""


@dataclass(frozen=True, slots=True)
class _Judges:
    """The limits that an attempt is judged by."""

    limits: tuple[tuple[Throttle, str], ...]
    known: bool

    def wait(self) -> float:
        return max(throttle.wait(key) for throttle, key in self.limits)

    def spend(self) -> None:
        for throttle, key in self.limits:
            throttle.spend(key)

    def refund(self) -> None:
        for throttle, key in self.limits:
            throttle.refund(key)


class SignIn:
    """Checks passwords, within limits."""

    def __init__(self, *, users: UserRepository, passwords: Passwords, clock: Clock, secret: bytes) -> None:
        """`secret` is the server's (`access.secret`)."""
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self._secret = secret
        self._own = Throttle(clock, burst=_OWN_BURST, period=_OWN_PERIOD)
        self._accounts = Throttle(clock, burst=_ACCOUNT_BURST, period=_ACCOUNT_PERIOD)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._seldom = Seldom(clock, every=10.0)

    async def check(self, attempt: Attempt, password: str) -> Credentials:
        """The account that `password` opens. Raises `SignInRefusedError`."""
        judges = self._judges(attempt)
        found = await self._verify(judges, attempt, password)
        if found is None:
            raise SignInRefusedError("The name or the password is wrong.")
        self._remember(attempt)
        _log.info("signed in", user=attempt.name, address=attempt.address)
        return found

    async def confirm(self, name: str, password: str, *, by: str, address: str) -> None:
        """Check the password of somebody who has signed in already; `by` names their session in the limits.

        Raises `SignInRefusedError`.
        """
        judges = _Judges(((self._own, f"session {by}"),), known=True)
        if await self._verify(judges, Attempt(name, address), password) is None:
            raise SignInRefusedError("The current password is wrong.")

    def mark(self, name: str) -> str:
        """What a browser that has signed in to `name` keeps, so that it is known when it comes again."""
        browser = secrets.token_hex(16)
        return f"{browser}.{self._seal(name, browser)}"

    def _judges(self, attempt: Attempt) -> _Judges:
        browser, _, seal = (attempt.mark or "").partition(".")
        if browser and hmac.compare_digest(
            self._seal(attempt.name, browser).encode(), seal.encode("utf-8", "surrogatepass")
        ):
            return _Judges(((self._own, f"browser {browser}"),), known=True)
        network = network_of(attempt.address)
        own = (self._own, f"address {network}")
        if (attempt.name, network) in self._known:
            return _Judges((own,), known=True)
        if not is_user_name(attempt.name):
            return _Judges((own,), known=False)
        return _Judges((own, (self._accounts, attempt.name)), known=False)

    async def _verify(self, judges: _Judges, attempt: Attempt, password: str) -> Credentials | None:
        """The account, when `password` is its password."""
        if wait := judges.wait():
            raise self._refusal(f"Too many attempts. Try again {_in_words(wait)}.", wait, attempt)
        judges.spend()
        found: Credentials | None = None
        try:
            if is_user_name(attempt.name):
                found = await self._users.credentials(attempt.name)
            stored = found.password_hash if found else None
            right = await self._passwords.verify(password, stored, first=judges.known)
        except TooBusyError as error:
            judges.refund()
            raise self._refusal(str(error), BUSY_RETRY, attempt) from error
        except SQLAlchemyError:
            judges.refund()
            raise
        if found is not None and right:
            judges.refund()
            return found
        # A password typed into the wrong field is no name of anybody.
        name = found.user.name if found else "(nobody of that name)"
        _log.warning("wrong password", user=name, address=attempt.address)
        return None

    def _refusal(self, reason: str, retry_after: float, attempt: Attempt) -> SignInRefusedError:
        if (unsaid := self._seldom.due()) is not None:
            _log.warning("sign-in refused", address=attempt.address, reason=reason, unsaid=unsaid)
        return SignInRefusedError(reason, retry_after)

    def _remember(self, attempt: Attempt) -> None:
        key = (attempt.name, network_of(attempt.address))
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def _seal(self, name: str, browser: str) -> str:
        return keyed_hash(self._secret, "browser that has signed in", f"{name} {browser}")


def _in_words(seconds: float) -> str:
    if seconds <= 90:
        return f"in {ceil(seconds)} seconds"
    return f"in {ceil(seconds / 60)} minutes"
