"""H.265 in RTP: single NAL units, aggregation packets and fragmentation units, without decoding order numbers.

Specification: RFC 7798 §1.1.4 (header), §4.4.1 (single), §4.4.2 (AP), §4.4.3 (FU); §7.1, sprop-max-don-diff 0.
"""

from ghostlive.codecs.facts import AccessUnit
from ghostlive.codecs.h265 import AUD, FIRST_IRAP, LAST_VCL, DecoderConfiguration, strip_parameter_sets
from ghostlive.codecs.h265_sets import PPS, SPS, VPS, nal_type
from ghostlive.formats.rtp.payload.nalunits import AGGREGATE, FRAGMENT, INVALID, SINGLE, NalDepacketizer, NalPacketizer

AP, FU = 48, 49
_PREFIX_SEI = 39
_FORBIDDEN, _TYPE = 0x80, 0x7E
_KINDS = bytes(
    {AP: AGGREGATE, FU: FRAGMENT}.get(nal_type(first), SINGLE if nal_type(first) < AP else INVALID)
    for first in range(256)
)
_LAYER_HIGH, _LAYER_LOW, _TEMPORAL = 0x01, 0xF8, 0x07


class H265Packetizer(NalPacketizer):
    """H.265 access units as RTP payloads."""

    header_size = 2
    kinds = _KINDS

    def __init__(self, config: bytes, max_size: int) -> None:
        """`config` is an HEVCDecoderConfigurationRecord; raises `MediaError` when it is none."""
        record = DecoderConfiguration.parse(config)
        super().__init__([*record.vps, *record.sps, *record.pps], max_size)

    def aggregation_header(self, nals: list[bytes]) -> bytes:
        """F is set when any has it; layer and temporal id are the lowest of all (§4.4.2)."""
        forbidden = max(nal[0] & _FORBIDDEN for nal in nals)
        layer = min((nal[0] & _LAYER_HIGH) << 8 | nal[1] & _LAYER_LOW for nal in nals)
        temporal = min(nal[1] & _TEMPORAL for nal in nals)
        return bytes((forbidden | AP << 1 | layer >> 8, layer & 0xFF | temporal))

    def fragment_headers(self, header: bytes) -> tuple[bytes, bytes, bytes]:
        """Payload header and FU header (§4.4.3)."""
        start = bytes((header[0] & ~_TYPE | FU << 1, header[1]))
        kind = nal_type(header[0])
        return start + bytes((0x80 | kind,)), start + bytes((kind,)), start + bytes((0x40 | kind,))


class H265Depacketizer(NalDepacketizer):
    """RTP payloads as H.265 access units."""

    header_size = 2
    kinds = _KINDS

    def original_header(self, payload: bytes) -> bytes:
        """The payload header with the type of the FU header (§4.4.3)."""
        return bytes((payload[0] & ~_TYPE | (payload[2] & 0x3F) << 1, payload[1]))

    def begins_picture(self, nal: bytes) -> bool | None:
        """An AUD or a VPS is first in its access unit (H.265 §7.4.2.4.4).

        The first slice of a picture says so in its first bit. Before that of an IRAP picture there may be parameter
        sets, and of an SPS, PPS or SEI nobody knows whether they were the first.
        """
        kind = nal_type(nal[0])
        if kind in (AUD, VPS):
            return True
        if kind <= LAST_VCL:
            if nal[2] < 0x80:
                return False
            return None if kind >= FIRST_IRAP else True
        return None if kind in (SPS, PPS, _PREFIX_SEI) else False

    def strip(self, payload: bytes) -> AccessUnit:
        """See `codecs.h265.strip_parameter_sets`."""
        return strip_parameter_sets(payload)
