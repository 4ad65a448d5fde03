"""What goes wrong between us and the homeserver.

MatrixError
├── UnreachableError      nobody answered; whether the request was carried out is not known
└── ApiError              the homeserver answered with an error: `status`, `errcode`
    ├── BrokenError       5xx: it is in trouble, the same request may work later
    ├── LimitedError      429: too fast, `retry_after` says when
    ├── TokenError        401, or a user that is not ours or not registered (403 before anything else was looked at)
    ├── ForbiddenError    403: banned, not in the room, not enough power
    ├── MissingError      404: no such room, alias, event, user or file
    ├── TakenError        an alias or a user is there already
    └── TooLargeError     413

`retry` says whether the same request can work later without anything else changing. Error codes: Client-Server API,
"Standard error response".
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ghostlive.chat.errors import ChatError

_TEXT: Final = 300
"""Characters of the homeserver's text that are kept."""


class MatrixError(ChatError):
    """Base of all that goes wrong with the homeserver."""

    retry: ClassVar[bool] = False
    """Whether the same request may work later."""
    retry_after: float | None = None
    """Seconds that the homeserver asks us to wait, when it says so."""


class UnreachableError(MatrixError):
    """Nobody answered, or the answer broke off. The request may have been carried out, or not."""

    retry = True


class ApiError(MatrixError):
    """The homeserver answered with an error."""

    def __init__(self, status: int, errcode: str, text: str, *, retry_after: float | None = None) -> None:
        """`status` is HTTP's; `errcode` is Matrix's, empty when there was none; `retry_after` is in seconds."""
        super().__init__(f"the homeserver says {status} {errcode}: {text[:_TEXT]}")
        self.status = status
        self.errcode = errcode
        self.text = text[:_TEXT]
        self.retry_after = retry_after


class BrokenError(ApiError):
    """The homeserver (or the proxy before it) has trouble of its own."""

    retry = True


class LimitedError(ApiError):
    """Too many requests."""

    retry = True


class TokenError(ApiError):
    """The homeserver does not take us for who we say we are: another token, or a user who is not registered."""


class ForbiddenError(ApiError):
    """Not allowed: banned, kicked, not in the room, or not enough power."""

    @property
    def banned(self) -> bool:
        """Whether it is a ban that forbids it, as far as the homeserver tells (it does when somebody joins)."""
        return self.errcode == "M_BAD_STATE" or "banned" in self.text


class MissingError(ApiError):
    """There is no such thing."""


class TakenError(ApiError):
    """The alias or user is there already."""


class TooLargeError(ApiError):
    """The event or file is too large."""


_BY_CODE: Final[Mapping[str, type[ApiError]]] = {
    "M_LIMIT_EXCEEDED": LimitedError,
    "M_UNKNOWN_TOKEN": TokenError,
    "M_MISSING_TOKEN": TokenError,
    "M_EXCLUSIVE": TokenError,
    "M_BAD_STATE": ForbiddenError,
    "M_FORBIDDEN": ForbiddenError,
    "M_NOT_FOUND": MissingError,
    "M_ROOM_IN_USE": TakenError,
    "M_USER_IN_USE": TakenError,
    "M_TOO_LARGE": TooLargeError,
}
_BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    401: TokenError,
    403: ForbiddenError,
    404: MissingError,
    409: TakenError,
    413: TooLargeError,
    429: LimitedError,
}
# Synapse's words for a ghost that it does not know; the code is the same as for a ban.
_NOT_REGISTERED: Final = "has not registered this user"
_NOT_OURS: Final = "cannot masquerade"


def api_error(status: int, body: object, retry_after: float | None = None) -> ApiError:
    """The error for an answer; `body` is its JSON, whatever that is, `retry_after` what the header says in seconds."""
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    errcode, text = str(fields.get("errcode", "")), str(fields.get("error", "no reason given"))
    wait = fields.get("retry_after_ms")
    if isinstance(wait, int | float) and not isinstance(wait, bool) and wait >= 0:
        retry_after = wait / 1000
    if status >= 500:
        kind: type[ApiError] = BrokenError
    elif status == 403 and (_NOT_REGISTERED in text or _NOT_OURS in text):
        kind = TokenError
    else:
        kind = _BY_CODE.get(errcode) or _BY_STATUS.get(status, ApiError)
    return kind(status, errcode, text, retry_after=retry_after)
