"""The handshake, plain and with digests, in any split."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.rtmp.errors import HandshakeError
from ghostlive.protocols.rtmp.parser.handshake import ClientHandshake, ServerHandshake


def run(client: ClientHandshake, server: ServerHandshake, step: int = 4096, rest: bytes = b"") -> None:
    sent_rest = False
    while not (client.done and server.done):
        up = client.data_to_send()
        if client.done and not sent_rest:
            up += rest
            sent_rest = True
        for at in range(0, len(up), step):
            server.receive(up[at : at + step])
        down = server.data_to_send()
        assert up or down
        for at in range(0, len(down), step):
            client.receive(down[at : at + step])


@pytest.mark.parametrize("scheme", [None, 0, 1])
@pytest.mark.parametrize("step", [1, 7, 1536, 4096])
def test_both_sides_finish(scheme: int | None, step: int) -> None:
    client = ClientHandshake(random.Random(1).randbytes, scheme=scheme)
    server = ServerHandshake(random.Random(2).randbytes)
    run(client, server, step, b"behind")
    assert server.digest == (scheme is not None)
    assert client.verified == (scheme is not None)
    assert server.rest == b"behind"
    assert client.rest == b""


@given(seed=st.integers(), scheme=st.sampled_from([0, 1]))
def test_digests_are_found_wherever_they_are(seed: int, scheme: int) -> None:
    client = ClientHandshake(random.Random(seed).randbytes, scheme=scheme)
    server = ServerHandshake(random.Random(seed + 1).randbytes)
    run(client, server)
    assert client.verified


def test_plain_answer_echoes_c1() -> None:
    server = ServerHandshake(bytes)
    c1 = bytes(8) + bytes(range(256)) * 5 + bytes(248)
    server.receive(b"\x03" + c1)
    answer = server.data_to_send()
    assert len(answer) == 1 + 2 * 1536
    assert answer[0] == 3
    assert answer[1 + 1536 :] == c1
    assert not server.done
    assert server.rest == b""


@pytest.mark.parametrize(
    ("first", "says"),
    [(b"\x16\x03\x01", "TLS"), (b"GET / HTTP/1.1", "HTTP"), (b"\x06", "RTMPE"), (b"\xff", "version 255")],
)
def test_other_protocols_are_recognized(first: bytes, says: str) -> None:
    with pytest.raises(HandshakeError, match=says):
        ServerHandshake(bytes).receive(first)
    with pytest.raises(HandshakeError):
        ClientHandshake(bytes).receive(first)
