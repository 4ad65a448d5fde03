"""Messages of OvenMediaEngine's signalling: JSON texts on a WebSocket.

What does not live here: which message may come when (`session`).

Names of fields are those of OvenMediaEngine, with both spellings of ICE servers: OvenPlayer takes either, OvenLiveKit
reads `ice_servers` with `user_name` only. Invariant: a hostile text raises `MessageError` and nothing else.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ghostlive.core.track import Track
from ghostlive.protocols.ome.errors import MessageError
from ghostlive.protocols.webrtc.candidate import Candidate
from ghostlive.protocols.webrtc.egress.model import RenditionInfo
from ghostlive.protocols.webrtc.turn import IceServer

_MAX_NAME: Final = 128
_CODECS: Final = {"h264": "H264", "h265": "H265", "av1": "AV1", "vp8": "VP8", "vp9": "VP9", "opus": "OPUS"}


@dataclass(frozen=True, slots=True)
class RequestOffer:
    """The first message, and again after `stop`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to our offer."""

    id: int
    sdp: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Addresses of the peer, which it tells us by its requests as well."""

    id: int


@dataclass(frozen=True, slots=True)
class ChangeRendition:
    """A wish for a rendition, or for the server to choose."""

    id: int
    name: str | None
    auto: bool | None


@dataclass(frozen=True, slots=True)
class Stop:
    """The peer is done."""

    id: int


@dataclass(frozen=True, slots=True)
class Pong:
    """A sign of life that nobody asked for."""


Message = RequestOffer | Answer | Candidates | ChangeRendition | Stop | Pong


def parse_message(text: str) -> Message:
    """Read a message of a peer. Raises `MessageError`."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError("The message is not JSON.") from None
    if not isinstance(message, dict):
        raise MessageError("The message is no JSON object.")
    match message.get("command"):
        case "request_offer":
            return RequestOffer()
        case "answer":
            return Answer(_id(message), _sdp(message))
        case "candidate":
            return Candidates(_id(message))
        case "change_rendition":
            return _change(message)
        case "stop":
            return Stop(_id(message))
        case "pong" | "ping":
            return Pong()
        case command:
            raise MessageError(f"There is no command {str(command)[:40]!r}.")


def offer(session_id: int, sdp: str, candidates: Iterable[Candidate], ice_servers: Sequence[IceServer] = ()) -> str:
    """Our offer. Without ICE servers there is no field for them: an empty one would have players use a relay only."""
    message: dict[str, Any] = {
        "command": "offer",
        "id": session_id,
        "peer_id": 0,
        "code": 200,
        "sdp": {"type": "offer", "sdp": sdp},
        "candidates": [{"candidate": candidate.to_text(), "sdpMLineIndex": 0} for candidate in candidates],
    }
    if ice_servers:
        message["ice_servers"] = [
            {"urls": server.urls, "user_name": server.username, "credential": server.credential}
            for server in ice_servers
        ]
        message["iceServers"] = [
            {"urls": server.urls, "username": server.username, "credential": server.credential}
            for server in ice_servers
        ]
    return json.dumps(message)


def playlist(stream: str, file_name: str, renditions: Iterable[RenditionInfo], *, auto: bool) -> str:
    """What a viewer can choose from. Sent once, before any `rendition_changed`."""
    return _notification(
        "playlist",
        {
            "name": stream,
            "file_name": file_name,
            "auto": auto,
            "renditions": [_rendition(rendition) for rendition in renditions],
        },
    )


def rendition_changed(name: str, *, auto: bool) -> str:
    """The viewer sees this rendition."""
    return _notification("rendition_changed", {"rendition_name": name, "auto": auto}, auto=auto)


def error(code: int, text: str, session_id: int | None = None) -> str:
    """A refusal, after which the socket is closed."""
    message: dict[str, Any] = {"code": code, "error": text}
    if session_id is not None:
        message |= {"id": session_id, "peer_id": 0}
    return json.dumps(message)


def _notification(kind: str, content: dict[str, Any], **more: Any) -> str:
    # Players look for `auto` beside the message, and not in it.
    return json.dumps({"command": "notification", "type": kind, "message": content, **more})


def _rendition(rendition: RenditionInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"name": rendition.name}
    if (video := rendition.video) is not None:
        found["video_track"] = {
            "name": video.id,
            "video": {
                "bitrate": str(rendition.bitrate),
                "width": video.width or 0,
                "height": video.height or 0,
                "framerate": float(video.frame_rate) if video.frame_rate else 0.0,
                "codec": _codec(video),
            },
        }
    if (audio := rendition.audio) is not None:
        found["audio_track"] = {
            "name": audio.id,
            # Where there is no picture, players read the bit rate here.
            "bitrate": str(rendition.bitrate),
            "audio": {"samplerate": audio.sample_rate, "channel": audio.channels, "codec": _codec(audio)},
        }
    return found


def _codec(track: Track) -> str:
    return _CODECS.get(track.codec.value, track.codec.value.upper())


def _id(message: dict[str, Any]) -> int:
    found = message.get("id")
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    raise MessageError("Invalid ID")


def _sdp(message: dict[str, Any]) -> str:
    description = message.get("sdp")
    if not isinstance(description, dict) or not isinstance(text := description.get("sdp"), str) or not text:
        raise MessageError("There is no SDP")
    if description.get("type") != "answer":
        raise MessageError("Invalid SDP type")
    return text


def _change(message: dict[str, Any]) -> ChangeRendition:
    name, auto = message.get("rendition_name"), message.get("auto")
    if name is not None and not (isinstance(name, str) and len(name) <= _MAX_NAME):
        raise MessageError("rendition_name is no name of a rendition")
    if auto is not None and not isinstance(auto, bool):
        raise MessageError("auto is true or false")
    return ChangeRendition(_id(message), name, auto)
