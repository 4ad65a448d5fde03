"""Renditions as texts: in short, as people type them, and as JSON, as the database has them. Pure."""

import dataclasses
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ghostlive.transcode.config import MAX_RENDITIONS, RenditionSetting, RenditionSettingError

Settings = tuple[RenditionSetting, ...]
_LADDER = TypeAdapter(Annotated[Settings, Field(max_length=MAX_RENDITIONS)])
_IN_SHORT = re.compile(r"(\d{1,5})p(\d{1,3}(?:\.\d{1,3})?)?")
_BITS = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([kM]?)")


def read_renditions(text: str) -> list[dict[str, Any]]:
    """Fields of the renditions that a text names in short: `720p60,480p30:always,1080p:av1:4M`.

    Behind the size and the frame rate (without one: the source's) stand mode, codec and bit rate in any order, each
    after a colon. Raises `RenditionSettingError`. What the fields hold is checked by `RenditionSetting`.
    """
    return [_read_rendition(part.strip()) for part in text.split(",") if part.strip()]


def write_renditions(renditions: tuple[RenditionSetting, ...]) -> str:
    """The text that `read_renditions` reads; names are not in it."""
    return ",".join(map(_write_rendition, renditions))


def _read_rendition(text: str) -> dict[str, Any]:
    size, *words = text.split(":")
    if not (match := _IN_SHORT.fullmatch(size)):
        raise RenditionSettingError(f"{text!r} is not accepted; a rendition looks like 720p60 or 480p30:always")
    found: dict[str, Any] = {"height": int(match[1])}
    if match[2]:
        found["frame_rate"] = float(match[2])
    for word in words:
        if word in ("demand", "always", "never"):
            found["mode"] = word
        elif word in ("h264", "av1", "vp8"):
            found["codec"] = word
        elif bits := _BITS.fullmatch(word):
            found["bitrate"] = round(float(bits[1]) * {"": 1, "k": 1e3, "M": 1e6}[bits[2]])
        else:
            raise RenditionSettingError(
                f"{word!r} in {text!r} is not accepted; it is demand, always, never, h264, av1, vp8 or a bit rate as 3M"
            )
    return found


def _write_rendition(setting: RenditionSetting) -> str:
    words = [f"{setting.height}p{setting.frame_rate:g}" if setting.frame_rate else f"{setting.height}p"]
    words += [setting.codec] * (setting.codec != "h264")
    words += [setting.mode] * (setting.mode != "demand")
    words += [f"{setting.bitrate}"] * bool(setting.bitrate)
    return ":".join(words)


def write_ladder(settings: Iterable[RenditionSetting]) -> str:
    """Renditions as they are stored: JSON, with the keys of `[[transcode.rendition]]`."""
    return json.dumps([dataclasses.asdict(setting) for setting in settings], ensure_ascii=False)


def read_ladder(text: str) -> Settings:
    """What `write_ladder` wrote. Raises `RenditionSettingError` for anything else."""
    try:
        return _LADDER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RenditionSettingError(f"{place}: {first['msg']}".removeprefix(": ")) from error
