"""User names of TURN that expire."""

import base64
import hashlib
import hmac

import pytest

from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.webrtc.turn import IceServer, TurnServers

URLS = ("turn:turn.example.org:3478", "turns:turn.example.org:5349?transport=tcp")


def test_a_name_holds_its_end_and_the_password_is_made_of_it() -> None:
    (server,) = TurnServers(URLS, "shared", 3600).servers(1_800_000_000.7)
    assert server.urls == URLS
    until, _, nonce = server.username.partition(":")
    assert until == "1800003600"
    assert len(nonce) == 8
    digest = hmac.new(b"shared", server.username.encode(), hashlib.sha1).digest()
    assert server.credential == base64.b64encode(digest).decode()
    assert server.credential not in repr(server)


def test_each_session_has_a_name_of_its_own() -> None:
    servers = TurnServers(URLS, "shared", 3600)
    assert servers.servers(0)[0].username != servers.servers(0)[0].username


def test_stun_servers_have_no_password() -> None:
    stun, turn = TurnServers(("stun:192.0.2.7", *URLS), "shared", 60).servers(0)
    assert stun == IceServer(("stun:192.0.2.7",))
    assert stun.links == ('<stun:192.0.2.7>; rel="ice-server"',)
    assert turn.urls == URLS
    assert [link.partition(">")[0][1:] for link in turn.links] == list(URLS)


def test_nothing_configured_is_nothing_told() -> None:
    servers = TurnServers((), "", 60)
    assert not servers
    assert servers.servers(0) == ()


@pytest.mark.parametrize("url", ["turn.example.org", "http://turn.example.org", "turn:", 'turn:a>; rel="x', "turn:a b"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"webrtc\.turn_urls"):
        TurnServers((url,), "shared", 60)


def test_turn_without_a_secret_is_no_use() -> None:
    with pytest.raises(ConfigurationError, match=r"webrtc\.turn_secret"):
        TurnServers(URLS, "", 60)
