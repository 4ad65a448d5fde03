"""Proof of work: a browser computes for a moment before it gets a new name. One does not notice; ten thousand do.

The page gets `nonce` and `bits`, and looks for an `answer` such that SHA-256 of nonce and answer, joined as UTF-8,
begins with so many zero bits. A nonce says itself until when it is valid, and is signed for one room and one browser:
it is of no use anywhere else, and none but those that were answered have to be remembered. Who comes often from one
network computes for longer. Knows no socket and no clock: time comes with each call, in seconds.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

VALID_FOR: Final = 180.0
"""Seconds within which a challenge is to be answered."""
BITS: Final = 17
"""About 130,000 hashes, a part of a second in a browser."""
MOST_BITS: Final = 22
_FREE: Final = 4
"""Answers from one network that cost no more than the first."""
_FORGOTTEN_AFTER: Final = 600.0
_MOST: Final = 20_000
"""Used nonces, and networks, that are remembered."""
_MOST_ANSWER: Final = 32


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a page is to solve."""

    nonce: str
    bits: int


class Seeker(NamedTuple):
    """Who is to compute, and for what."""

    room: str
    who: str
    """The number of their browser, or what else only they are."""
    network: str
    """Where they come from, as hash or text."""


class Work:
    """Challenges of all rooms."""

    def __init__(self, secret: bytes, *, bits: int = BITS) -> None:
        """`bits` is what the first costs."""
        self._key = hmac.digest(secret, b"chat work", "sha256")
        self._bits = bits
        self._used: OrderedDict[str, float] = OrderedDict()
        """Nonces that were answered, and until when they would be valid."""
        self._solved: OrderedDict[str, list[float]] = OrderedDict()

    def challenge(self, seeker: Seeker, now: float) -> Challenge:
        """A challenge for somebody in a room."""
        bits = self._price(seeker.network, now)
        head = f"{int(now + VALID_FOR)}.{bits}.{secrets.token_urlsafe(12)}"
        return Challenge(f"{head}.{self._sign(head, seeker)}", bits)

    def check(self, seeker: Seeker, nonce: str, answer: str, now: float) -> bool:
        """Whether that is the answer to a challenge of theirs that is still valid. Each nonce counts once."""
        head, _, signature = nonce.rpartition(".")
        if len(answer) > _MOST_ANSWER or not nonce.isascii():
            return False
        if not hmac.compare_digest(signature, self._sign(head, seeker)):
            return False
        until, bits = (int(part) for part in head.split(".")[:2])  # we signed it
        if now > until or nonce in self._used or not solves(nonce, answer, bits):
            return False
        while self._used and (len(self._used) >= _MOST or next(iter(self._used.values())) < now):
            self._used.popitem(last=False)
        self._used[nonce] = until
        self._note(seeker.network, now)
        return True

    def _price(self, network: str, now: float) -> int:
        lately = [at for at in self._solved.get(network, ()) if at > now - _FORGOTTEN_AFTER]
        return min(MOST_BITS, self._bits + (len(lately) // _FREE).bit_length()) if lately else self._bits

    def _note(self, network: str, now: float) -> None:
        times = [at for at in self._solved.pop(network, []) if at > now - _FORGOTTEN_AFTER]
        self._solved[network] = [*times, now][-_FREE << (MOST_BITS - BITS) :]
        if len(self._solved) > _MOST:
            self._solved.popitem(last=False)

    def _sign(self, head: str, seeker: Seeker) -> str:
        message = f"{head}\0{seeker.room}\0{seeker.who}".encode("utf-8", "surrogatepass")
        return urlsafe_b64encode(hmac.digest(self._key, message, "sha256")[:18]).decode()


def solves(nonce: str, answer: str, bits: int) -> bool:
    """Whether `answer` solves a challenge of so many bits."""
    digest = hashlib.sha256(f"{nonce}{answer}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest) >> (256 - bits) == 0


def solve(challenge: Challenge) -> str:
    """The answer, as a page looks for it."""
    number = 0
    while not solves(challenge.nonce, str(number), challenge.bits):
        number += 1
    return str(number)
