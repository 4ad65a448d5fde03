"""The transport of WebRTC against real browsers: both DTLS roles, UDP and TCP, ICE restart, goodbye."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser
from tests.support.firefox import firefox
from tests.support.webrtc.client import shared_certificate
from tests.support.webrtc.peer_server import PeerServer, Transport, peer_server
from tests.support.webrtc.waiting import until

from ghostlive.core.track import Codec
from ghostlive.protocols.webrtc.candidate import Candidate
from ghostlive.protocols.webrtc.negotiation import LocalParameters, Negotiation, answer_offer
from ghostlive.protocols.webrtc.peer import Closed, Peer, RtcpReceived, RtpReceived, Secured
from ghostlive.protocols.webrtc.srtp import Profile
from ghostlive.protocols.webrtc.stun import BINDING_SUCCESS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

# Sends a moving picture; its offer is in `window.sdp`.
PUBLISH = """(async () => {
  const pc = window.pc = new RTCPeerConnection();
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  let count = 0;
  setInterval(() => { context.fillStyle = `hsl(${count++ * 9} 50% 50%)`; context.fillRect(0, 0, 999, 999); }, 40);
  const stream = canvas.captureStream(25);
  pc.addTransceiver(stream.getVideoTracks()[0], {direction: "sendonly", streams: [stream]});
  await pc.setLocalDescription();
  window.sdp = pc.localDescription.sdp;
  return window.sdp;
})()"""


def local_parameters(address: str, port: int, transport: Transport) -> LocalParameters:
    candidate = Candidate("1", 1, transport, 2130706431, address, port, "host")
    return LocalParameters(
        ufrag="srvu",
        pwd="server-password-0123456789",
        fingerprint=shared_certificate().fingerprint,
        candidates=(replace(candidate, tcptype="passive") if transport == "tcp" else candidate,),
        cname="test",
        session_id=1,
    )


def negotiate(offer: str, local: LocalParameters, *, client: bool) -> Negotiation:
    """What the browser is answered, with us in the given DTLS role."""
    found = answer_offer(offer, local, sending=False, codecs=[Codec.VP8, Codec.H264])
    answer = re.sub("a=setup:(active|passive)", f"a=setup:{'active' if client else 'passive'}", found.local)
    return replace(found, local=answer, transport=replace(found.transport, dtls_client=client))


async def sees_media(server: PeerServer) -> None:
    server.events.clear()
    await until(lambda: len(server.of(RtpReceived)) > 10 and bool(server.of(RtcpReceived)), within=30)


@pytest.mark.parametrize(("transport", "client"), [("udp", False), ("udp", True), ("tcp", False)])
async def test_chromium(browser: Browser, transport: Transport, client: bool) -> None:
    page = await browser.new_page()
    try:
        async with peer_server(None, transport) as (server, port):
            local = local_parameters("127.0.0.1", port, transport)
            found = negotiate(await page.evaluate(PUBLISH), local, client=client)
            now = asyncio.get_running_loop().time
            server.peer = Peer(certificate=shared_certificate(), transport=found.transport, now=now())
            take = "sdp => pc.setRemoteDescription({type: 'answer', sdp})"
            await page.evaluate(take, found.local)
            await until(lambda: server.peer.secured, within=30)
            (secured,) = server.of(Secured)
            assert isinstance(secured, Secured)
            # The DTLS server chooses, and Chromium prefers the older one.
            assert secured.local.profile is (Profile.AES128_CM_SHA1_80 if client else Profile.AEAD_AES_128_GCM)
            await sees_media(server)
            assert server.peer.path is not None
            assert server.peer.path.transport == transport
            if transport == "udp":
                await until(lambda: BINDING_SUCCESS in server.stun, within=30)  # our own check is answered

            await page.evaluate("pc.restartIce()")
            offer = await page.evaluate("pc.setLocalDescription().then(() => pc.localDescription.sdp)")
            again = negotiate(offer, replace(local, ufrag="new1", pwd="another-password-0123456789"), client=client)
            server.peer.restart(
                local_ufrag="new1",
                local_pwd="another-password-0123456789",
                remote_ufrag=again.transport.remote_ufrag,
                remote_pwd=again.transport.remote_pwd,
            )
            await page.evaluate(take, again.local.replace("o=- 1 1 ", "o=- 1 2 "))
            await until(lambda: server.peer.ufrags == ("new1",), within=30)
            await sees_media(server)
            await page.wait_for_function("pc.connectionState === 'connected'")

            await page.evaluate("pc.close()")
            await until(lambda: server.peer.closed, within=30)
            assert server.of(Closed) == [Closed("the peer has closed the session")]
    finally:
        await page.close()


@contextmanager
def own_address() -> Iterator[str]:
    """Firefox uses no loopback addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.200", 9))  # sends nothing
        yield probe.getsockname()[0]


@pytest.mark.parametrize("client", [False, True])
async def test_firefox(tmp_path: Path, client: bool) -> None:
    with own_address() as address:
        async with peer_server(None, host=address) as (server, port):
            loop = asyncio.get_running_loop()

            def begin(offer: str) -> str:
                found = negotiate(offer, local_parameters(address, port, "udp"), client=client)
                server.peer = Peer(certificate=shared_certificate(), transport=found.transport, now=loop.time())
                return found.local

            done = asyncio.Event()

            async def watch() -> None:
                await until(lambda: server.peer.secured, within=30)
                await sees_media(server)
                await until(lambda: BINDING_SUCCESS in server.stun, within=30)
                done.set()

            def play() -> None:
                with firefox(tmp_path) as browser:
                    browser.evaluate(PUBLISH)
                    answer = begin(browser.until("an offer", "window.sdp"))
                    browser.evaluate(f"pc.setRemoteDescription({{type: 'answer', sdp: {json.dumps(answer)}}})")
                    asyncio.run_coroutine_threadsafe(watch(), loop).result(100)
                    browser.evaluate("pc.close()")
                    asyncio.run_coroutine_threadsafe(until(lambda: server.peer.closed, within=30), loop).result(60)

            await asyncio.to_thread(play)
            assert done.is_set()
            assert server.of(Closed) == [Closed("the peer has closed the session")]
