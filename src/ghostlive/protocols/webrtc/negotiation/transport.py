"""ICE and DTLS in SDP, both directions.

Specifications: RFC 8839 §5 (ICE), RFC 8842 §5 (DTLS), RFC 8122 §5 (fingerprints).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ghostlive.formats.sdp import MediaDescription, Section, SessionDescription
from ghostlive.protocols.webrtc.candidate import Candidate
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation.model import LocalParameters, Transport

_DIGEST_SIZES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Algorithms that still mean something."""
_MAX_CANDIDATES: Final = 64
_MAX_FINGERPRINTS: Final = 8
# RFC 8839 has `A-Za-z0-9+/`; a few peers take the other base64 characters.
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/=_.-]{4,256}")
_PWD: Final = re.compile(r"[A-Za-z0-9+/=_.-]{22,256}")


def read_transport(
    session: SessionDescription, medium: MediaDescription, local: LocalParameters, *, answer: bool
) -> Transport:
    """The transport that the peer describes with this m-line. Raises `NegotiationError`."""
    ufrag, pwd = read_credentials(session, medium)
    if local.ice_lite and session.has("ice-lite"):
        # RFC 8445 §6.1.1 would have both guess; no player or encoder is one.
        raise NegotiationError("the peer is ICE lite (a=ice-lite), as this server is, and neither would look for a way")
    setup = _own_or_session(session, medium, "setup") or ("active" if answer else "actpass")
    if setup not in (("active", "passive") if answer else ("active", "passive", "actpass")):
        raise NegotiationError(f"the peer's DTLS role (a=setup) cannot be {setup[:20]!r}")
    return Transport(
        local.ufrag,
        local.pwd,
        ufrag,
        pwd,
        _read_fingerprints(session, medium),
        setup == "passive",
        read_candidates([*session.values("candidate"), *medium.values("candidate")]),
    )


def read_credentials(session: Section, medium: Section | None) -> tuple[str, str]:
    """The peer's ICE user fragment and password. Raises `NegotiationError`."""
    ufrag = _own_or_session(session, medium, "ice-ufrag") or ""
    pwd = _own_or_session(session, medium, "ice-pwd") or ""
    if not ufrag or not pwd:
        raise NegotiationError("the peer's description lacks ICE credentials (a=ice-ufrag, a=ice-pwd)")
    if not _UFRAG.fullmatch(ufrag) or not _PWD.fullmatch(pwd):
        raise NegotiationError("the peer's ICE credentials (a=ice-ufrag, a=ice-pwd) are malformed")
    return ufrag, pwd


def read_candidates(texts: Iterable[str]) -> tuple[Candidate, ...]:
    """Candidates of the first component, as far as they can be understood, up to a limit."""
    found: list[Candidate] = []
    for text in texts:
        if len(found) == _MAX_CANDIDATES:
            break
        try:
            candidate = Candidate.parse(text)
        except NegotiationError:
            # Of a kind that others know, perhaps; the rest is as good without it.
            continue
        if candidate.component == 1:
            found.append(candidate)
    return tuple(found)


def transport_attributes(local: LocalParameters, setup: str, *, tagged: bool) -> Iterator[tuple[str, str | None]]:
    """What our description says of the transport; candidates stand in the m-line that names the bundle."""
    yield "ice-ufrag", local.ufrag
    yield "ice-pwd", local.pwd
    if not local.candidates:
        yield "ice-options", "trickle"
    yield "fingerprint", f"sha-256 {local.fingerprint}"
    yield "setup", setup
    if tagged and local.candidates:
        for candidate in local.candidates:
            yield "candidate", candidate.to_text().removeprefix("candidate:")
        yield "end-of-candidates", None


def default_destination(local: LocalParameters) -> tuple[int, str]:
    """Port of the m-line and content of its `c=` (RFC 8839 §4.2.1.2)."""
    for candidate in local.candidates:
        if candidate.transport == "udp":
            family = "IP6" if ":" in candidate.address else "IP4"
            return candidate.port, f"IN {family} {candidate.address}"
    return 9, "IN IP4 0.0.0.0"


def _own_or_session(session: Section, medium: Section | None, name: str) -> str | None:
    value = medium.first(name) if medium is not None else None
    value = value if value is not None else session.first(name)
    return None if value is None else value.strip()


def _read_fingerprints(session: SessionDescription, medium: MediaDescription) -> tuple[tuple[str, bytes], ...]:
    lines = list(medium.values("fingerprint")) or list(session.values("fingerprint"))
    found = []
    for line in lines[:_MAX_FINGERPRINTS]:
        name, _, text = line.partition(" ")
        size = _DIGEST_SIZES.get(name.lower())
        try:
            digest = bytes.fromhex(text.strip().replace(":", ""))
        except ValueError:
            digest = b""
        if size is not None and len(digest) == size:
            found.append((name.lower(), digest))
    if not found:
        raise NegotiationError("the peer's description lacks a certificate fingerprint (a=fingerprint:sha-256)")
    return tuple(found)
