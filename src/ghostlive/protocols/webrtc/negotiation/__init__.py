"""Offers and answers (RFC 8829): what both sides can send and receive."""

from ghostlive.protocols.webrtc.negotiation.answer import answer_offer
from ghostlive.protocols.webrtc.negotiation.model import (
    LocalParameters,
    MediaStream,
    Negotiation,
    Transport,
)
from ghostlive.protocols.webrtc.negotiation.offer import PendingOffer, make_offer
from ghostlive.protocols.webrtc.negotiation.payloads import RTP_CODECS, PayloadFormat
from ghostlive.protocols.webrtc.negotiation.trickle import TrickleFragment, make_fragment, parse_trickle

__all__ = [
    "RTP_CODECS",
    "LocalParameters",
    "MediaStream",
    "Negotiation",
    "PayloadFormat",
    "PendingOffer",
    "Transport",
    "TrickleFragment",
    "answer_offer",
    "make_fragment",
    "make_offer",
    "parse_trickle",
]
