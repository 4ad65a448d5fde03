"""Fragments of descriptions: candidates that come later, and ICE restarts.

Specifications: RFC 8840 §9 (`application/trickle-ice-sdpfrag`), RFC 9725 §4.3. Invariant: hostile text raises
`NegotiationError` only.
"""

from typing import Final, NamedTuple

from ghostlive.core.errors import MediaError
from ghostlive.formats.sdp import Section, split_lines
from ghostlive.protocols.webrtc.candidate import Candidate
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation.model import LocalParameters
from ghostlive.protocols.webrtc.negotiation.transport import read_candidates, read_credentials

MAX_BYTES: Final = 32 * 1024


class TrickleFragment(NamedTuple):
    """What a fragment says."""

    ufrag: str
    """The peer's; another than before means an ICE restart."""
    pwd: str
    candidates: tuple[Candidate, ...]


def parse_trickle(fragment: str) -> TrickleFragment:
    """Read the body of a PATCH. Raises `NegotiationError`."""
    if len(fragment) > MAX_BYTES:
        raise NegotiationError(f"a trickle fragment of {len(fragment)} characters; {MAX_BYTES} are allowed")
    try:
        lines = split_lines(fragment)
    except MediaError as error:
        raise NegotiationError(f"a trickle fragment cannot be read: {error}") from None
    section = Section()
    for kind, value in lines:
        if kind == "a":
            name, colon, rest = value.partition(":")
            section.add(name, rest if colon else None)
    # Which m-line a line stands below means nothing, since all of them are bundled.
    ufrag, pwd = read_credentials(section, None)
    return TrickleFragment(ufrag, pwd, read_candidates(section.values("candidate")))


def make_fragment(local: LocalParameters, *, mid: str, kind: str = "audio") -> str:
    """The answer to an ICE restart: our new credentials, and our candidates again, all of them.

    `mid` and `kind` are those of the m-line that names the bundle.
    """
    lines = [
        "a=ice-lite" if local.ice_lite else "",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.pwd}",
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 0",
        f"a=mid:{mid}" if mid else "",
        *(f"a={candidate.to_text()}" for candidate in local.candidates),
        "a=end-of-candidates",
    ]
    return "".join(f"{line}\r\n" for line in lines if line)
