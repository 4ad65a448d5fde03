"""H.264 in RTP: packetization mode 1 (single NAL units, STAP-A, FU-A).

Interleaved modes are not spoken by anybody in WebRTC (RFC 7742 §6.2 asks for mode 1).

Specification: RFC 6184 §5.3 (NRI), §5.6 (single), §5.7.1 (STAP-A), §5.8 (FU-A).
"""

from ghostlive.codecs.facts import AccessUnit
from ghostlive.codecs.h264 import AUD, IDR, PPS, SEI, SLICE, SPS, DecoderConfiguration, strip_parameter_sets
from ghostlive.formats.rtp.payload.nalunits import AGGREGATE, FRAGMENT, INVALID, SINGLE, NalDepacketizer, NalPacketizer

STAP_A, FU_A = 24, 28
_TYPE, _NRI, _FORBIDDEN = 0x1F, 0x60, 0x80
_KINDS = bytes(
    {STAP_A: AGGREGATE, FU_A: FRAGMENT}.get(first & _TYPE, SINGLE if 0 < first & _TYPE < STAP_A else INVALID)
    for first in range(256)
)


class H264Packetizer(NalPacketizer):
    """H.264 access units as RTP payloads."""

    header_size = 1
    kinds = _KINDS

    def __init__(self, config: bytes, max_size: int) -> None:
        """`config` is an AVCDecoderConfigurationRecord; raises `MediaError` when it is none."""
        record = DecoderConfiguration.parse(config)
        super().__init__([*record.sps, *record.sps_extensions, *record.pps], max_size)

    def aggregation_header(self, nals: list[bytes]) -> bytes:
        """F is set when any has it, NRI is the highest of all (§5.7)."""
        return bytes((max(nal[0] & _NRI for nal in nals) | max(nal[0] & _FORBIDDEN for nal in nals) | STAP_A,))

    def fragment_headers(self, header: bytes) -> tuple[bytes, bytes, bytes]:
        """FU indicator and FU header (§5.8)."""
        indicator = header[0] & (_FORBIDDEN | _NRI) | FU_A
        kind = header[0] & _TYPE
        return bytes((indicator, 0x80 | kind)), bytes((indicator, kind)), bytes((indicator, 0x40 | kind))


class H264Depacketizer(NalDepacketizer):
    """RTP payloads as H.264 access units."""

    header_size = 1
    kinds = _KINDS

    def original_header(self, payload: bytes) -> bytes:
        """F and NRI of the FU indicator, type of the FU header (§5.8)."""
        return bytes((payload[0] & (_FORBIDDEN | _NRI) | payload[1] & _TYPE,))

    def begins_picture(self, nal: bytes) -> bool | None:
        """An AUD or an SPS is first in its access unit (H.264 §7.4.1.2.3), and a PPS comes right behind it.

        A slice begins its picture when first_mb_in_slice is 0, coded as a 1 in the first bit. Before that of an IDR
        picture there may be parameter sets, and of a PPS or SEI nobody knows whether they were the first.
        """
        kind = nal[0] & _TYPE
        if kind in (AUD, SPS):
            return True
        if kind == SLICE:
            return nal[1] >= 0x80
        if kind == IDR:
            return None if nal[1] >= 0x80 else False
        return None if kind in (PPS, SEI) else False

    def strip(self, payload: bytes) -> AccessUnit:
        """See `codecs.h264.strip_parameter_sets`."""
        return strip_parameter_sets(payload)
