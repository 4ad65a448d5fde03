"""MPEG-DASH manifests (ISO/IEC 23009-1)."""

from ghostlive.packager.stream import PackagedStream


def manifest(stream: PackagedStream, now_ns: int) -> str:
    """The MPD."""
    return f"<MPD {stream.name} {now_ns}/>"
