"""What goes wrong with somebody in the chat. The text is shown to them: it says what to do.

ChatError
├── OpeningError                   a viewer's socket is not opened; `status` is HTTP's
│   ├── UnknownStreamError         there is no such stream, or no chat here (404)
│   ├── TooManyConnectionsError    (503)
│   └── UnavailableError           the database does not answer (503)
└── RefusalError                   one message is not accepted; `code` goes on the wire (docs/reference/chat.md)
    ├── BadMessageError            bad_message
    ├── HelloFirstError            hello_first
    ├── NameNeededError            name_needed
    ├── NameRefusedError           name_refused
    ├── NameTakenError             name_taken
    ├── EmptyError                 empty
    ├── TooLongError               too_long
    ├── TooFastError               too_fast
    ├── BusyError                  busy
    ├── BannedError                banned
    │   └── ListedError            banned
    ├── NotAllowedError            not_allowed
    ├── SignInNeededError          sign_in_needed
    ├── SignInCodeError            sign_in_code
    ├── WorkNeededError            work_needed
    └── NotFoundError              not_found
"""

from typing import ClassVar

from ghostlive.chat.work import Challenge
from ghostlive.core.errors import GhostliveError


class ChatError(GhostliveError):
    """Base of all that can go wrong in the chat."""


class OpeningError(ChatError):
    """A viewer's socket is not opened."""

    status: ClassVar[int] = 503


class UnknownStreamError(OpeningError):
    """There is no stream of that name, or it has no chat."""

    status = 404


class TooManyConnectionsError(OpeningError):
    """As many people as the server takes have a chat open."""


class UnavailableError(OpeningError):
    """What the chat needs to know cannot be read at the moment."""


class RefusalError(ChatError):
    """One message is not accepted."""

    code: ClassVar[str] = "bad_message"

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        """`retry_after` is in seconds, None when trying the same again makes no sense."""
        super().__init__(text)
        self.retry_after = retry_after


class BadMessageError(RefusalError):
    """The page sent something that is no message of the protocol."""


class HelloFirstError(RefusalError):
    """Something came before `hello`."""

    code = "hello_first"


class NameNeededError(RefusalError):
    """Somebody without a name wants to say something."""

    code = "name_needed"


class NameRefusedError(RefusalError):
    """Nobody can have that name."""

    code = "name_refused"


class NameTakenError(RefusalError):
    """Somebody else has that name, or one that looks like it."""

    code = "name_taken"


class EmptyError(RefusalError):
    """Nothing is left of the text."""

    code = "empty"


class TooLongError(RefusalError):
    """The text is too long."""

    code = "too_long"


class TooFastError(RefusalError):
    """A limit on the rate."""

    code = "too_fast"


class BusyError(RefusalError):
    """Messages cannot be stored at the moment."""

    code = "busy"


class BannedError(RefusalError):
    """Who is banned cannot take part."""

    code = "banned"


class ListedError(BannedError):
    """A policy list that counts in this chat names them."""


class NotAllowedError(RefusalError):
    """Only somebody with more rights may do that."""

    code = "not_allowed"


class SignInNeededError(RefusalError):
    """Nobody new writes here who has not signed in."""

    code = "sign_in_needed"


class SignInCodeError(RefusalError):
    """There is a code in it by which somebody signs in, and that others are not to read."""

    code = "sign_in_code"


class WorkNeededError(RefusalError):
    """Their browser has to compute for a moment first (`chat.work`)."""

    code = "work_needed"

    def __init__(self, challenge: Challenge) -> None:
        """`challenge` is what they are to solve."""
        super().__init__("One moment: your browser has to compute something before you can write here.")
        self.challenge = challenge


class NotFoundError(RefusalError):
    """There is no such message or ban."""

    code = "not_found"
