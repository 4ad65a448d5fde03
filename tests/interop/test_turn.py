"""Watching and broadcasting through Debian's coturn, with passwords that are made from the shared secret."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import Page
from tests.support.browser import eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.coturn import Coturn, coturn
from tests.support.encoder import publishing
from tests.support.program import Program, running
from tests.support.site import Site
from tests.support.webrtc.pages import expect_playing, oven_live_kit, oven_player, whep

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

# From the header field Link, as a WHEP player reads it.
RELAYED = """async (url) => {
  const pc = new RTCPeerConnection();
  pc.addTransceiver("audio", {direction: "recvonly"});
  await pc.setLocalDescription();
  const answer = await fetch(url, {
    method: "POST", headers: {"content-type": "application/sdp"}, body: pc.localDescription.sdp});
  pc.close();
  const links = answer.headers.get("link").split(/,\\s*(?=<)/);
  await fetch(new URL(answer.headers.get("location"), url), {method: "DELETE"});
  const iceServers = links.map((link) => ({
    urls: link.match(/<(.*?)>/)[1],
    username: link.match(/username="(.*?)"/)[1],
    credential: link.match(/credential="(.*?)"/)[1],
  }));
  return {iceServers, iceTransportPolicy: "relay"};
}"""
# What the relay says to a password: a candidate's type, or the code of its error.
ALLOCATE = """(config) => new Promise((resolve) => {
  const pc = new RTCPeerConnection(config);
  pc.onicecandidate = (event) => event.candidate?.type && resolve(event.candidate.type);
  pc.onicecandidateerror = (event) => resolve(event.errorCode);
  pc.addTransceiver("audio");
  pc.setLocalDescription();
})"""


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn(tmp_path_factory.mktemp("coturn")) as found:
        yield found


@pytest.fixture(scope="module", params=["udp", "tcp"])
def relayed(
    request: pytest.FixtureRequest, turn: Coturn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """A server that tells of the relay by one transport."""
    environment = {
        "GHOSTLIVE_WEBRTC__TURN_URLS": turn.url(request.param),
        "GHOSTLIVE_WEBRTC__TURN_SECRET": turn.secret,
    }
    with running(tmp_path_factory.mktemp("relayed"), environment) as program:
        yield program


@pytest.fixture(scope="module")
def broadcast(relayed: Program) -> Iterator[Channel]:
    channel = Channel.add(relayed, "relayed")
    with publishing(channel.publish_url):
        channel.wait_until("live")
        yield channel


async def test_whep_through_the_relay(broadcast: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    config = await tab.evaluate(RELAYED, broadcast.url("whep"))
    done = await tab.evaluate("([url, config]) => play(url, config)", [broadcast.url("whep"), config])
    assert done["status"] == 201
    await expect_playing(tab)
    way = await eventually("a way", lambda: tab.evaluate("way()"))
    assert way["local"] == "relay"
    assert way["relay"] == config["iceServers"][0]["urls"].rpartition("=")[2]


async def test_oven_player_through_the_relay(broadcast: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(oven_player(outside))
    url = broadcast.url("").rstrip("/").replace("http://", "ws://")
    assert await tab.evaluate("url => play(url)", f"{url}?transport=relay") == "playing"
    await expect_moving_picture(tab, sound=False)
    assert await tab.evaluate("failures") == []


async def test_oven_live_kit_through_the_relay(relayed: Program, tab: Page, outside: Site) -> None:
    channel = Channel.add(relayed, "studio")
    await tab.goto(oven_live_kit(outside))
    url = channel.url("").rstrip("/").replace("http://", "ws://")
    await tab.evaluate("url => publish(url)", f"{url}?transport=relay&direction=send&key={channel.key}")
    await asyncio.to_thread(channel.wait_until, "live")
    await until(tab, "the connection", "window.connected === true")
    await tab.evaluate("kit.stopStreaming()")
    await asyncio.to_thread(channel.wait_until, "offline")
    assert await tab.evaluate("failures") == []


async def test_the_relay_takes_our_passwords_and_no_others(broadcast: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    config = await tab.evaluate(RELAYED, broadcast.url("whep"))
    assert await tab.evaluate(ALLOCATE, config) == "relay"
    config["iceServers"][0]["credential"] = "x" * 28
    assert await tab.evaluate(ALLOCATE, config) == 401
