"""What a player or broadcaster says on a socket of OvenMediaEngine's signalling, and hears."""

import json
from typing import Any

from tests.support.webrtc.client import TestPeer
from tests.support.webrtc.house import FakeConnection


def messages(connection: FakeConnection) -> list[Any]:
    """What it was told so far."""
    return [_text(frame) for frame in connection.frames if frame[0] == 0x81]


def answer_to(offer: Any, peer: TestPeer) -> dict[str, Any]:
    """As browsers answer: the offer's media lines, with our own transport."""
    sdp = offer["sdp"]["sdp"]
    peer.take_description(sdp)
    drop = ("a=ice-", "a=fingerprint", "a=setup", "a=candidate", "a=end-of", "a=ssrc", "a=msid:", "a=extmap-allow")
    lines = [line for line in sdp.split("\r\n") if line and not line.startswith(drop)]
    out: list[str] = []
    direction = {"a=sendonly": "a=recvonly", "a=recvonly": "a=sendonly"}
    for line in lines:
        out.append(direction.get(line, line))
        if line.startswith("a=mid:"):
            out += peer.transport_lines("active").rstrip("\r\n").split("\r\n")
    return {
        "command": "answer",
        "id": offer["id"],
        "peer_id": 0,
        "sdp": {"type": "answer", "sdp": "\r\n".join(out) + "\r\n"},
    }


def _text(frame: bytes) -> Any:
    start = {126: 4, 127: 10}.get(frame[1], 2)
    return json.loads(frame[start:])
