"""Watching by WHEP: Chromium on a page of another site, with nothing but RTCPeerConnection and fetch."""

import asyncio

import pytest
from playwright.async_api import Page
from tests.support.browser import eventually, until
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.site import Site
from tests.support.webrtc.pages import expect_playing, whep

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def test_chromium_plays_by_udp(steady: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    assert (await tab.evaluate("url => play(url)", steady.url("whep")))["status"] == 201
    await expect_playing(tab, frames=60)
    way = await until(tab, "a way by UDP", "way().then((way) => way?.protocol === 'udp' && way)")
    assert way["port"] == steady.program.webrtc_port
    assert way["cipher"] == "SRTP_AEAD_AES_128_GCM"


async def test_chromium_plays_by_tcp_where_no_udp_gets_through(steady: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    # Candidates of the answer that go by UDP are taken out, as a firewall would.
    await tab.evaluate("""() => {
      const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function (description) {
        const sdp = description.sdp.replace(/a=candidate:\\S+ 1 udp .*\\r\\n/g, "");
        return set.call(this, {type: description.type, sdp});
      };
    }""")
    assert (await tab.evaluate("url => play(url)", steady.url("whep")))["status"] == 201
    await expect_playing(tab, frames=60)
    way = await eventually("a way", lambda: tab.evaluate("way()"))
    assert (way["protocol"], way["port"]) == ("tcp", steady.program.webrtc_port)


async def test_ice_is_restarted_and_the_picture_goes_on(steady: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    assert (await tab.evaluate("url => play(url)", steady.url("whep")))["status"] == 201
    await expect_playing(tab)
    assert (await tab.evaluate("restart()"))["status"] == 200
    await expect_playing(tab, frames=60)
    await until(tab, "the connection", "pc.connectionState === 'connected'")


async def test_the_end_of_the_stream_ends_the_connection(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    refused = await tab.evaluate("url => play(url)", channel.url("whep"))
    assert (refused["status"], refused["retry-after"]) == (404, "5")
    assert "not live" in refused["text"]
    with publishing(channel.publish_url, Picture(width=320, height=180)) as encoder:
        await asyncio.to_thread(channel.wait_until, "live")
        assert (await tab.evaluate("url => play(url)", channel.url("whep")))["status"] == 201
        await expect_playing(tab)
        encoder.stop()
        await asyncio.to_thread(channel.wait_until, "offline")
        await until(tab, "the end", "['closed', 'failed', 'disconnected'].includes(pc.connectionState)")


async def test_leaving_is_noticed(channel: Channel, tab: Page, outside: Site) -> None:
    await tab.goto(whep(outside))
    with publishing(channel.publish_url, Picture(width=320, height=180)):
        await asyncio.to_thread(channel.wait_until, "live")
        assert (await tab.evaluate("url => play(url)", channel.url("whep")))["status"] == 201
        await expect_playing(tab)

        async def viewers() -> bool:
            found = await asyncio.to_thread(channel.program.stream, channel.name)
            return bool(found["viewers"] == 1)

        await eventually("one viewer", viewers)
        status = "fetch(resource, {method: 'DELETE'}).then(answer => answer.status)"
        assert await tab.evaluate(status) == 200
        assert await tab.evaluate(status) == 404
