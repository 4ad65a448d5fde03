"""What goes wrong between us and a peer of OvenMediaEngine's signalling; the text goes to the peer."""

from ghostlive.core.errors import GhostliveError


class SignallingError(GhostliveError):
    """The socket is told `code` and the text, and closed."""

    def __init__(self, code: int, text: str) -> None:
        """`code` is as in HTTP."""
        super().__init__(text)
        self.code = code


class MessageError(SignallingError):
    """A message that is none of the protocol, or comes when it must not."""

    def __init__(self, text: str) -> None:
        """See `SignallingError`."""
        super().__init__(400, text)
