"""By which cookie a browser is known again where nobody has signed in: a random number that we signed. And what tells
viewers apart whose players bring none.

No script can read it, and what we did not sign counts for nothing. It says nothing of the person, and goes nowhere but
here; bans are about it (`chat.identity`).
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from typing import Final

COOKIE: Final = "ghostlive_chat"
"""The cookie's name."""
COOKIE_AGE: Final = 400 * 24 * 3600
"""Seconds; the most that browsers keep a cookie."""
_MAX_AGENT: Final = 160
_COOKIE: Final = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})", re.ASCII)


def viewer_key(address: str, agent: bytes) -> str:
    """What tells viewers apart, as well as it can be told without following them. Short, whatever they send."""
    return f"{address} {agent.strip()[:_MAX_AGENT].decode('latin-1')}"


def make_browser() -> str:
    """A number for a browser: 128 random bits."""
    return _base64(secrets.token_bytes(16))


def browser_cookie(secret: bytes, browser: str) -> str:
    """The cookie's value: the number and our signature."""
    return f"{browser}.{_signature(secret, browser)}"


def read_browser(secret: bytes, cookie: str | None) -> str:
    """The number in a cookie that we signed; empty for anything else."""
    found = None if cookie is None else _COOKIE.fullmatch(cookie)
    if found is None or not hmac.compare_digest(found[2], _signature(secret, found[1])):
        return ""
    return found[1]


def set_cookie(secret: bytes, browser: str, *, secure: bool) -> str:
    """The field `Set-Cookie` that gives a browser its number (RFC 6265 §5.2)."""
    return (
        f"{COOKIE}={browser_cookie(secret, browser)}; Path=/; Max-Age={COOKIE_AGE}; HttpOnly; SameSite=Lax"
        f"{'; Secure' if secure else ''}"
    )


def cookie_in(header: str) -> str | None:
    """The cookie's value in a field `Cookie` (RFC 6265 §4.2.1)."""
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return None


def _signature(secret: bytes, browser: str) -> str:
    return _base64(hmac.digest(secret, b"chat browser\0" + browser.encode(), "sha256")[:16])


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
