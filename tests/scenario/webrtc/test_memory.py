"""What a session took is free when it ends, and not when the collector finds it: a crowd comes and goes at once."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from weakref import ReferenceType, ref

import pytest
from tests.support.packaged import video
from tests.support.webrtc.client import TestPeer, candidates, connect, offer
from tests.support.webrtc.house import FakeConnection, House, open_house, opening
from tests.support.webrtc.ome import answer_to, messages
from tests.support.webrtc.waiting import until
from tests.support.webrtc.watching import h264, opus

from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.hub.live import Publication, Source
from ghostlive.protocols.webrtc.egress.config import EgressConfig
from ghostlive.protocols.webrtc.egress.outlet import Outlet
from ghostlive.protocols.webrtc.egress.service import Egress
from ghostlive.protocols.webrtc.fanout.sender import Sender
from ghostlive.protocols.webrtc.publishers import Broadcast

SDP = {"content-type": "application/sdp"}
KEY = {**SDP, "authorization": "Bearer sesame"}

Remains = dict[str, ReferenceType[Any]]


@contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _peer() -> TestPeer:
    return TestPeer(now=asyncio.get_running_loop().time())


async def _expect_gone(remains: Remains) -> None:
    """All of it goes within a few turns of the event loop."""
    for _ in range(20):
        await asyncio.sleep(0)
    left = [name for name, one in remains.items() if one() is not None]
    assert not left, {name: [type(each) for each in gc.get_referrers(remains[name]())] for name in left}


def _session(house: House) -> Remains:
    """The newest session with what hangs on it."""
    session = list(house.server.sessions)[-1]
    found: Remains = {"session": ref(session), "peer": ref(session.peer), "handler": ref(session.handler)}
    handler = session.handler
    if isinstance(handler, Broadcast):
        publisher = handler._publisher
        assert publisher is not None
        found["publisher"] = ref(publisher)
        found["layers"] = ref(publisher._layers)
        for source in publisher._sources.values():
            found[f"receiver {source.receiver.ssrc}"] = ref(source.receiver)
            found[f"input {source.receiver.ssrc}"] = ref(source.input)
    return found


def _broadcast(publication: Publication, number: int) -> None:
    """One frame of the source."""
    time = publication.time_ns() * 90_000 // 1_000_000_000 + number * 3000
    publication.write(h264("v0", time, keyframe=number % 30 == 0, size=3000, number=number))


@asynccontextmanager
async def open_theatre() -> AsyncIterator[tuple[House, Publication]]:
    """A house that sends to its viewers what is published."""
    async with open_house() as house:
        publication = house.hub.publish("demo", Source("test", "192.0.2.1"), lambda reason: None)
        publication.announce([video("v0"), opus()])
        sender = Sender(house.server.udp_socket.fileno(), 1)
        egress = Egress(house.hub, sender, EgressConfig(), clock=house.clock)
        house.players._viewers = egress
        try:
            yield house, publication
        finally:
            publication.end("the test is over")
            await egress.stop()
            await sender.stop()


@pytest.mark.parametrize("end", ["delete", "peer", "stream", "server"])
async def test_a_viewer(end: str) -> None:
    async with open_theatre() as (house, publication):
        with collector_off():
            peer = _peer()
            packets: list[bytes] = []
            peer.on_rtp = packets.append
            async with house.client() as client:
                answer = await client.post("/app/demo/whep", content=offer(peer), headers=SDP)
                assert answer.status_code == 201
                peer.take_description(answer.text)
                async with connect(peer, candidates(answer.text)[0], goodbye=False) as link:
                    for number in range(40):
                        _broadcast(publication, number)
                        await asyncio.sleep(0)
                    await link.wait(lambda: len(packets) > 40)
                    remains = _session(house)
                    if end == "delete":
                        await client.delete(answer.headers["location"])
                    elif end == "peer":
                        peer.close()
                        link.flush()
                    elif end == "stream":
                        publication.end("the test ends it")
                    else:
                        next(iter(house.server.sessions)).close("the server ends it")
                    await until(lambda: len(house.server) == 0)
                    await _expect_gone(remains)
                    assert not [thing for thing in gc.get_objects() if type(thing) is Outlet]


@pytest.mark.parametrize("end", ["delete", "peer", "studio", "late"])
async def test_a_broadcaster(end: str) -> None:
    async with open_house() as house, house.client() as client:
        with collector_off():
            peer = _peer()
            sdp = offer(peer, direction="sendonly")
            sdp = sdp.replace("a=ssrc:2222 cname:test\r\n", "a=ssrc-group:SIM 2222 2223\r\na=ssrc:2222 cname:test\r\n")
            answer = await client.post("/app/demo/whip", content=sdp, headers=KEY)
            assert answer.status_code == 201
            peer.take_description(answer.text)
            vp8 = next(line for line in answer.text.split("\r\n") if "VP8/90000" in line)
            kind = int(vp8.removeprefix("a=rtpmap:").split()[0])
            async with connect(peer, candidates(answer.text)[0], goodbye=False) as link:
                await until(lambda: house.hub.get("demo") is not None)
                await _send_layers(house, peer, link, kind)
                remains = _session(house)
                assert len(remains) == 9
                live = house.hub.get("demo")
                assert live is not None
                if end == "delete":
                    await client.delete(answer.headers["location"])
                elif end == "studio":
                    live.end("ended in the studio")
                else:
                    peer.close()
                    link.flush()
                await until(lambda: len(house.server) == 0)
                await _expect_gone(remains)
                if end == "late":
                    assert house.hub.get("demo") is live
                    assert (await client.delete(answer.headers["location"])).status_code == 200
                    assert house.hub.get("demo") is None
                live.end("the test is over")


async def _send_layers(house: House, peer: TestPeer, link: Any, kind: int) -> None:
    """Two pictures, until viewers know of them."""
    live = house.hub.get("demo")
    assert live is not None
    number = 0
    while not live.announced:
        for ssrc, width in ((2222, 640), (2223, 320)):
            size = width.to_bytes(2, "little") + (width * 9 // 16).to_bytes(2, "little")
            keyframe = number % 5 == 0
            head = b"\x10\x50\x01\x00\x9d\x01\x2a" + size if keyframe else b"\x10\x51\x01\x00"
            packet = RtpPacket(kind, number, number * 3000, ssrc, head + bytes(300), marker=True)
            peer.send_rtp(packet.to_bytes())
        link.flush()
        number += 1
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("publishes", [False, True])
@pytest.mark.parametrize("end", ["socket", "peer"])
async def test_a_socket_of_ovenmediaengine(publishes: bool, end: str) -> None:
    async with open_house() if publishes else open_theatre() as place:
        house = place if isinstance(place, House) else place[0]
        with collector_off():
            connection: Any = FakeConnection()
            query = "direction=send&key=sesame" if publishes else ""
            socket = await house.gateway.open(opening("/app/demo", query), connection)
            socket.text(json.dumps({"command": "request_offer"}))
            await until(lambda: messages(connection))
            described = messages(connection)[0]
            peer = _peer()
            socket.text(json.dumps(answer_to(described, peer)))
            async with connect(peer, candidates(described["sdp"]["sdp"])[0], goodbye=False) as link:
                await until(lambda: next(iter(house.server.sessions)).secured)
                session = next(iter(house.server.sessions))
                remains: Remains = {"session": ref(session), "peer": ref(session.peer), "socket": ref(socket)}
                remains["handler"] = ref(session.handler)
                del session
                if end == "peer":
                    peer.close()
                    link.flush()
                    await until(lambda: len(house.server) == 0)
                connection.closed_with = 1000
                socket.gone()
                del socket
                await until(lambda: len(house.server) == 0)
                await _expect_gone(remains)
