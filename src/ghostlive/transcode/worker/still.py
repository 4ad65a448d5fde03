"""Still pictures: one keyframe of any video codec as a small JPEG or WebP.

The keyframe comes from a stranger. Whatever FFmpeg says against it becomes the answer's reason; whatever makes FFmpeg
crash ends this process, which is what it is for.
"""

from fractions import Fraction
from typing import Final

import av
import av.filter
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc

from ghostlive.core.track import Codec
from ghostlive.transcode.wire import Picture, Still

_DECODERS: Final = {
    Codec.H264: "h264",
    Codec.H265: "hevc",
    Codec.AV1: "libdav1d",
    Codec.VP8: "vp8",
    Codec.VP9: "vp9",
}
_CONFIGURED: Final = frozenset({Codec.H264, Codec.H265, Codec.AV1})
"""The configuration record of the others holds nothing that their decoders read."""
_MAX_PIXELS: Final = 8192 * 4352
"""8K: a header of a few bytes can promise a picture that fills the memory."""
_MAX_SIDE: Final = 4096
"""Of the still."""
_MAX_ASPECT: Final = 16
"""What a sample may be wider than high, or higher than wide; more is no picture but a mistake."""
_HIGH_DEFINITION: Final = 720
_HDR: Final[dict[int, str]] = {
    # The inverse of each transfer function, in multiples of reference white (203 cd/m², 75 %; ITU-R BT.2408 §2.2).
    ColorTrc.SMPTE2084: (
        "pow(max(pow(clipval/maxval,1/78.84375)-0.8359375,0)/(18.8515625-18.6875*pow(clipval/maxval,1/78.84375)),"
        "1/0.1593017578125)*10000/203"
    ),
    ColorTrc.ARIB_STD_B67: (
        "if(lte(clipval/maxval,0.5),pow(clipval/maxval,2)/3,"
        "(exp((clipval/maxval-0.55991073)/0.17883277)+0.28466892)/12)/0.265"
    ),
}
_TONE_MAP: Final = "st(0,{light});maxval*if(lte(ld(0),0.6),ld(0),1-0.4*exp((0.6-ld(0))/0.4))"
"""As it is up to 60 % of reference white, then bent, so that what is brighter keeps its differences."""
_BT709_TRANSFER: Final = "maxval*if(lt(clipval/maxval,0.018),4.5*clipval/maxval,1.099*pow(clipval/maxval,0.45)-0.099)"
_BT2020_TO_BT709: Final = {
    # ITU-R BT.2087, inverse of table 2.
    "rr": "1.6605", "rg": "-0.5876", "rb": "-0.0728",
    "gr": "-0.1246", "gg": "1.1329", "gb": "-0.0083",
    "br": "-0.0182", "bg": "-0.1006", "bb": "1.1187",
}  # fmt: skip
_UNSPECIFIED: Final = 2
"""`AVCOL_SPC_UNSPECIFIED`: the stream does not say how its colours are coded."""
_ENCODERS: Final = {
    # JPEG is full range and BT.601 (JFIF 1.02); lossy WebP is limited range and BT.601 (RFC 6386 §9.2).
    "jpeg": ("mjpeg", "yuvj420p", "pc", {"qmin": "4", "qmax": "4"}),
    "webp": ("libwebp", "yuv420p", "tv", {"quality": "75", "preset": "picture", "compression_level": "4"}),
}


class _UnfitError(Exception):
    """No picture can be made of this; the text says why."""


def make(picture: Picture) -> Still:
    """The still of a keyframe, within the wanted size, in the shape that it is shown in, never enlarged."""
    try:
        return Still(picture.number, _encode(_decode(picture), picture))
    except _UnfitError as error:
        return Still(picture.number, b"", str(error))
    except FFmpegError as error:
        return Still(picture.number, b"", f"FFmpeg cannot make a picture of it: {error.strerror or error}")
    except MemoryError:
        return Still(picture.number, b"", "the picture does not fit into the memory of its worker")


def _decode(picture: Picture) -> tuple[VideoFrame, Fraction]:
    """The frame, and how wide each of its samples is shown for its height."""
    name = _DECODERS.get(picture.codec)
    if name is None:
        raise _UnfitError(f"{picture.codec} has no pictures")
    if not picture.payload:
        raise _UnfitError("the keyframe is empty")
    # One picture gains nothing from threads, and each would take memory.
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.options = {"threads": "1", "max_pixels": str(_MAX_PIXELS)}
    if picture.config and picture.codec in _CONFIGURED:
        decoder.extradata = picture.config
    # The second call takes out what the decoder keeps back, expecting frames to be shown before this one.
    frames = decoder.decode(av.Packet(picture.payload)) or decoder.decode(None)
    if not frames:
        raise _UnfitError("the decoder found no picture in the keyframe")
    frame = frames[0]
    if frame.is_corrupt:
        raise _UnfitError("the keyframe is damaged")
    return frame, _shape(decoder.sample_aspect_ratio)


def _shape(ratio: Fraction | None) -> Fraction:
    if not ratio or not Fraction(1, _MAX_ASPECT) <= ratio <= _MAX_ASPECT:
        return Fraction(1)
    return ratio


def _encode(decoded: tuple[VideoFrame, Fraction], picture: Picture) -> bytes:
    frame, ratio = decoded
    if picture.form not in _ENCODERS:
        raise _UnfitError(f"there are no pictures of the form {picture.form!r}")
    name, pixels, color_range, options = _ENCODERS[picture.form]
    size = fit(frame.width * ratio, frame.height, picture.width, picture.height)
    scaled = _scale(frame, picture.codec, size, pixels, color_range)
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.options = {"threads": "1", **options}
    (encoder.width, encoder.height), encoder.pix_fmt = size, pixels
    encoder.time_base = Fraction(1, 1)
    scaled.pts = 0
    data = b"".join(bytes(packet) for packet in (*encoder.encode(scaled), *encoder.encode(None)))
    if not data:
        raise _UnfitError(f"{name} made nothing of it")
    return data


def fit(width: Fraction | int, height: int, most_width: int, most_height: int) -> tuple[int, int]:
    """The largest even size of this shape that lies within the limits and does not enlarge."""
    most_width, most_height = (max(2, min(side, _MAX_SIDE)) for side in (most_width, most_height))
    scale = min(Fraction(most_width) / width, Fraction(most_height, height), Fraction(1))
    return (
        min(max(2, round(width * scale / 2) * 2), most_width // 2 * 2),
        min(max(2, round(height * scale / 2) * 2), most_height // 2 * 2),
    )


def _scale(frame: VideoFrame, codec: Codec, size: tuple[int, int], pixels: str, color_range: str) -> VideoFrame:
    """The frame in another size and in the colours that still pictures have."""
    options = {
        "w": str(size[0]),
        "h": str(size[1]),
        "flags": "area",
        "out_color_matrix": "bt601",
        "out_range": color_range,
    }
    if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb:
        # As browsers do for video that does not say it. VP8 has no other colours (RFC 6386 §9.2).
        modern = frame.height >= _HIGH_DEFINITION and codec is not Codec.VP8
        options["in_color_matrix"] = "bt709" if modern else "bt601"
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base="1/1",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    chain = [source, graph.add("scale", **options)]
    if (light := _HDR.get(frame.color_trc)) is not None:
        # By hand and on the small picture: libswscale's own conversion takes three seconds of a core, once for each.
        tone_map = _TONE_MAP.format(light=light)
        chain += [
            graph.add("format", pix_fmts="gbrp14"),
            graph.add("lutrgb", r=tone_map, g=tone_map, b=tone_map),
            graph.add("colorchannelmixer", **_BT2020_TO_BT709),
            graph.add("lutrgb", r=_BT709_TRANSFER, g=_BT709_TRANSFER, b=_BT709_TRANSFER),
            graph.add("scale", flags="area", out_color_matrix="bt601", out_range=color_range),
        ]
    sink = graph.add("buffersink")
    graph.link_nodes(*chain, graph.add("format", pix_fmts=pixels), sink).configure()
    frame.pts = 0
    source.push(frame)
    source.push(None)
    scaled = sink.pull()
    assert isinstance(scaled, VideoFrame)
    return scaled
