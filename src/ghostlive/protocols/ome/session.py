"""The course of one signalling socket, without IO: whose turn it is, and what may be said.

    peer: request_offer → we: offer → peer: answer (and candidates) → we: playlist, rendition_changed → …

Everything but `request_offer` carries the id that we gave with the offer. What the offer holds, and what becomes of the
answer, is for whoever drives this: `Driver`.
"""

from enum import IntEnum
from typing import Protocol

from ghostlive.protocols.ome.errors import MessageError
from ghostlive.protocols.ome.messages import (
    Answer,
    Candidates,
    ChangeRendition,
    Message,
    Pong,
    RequestOffer,
    Stop,
    parse_message,
)


class Driver(Protocol):
    """What a session has done."""

    def offer_wanted(self) -> None:
        """Make an offer; `Session.offered` follows some time."""

    def answered(self, sdp: str) -> None:
        """The peer's answer to the last offer. May raise an error that refuses it."""

    def change_wanted(self, name: str | None, auto: bool | None) -> None:
        """The viewer wants a rendition, or the server to choose."""

    def stopped(self) -> None:
        """The peer is done with what was agreed on; it may ask for an offer again."""


class State(IntEnum):
    """Whose turn it is."""

    NEW = 0
    OFFERING = 1
    """Our offer is being made."""
    OFFERED = 2
    AGREED = 3


class Session:
    """One socket."""

    def __init__(self, session_id: int) -> None:
        """`session_id` is from 1 to 2147483647, and hard to guess."""
        self.id = session_id
        self.state = State.NEW

    def receive(self, text: str, driver: Driver) -> None:
        """Take a message, and tell `driver` what it means. Raises `MessageError`, and what the driver raises."""
        message: Message = parse_message(text)
        match message:
            case RequestOffer():
                self._request(driver)
            case Answer(session_id, sdp):
                self._check(session_id)
                if self.state is not State.OFFERED:
                    raise MessageError("There is no offer that this could be the answer to.")
                self.state = State.AGREED
                driver.answered(sdp)
            case ChangeRendition(session_id, name, auto):
                self._check(session_id)
                if self.state is State.AGREED:
                    driver.change_wanted(name, auto)
            case Candidates(session_id):
                self._check(session_id)
            case Stop(session_id):
                self._check(session_id)
                if self.state in (State.OFFERED, State.AGREED):
                    self.state = State.NEW
                    driver.stopped()
            case Pong():
                pass

    def offered(self) -> None:
        """The offer was sent."""
        self.state = State.OFFERED

    def _request(self, driver: Driver) -> None:
        if self.state is State.OFFERING:
            return  # it is on its way
        if self.state is not State.NEW:
            driver.stopped()
        self.state = State.OFFERING
        driver.offer_wanted()

    def _check(self, session_id: int) -> None:
        if session_id != self.id:
            raise MessageError("Invalid ID")
