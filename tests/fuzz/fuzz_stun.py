"""Fuzz target: a peer of WebRTC, fed with anything before, within and after its handshake.

Run with `python -m tests.fuzz.fuzz_stun [CORPUS…]`; nothing may escape, and nobody without the password is answered.
"""

import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.protocols.webrtc"]):
    from ghostlive.protocols.webrtc.errors import StunError
    from ghostlive.protocols.webrtc.path import Path
    from ghostlive.protocols.webrtc.peer import RtcpReceived, RtpReceived
    from ghostlive.protocols.webrtc.stun import StunMessage

from tests.support.webrtc.network import SERVER, Network
from tests.support.webrtc.pair import make_pair

_STRANGER = Path("udp", ("192.0.2.66", 666))
_COOKIE = b"\x21\x12\xa4\x42"


def test_one_input(data: bytes) -> None:
    """The first byte says how far the session is, and how what follows is framed."""
    if not data:
        return
    how, rest = data[0], data[1:]
    network = Network()
    peer, client = make_pair(now=network.now, server_is_dtls_client=bool(how & 1))
    server, host = network.server(peer), network.client(client)
    stage = how >> 1 & 3
    if stage:
        network.run(lambda: client.connected if stage == 1 else peer.secured, limit=5.0)
    known = Path("udp", host.address)
    for piece in rest.split(b"\n\n"):
        framed = piece
        if how & 8:  # a STUN message whose header is right
            body = piece[: len(piece) & ~3]
            framed = b"\0\1" + len(body).to_bytes(2) + _COOKIE + bytes(12) + body
        elif how & 16:  # a DTLS record
            framed = b"\x16\xfe\xfd" + bytes(8) + len(piece).to_bytes(2) + piece
        _read(framed)
        peer.receive(framed, _STRANGER, network.now)
        assert not peer.outgoing(), "a stranger was answered"
        if not peer.closed:
            network.send(host.address, SERVER, framed)
            network.run(limit=0.5)
    assert not server.of(RtpReceived)
    assert not server.of(RtcpReceived)
    assert _STRANGER not in peer.paths
    assert known in peer.paths or not stage or peer.closed


def _read(data: bytes) -> None:
    try:
        message = StunMessage.parse(data)
    except StunError:
        return
    assert not message.verify(b"a password that the fuzzer does not know")
    _ = (message.username, message.priority, message.error_code, message.use_candidate, message.unknown_attributes())
    try:
        _ = message.mapped_address
    except StunError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
