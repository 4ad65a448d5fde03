"""Which m-lines share the one transport (RFC 9143), and reading a description at all."""

from typing import Final

from ghostlive.core.errors import MediaError
from ghostlive.formats.sdp import MediaDescription, SessionDescription
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation.media import PROTOCOLS, direction

_MAX_MID: Final = 64


def read_description(text: str, what: str) -> SessionDescription:
    """Read `what`, the offer or the answer. Raises `NegotiationError`, as do all here."""
    try:
        session = SessionDescription.parse(text)
    except MediaError as error:
        raise NegotiationError(f"the {what} cannot be read: {error}") from None
    mids = [mid for medium in session.media if (mid := medium.first("mid")) is not None]
    if len(set(mids)) != len(mids) or not all(0 < len(mid) <= _MAX_MID and " " not in mid for mid in mids):
        raise NegotiationError(f"the m-lines of the {what} have broken names (a=mid)")
    return session


def bundles(session: SessionDescription) -> list[list[str]]:
    """The mids of each bundle, in order."""
    groups = [value.split() for value in session.values("group")]
    return [group[1:] for group in groups if group and group[0] == "BUNDLE"]


def is_usable(session: SessionDescription, medium: MediaDescription, *, sending: bool) -> bool:
    """Whether an m-line asks for media in our direction, by a protocol that we speak."""
    if medium.protocol not in PROTOCOLS or (medium.port == 0 and not medium.has("bundle-only")):
        return False
    default = next((name for name, _ in session.attributes if name in ("sendonly", "recvonly", "inactive")), "sendrecv")
    return direction(medium, default) in (("sendrecv", "recvonly") if sending else ("sendrecv", "sendonly"))


def share_transport(session: SessionDescription, media: list[MediaDescription]) -> bool:
    """Whether these m-lines are in one bundle, or one alone, or of one transport by what they say."""
    if len(media) < 2:
        return True
    mids = {medium.first("mid") for medium in media}
    if any(mids <= set(bundle) for bundle in bundles(session)):
        return True
    credentials = {(medium.first("ice-ufrag"), medium.first("ice-pwd"), medium.port) for medium in media}
    return len(credentials) == 1 and not bundles(session)
