"""The listeners over real sockets on the loopback address, with a real hub."""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.rtmp_broadcast import AAC_CONFIG, H264_CONFIG, h264
from tests.support.rtmp_client import RtmpClient

from ghostlive.access.decision import AccessRequest, Decision, Verdict
from ghostlive.core.errors import ConfigurationError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec
from ghostlive.formats.flv import Packet, PacketKind
from ghostlive.formats.proxy_protocol import header_v1, header_v2
from ghostlive.hub.config import HubConfig
from ghostlive.hub.hub import Hub
from ghostlive.hub.subscription import Announced, Ended, Interrupted, Item
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
from ghostlive.protocols.rtmp.parser.message import Message
from ghostlive.protocols.rtmp.server import RtmpServer
from ghostlive.protocols.rtmp.tls import Certificates

LOCAL = "127.0.0.1"
CONFIG = RtmpConfig(host=LOCAL, port=0)
UNKNOWN = "this stream key is unknown; copy it again from the studio"


class Door:
    """An authorizer that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AccessRequest] = []
        self.fail: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def decide(self, request: AccessRequest) -> Decision:
        self.asked.append(request)
        await self.gate.wait()
        if self.fail is not None:
            raise self.fail
        if request.key == "KEY":
            return Decision(Verdict.ALLOWED, request.stream or "show")
        return Decision(Verdict.KEY_UNKNOWN, reason=UNKNOWN)


class House:
    """A server with a hub."""

    def __init__(self, data: Path, config: RtmpConfig = CONFIG, tls: RtmpsConfig | None = None) -> None:
        self.door = Door()
        self.hub = Hub(HubConfig())
        self.data = data
        self.server = RtmpServer(
            config=config,
            tls=tls or RtmpsConfig(enabled=False),
            data=data,
            authorize=self.door.decide,
            hub=self.hub,
        )

    def port(self, protocol: str = "rtmp") -> int:
        return self.server.addresses[protocol][0][1]


Open = Callable[..., contextlib.AbstractAsyncContextManager[House]]


@pytest.fixture
def house(tmp_path: Path) -> Open:
    @contextlib.asynccontextmanager
    async def open_house(config: RtmpConfig = CONFIG, tls: RtmpsConfig | None = None) -> AsyncIterator[House]:
        house = House(tmp_path, config, tls)
        await house.server.start()
        try:
            yield house
        finally:
            await house.server.stop(0.2)
            house.hub.close()

    return open_house


class Encoder:
    """An `RtmpClient` on a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.client = RtmpClient()

    async def until(self, done: Callable[[RtmpClient], bool]) -> None:
        """Talk until `done`, or the server closes."""
        async with asyncio.timeout(5):
            while True:
                self.writer.write(self.client.data_to_send())
                await self.writer.drain()
                if done(self.client):
                    return
                data = await self.reader.read(65536)
                if not data:
                    return
                self.client.receive(data)

    async def publish(self, name: str = "KEY") -> list[tuple[str, str]]:
        self.client.connect()
        self.client.publish(name)
        await self.until(lambda client: bool(client.statuses()))
        return self.client.statuses()

    async def media(self, frames: int = 30) -> None:
        self.client.config(Codec.H264, H264_CONFIG)
        self.client.config(Codec.AAC, AAC_CONFIG)
        for index in range(frames):
            time = index * 1000 // 30
            self.client.packet(Packet(PacketKind.FRAME, Codec.AAC, b"sound"), time)
            self.client.packet(Packet(PacketKind.FRAME, Codec.H264, h264(index == 0), index == 0), time)
        await self.until(lambda client: True)

    async def closed(self) -> None:
        await self.until(lambda client: False)


@contextlib.asynccontextmanager
async def encoder(
    port: int, context: ssl.SSLContext | None = None, preface: bytes = b"", local: str = LOCAL
) -> AsyncIterator[Encoder]:
    loop = asyncio.get_running_loop()
    connected = socket.create_connection((LOCAL, port), source_address=(local, 0))
    connected.setblocking(False)
    if preface:
        await loop.sock_sendall(connected, preface)
    reader, writer = await asyncio.open_connection(
        sock=connected, ssl=context, server_hostname="localhost" if context else None
    )
    try:
        yield Encoder(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def trusting(house: House) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=house.data / "rtmps-self-signed.pem")


async def collect(house: House, done: Callable[[list[Item]], bool]) -> list[Item]:
    subscription = house.hub.subscribe("show")
    items: list[Item] = []
    async with asyncio.timeout(60):
        while not done(items):
            items += await subscription.batch()
    subscription.close()
    return items


async def test_publish_reaches_the_hub(house: Open) -> None:
    async with house() as home, encoder(home.port()) as peer:
        assert home.server.listening
        assert await peer.publish() == [("NetStream.Publish.Start", "publishing")]
        assert home.door.asked[0].address == LOCAL
        assert home.door.asked[0].protocol == "rtmp"
        await peer.media()
        items = await collect(home, lambda items: sum(isinstance(item, Frame) for item in items) == 60)
        assert isinstance(items[0], Announced)
        peer.client.unpublish("KEY")
        reading = asyncio.create_task(collect(home, lambda items: bool(items) and isinstance(items[-1], Ended)))
        await asyncio.sleep(0)
        await peer.until(lambda client: client.statuses()[-1][0] == "NetStream.Unpublish.Success")
        await reading
        assert home.hub.get("show") is None


async def test_a_dropped_connection_interrupts(house: Open) -> None:
    async with house() as home:
        async with encoder(home.port()) as peer:
            await peer.publish()
            await peer.media()
            reading = asyncio.create_task(
                collect(home, lambda items: bool(items) and isinstance(items[-1], Interrupted))
            )
            await asyncio.sleep(0)
            peer.writer.transport.abort()
        await reading
        async with encoder(home.port()) as peer:
            assert (await peer.publish())[0][0] == "NetStream.Publish.Start"


async def test_wrong_keys_are_told(house: Open) -> None:
    async with house() as home, encoder(home.port()) as peer:
        assert await peer.publish("wrong") == [("NetStream.Publish.BadName", UNKNOWN)]
        await peer.closed()


async def test_a_second_publisher_is_told(house: Open) -> None:
    async with house() as home, encoder(home.port()) as first, encoder(home.port()) as second:
        await first.publish()
        ((code, description),) = await second.publish("show?key=KEY")
        assert code == "NetStream.Publish.BadName"
        assert "show is live already" in description


async def test_a_takeover_is_told(house: Open) -> None:
    async with house() as home, encoder(home.port()) as first, encoder(home.port()) as second:
        home.hub._config = HubConfig(second_publisher="takeover")
        await first.publish()
        await second.publish()
        await first.closed()
        assert first.client.statuses()[-1] == (
            "NetStream.Publish.BadName", "another publisher took the stream over"
        )  # fmt: skip


async def test_an_unusable_stream_is_told(house: Open) -> None:
    async with house() as home, encoder(home.port()) as peer:
        await peer.publish()
        peer.client.send(Message(9, 1, 0, b"\x12\x00"), 6)
        await peer.closed()
        code, description = peer.client.statuses()[-1]
        assert code == "NetStream.Publish.Rejected"
        assert "send H.264" in description


async def test_an_authorizer_that_breaks_is_no_open_door(house: Open) -> None:
    async with house() as home, encoder(home.port()) as peer:
        home.door.fail = RuntimeError("database is gone")
        ((_, description),) = await peer.publish()
        assert "could not check the stream key" in description


async def test_a_peer_that_leaves_while_it_is_judged(house: Open) -> None:
    async with house() as home:
        home.door.gate.clear()
        async with encoder(home.port()) as peer:
            peer.client.connect()
            peer.client.publish("KEY")
            await peer.until(lambda client: len(client.commands) >= 5)
        while home.server.connections:
            await asyncio.sleep(0.01)
        home.door.gate.set()
        assert home.hub.get("show") is None


async def test_half_handshakes_are_closed(house: Open) -> None:
    async with house(replace(CONFIG, handshake_timeout=0.2)) as home, encoder(home.port()) as peer:
        peer.writer.write(b"\x03" + bytes(100))
        assert await asyncio.wait_for(peer.reader.read(), 5) == b""


async def test_garbage_is_closed(house: Open) -> None:
    async with house() as home, encoder(home.port()) as peer:
        peer.writer.write(os.urandom(1).replace(b"\x03", b"\x04") + os.urandom(5000))
        assert await asyncio.wait_for(peer.reader.read(), 5) == b""


async def test_a_peer_that_does_not_read_is_cut_off(house: Open) -> None:
    config = replace(CONFIG, max_commands_per_second=1_000_000)
    async with house(config) as home, encoder(home.port()) as peer:
        await peer.publish()
        peer.client.writer.chunk_size = 128
        for _ in range(2000):
            peer.client.command("getStreamLength", None, "x")
        data = peer.client.data_to_send()
        with contextlib.suppress(OSError):
            for _ in range(100):
                peer.writer.write(data)
                await asyncio.wait_for(peer.writer.drain(), 5)
        while home.server.connections:
            await asyncio.sleep(0.01)


async def test_connections_per_address(house: Open) -> None:
    config = replace(CONFIG, max_connections_per_address=1)
    async with house(config) as home, encoder(home.port()) as first:
        await first.publish()
        async with encoder(home.port()) as second:
            ((code, description),) = await second.publish()
            assert code == "NetConnection.Connect.Rejected"
            assert "too many connections from 127.0.0.1" in description
        async with encoder(home.port(), local="127.0.0.2") as third:
            assert (await third.publish("other?key=KEY"))[0][0] == "NetStream.Publish.Start"


async def test_all_connections(house: Open) -> None:
    async with house(replace(CONFIG, max_connections=1)) as home, encoder(home.port()) as first:
        await first.publish()
        async with encoder(home.port()) as second:
            ((_, description),) = await second.publish()
            assert "as many connections as it takes" in description


async def test_floods_are_closed_at_once(house: Open) -> None:
    config = replace(CONFIG, max_connections=1, handshake_timeout=5)
    async with house(config) as home, contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(encoder(home.port())) for _ in range(30)]
        closed = await asyncio.gather(*(asyncio.wait_for(peer.reader.read(), 5) for peer in peers[20:]))
        assert closed == [b""] * 10


async def test_a_stopping_server_says_goodbye(house: Open) -> None:
    async with house() as home, encoder(home.port()) as peer:
        await peer.publish()
        stopping = asyncio.create_task(home.server.stop(2))
        await peer.closed()
        peer.writer.close()
        await stopping
        assert peer.client.statuses()[-1] == ("NetConnection.Connect.Closed", "the server is stopping")
        assert not home.server.listening


async def test_a_port_in_use_is_an_os_error(house: Open, tmp_path: Path) -> None:
    async with house() as home:
        other = House(tmp_path, replace(CONFIG, port=home.port()))
        with pytest.raises(OSError, match=str(home.port())):
            await other.server.start()


async def test_every_address_of_both_families(house: Open) -> None:
    async with house(replace(CONFIG, host="")) as home, encoder(home.port()) as peer:
        await peer.publish()
        assert home.door.asked[0].address == LOCAL


@pytest.mark.parametrize("header", [header_v1, header_v2])
@pytest.mark.parametrize("protocol", ["rtmp", "rtmps"])
async def test_proxied_connections(house: Open, header: Callable[[str, str, int, int], bytes], protocol: str) -> None:
    config = replace(CONFIG, trusted_proxies=("127.0.0.0/8",))
    async with house(config, RtmpsConfig(port=0)) as home:
        context = trusting(home) if protocol == "rtmps" else None
        preface = header("2001:db8::7", "2001:db8::1", 5, 1935)
        async with encoder(home.port(protocol), context, preface) as peer:
            assert (await peer.publish())[0][0] == "NetStream.Publish.Start"
        assert home.door.asked[0].address == "2001:db8::7"
        assert home.door.asked[0].protocol == protocol


async def test_health_checks_of_a_proxy(house: Open) -> None:
    async with (
        house(replace(CONFIG, trusted_proxies=(LOCAL,))) as home,
        encoder(home.port(), preface=b"PROXY UNKNOWN\r\n") as peer,
    ):
        await peer.publish()
        assert home.door.asked[0].address == LOCAL


@pytest.mark.parametrize("preface", [b"\x03" + bytes(1536), b"PROXY TCP4 x"])
async def test_proxies_without_a_header_are_closed(house: Open, preface: bytes) -> None:
    config = replace(CONFIG, trusted_proxies=(LOCAL,), handshake_timeout=0.3)
    async with house(config) as home, encoder(home.port(), preface=preface) as peer:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(peer.reader.read(), 5) == b""
        assert home.door.asked == []


async def test_headers_of_strangers_are_not_believed(house: Open) -> None:
    async with house() as home, encoder(home.port(), preface=header_v1("192.0.2.9", "192.0.2.1", 1, 2)) as peer:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(peer.reader.read(), 5) == b""


def test_networks_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no network"):
        House(tmp_path, replace(CONFIG, trusted_proxies=("proxy.example",)))


async def test_rtmps_with_a_self_signed_certificate(house: Open) -> None:
    async with house(tls=RtmpsConfig(port=0)) as home, encoder(home.port("rtmps"), trusting(home)) as peer:
        assert (await peer.publish())[0][0] == "NetStream.Publish.Start"
        assert home.door.asked[0].protocol == "rtmps"
        peer.client.command("publish", None, "again", "live", stream=1)
        await peer.closed()
        assert "one stream only" in peer.client.statuses()[-1][1]
    assert stat.S_IMODE((home.data / "rtmps-self-signed.pem").stat().st_mode) == 0o600


async def test_old_tls_is_refused(house: Open) -> None:
    async with house(tls=RtmpsConfig(port=0)) as home:
        peer = socket.create_connection((LOCAL, home.port("rtmps")))
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        # A ClientHello that knows nothing above TLS 1.0.
        hello = b"\x03\x01" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x14" + b"\x01\x00"
        await loop.sock_sendall(
            peer,
            b"\x16\x03\x01" + (len(hello) + 4).to_bytes(2, "big") + b"\x01" + len(hello).to_bytes(3, "big") + hello,
        )
        answer = await asyncio.wait_for(loop.sock_recv(peer, 100), 5)
        assert not answer.startswith(b"\x16"), "a ServerHello"
        peer.close()


@pytest.mark.interop
@pytest.mark.parametrize("protocol", ["rtmp", "rtmps"])
async def test_ffmpeg(house: Open, protocol: str) -> None:
    async with house(tls=RtmpsConfig(port=0)) as home:
        arguments = "-nostdin -loglevel error -re -f lavfi -i testsrc2=s=320x180:r=30 -f lavfi -i sine=r=48000"
        arguments += " -t 3 -c:v libx264 -preset ultrafast -bf 2 -g 30 -c:a aac -f flv"
        address = f"{protocol}://{LOCAL}:{home.port(protocol)}/app/show?key=KEY"
        process = await asyncio.create_subprocess_exec(
            "ffmpeg", *arguments.split(), address, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(60):
            while home.hub.get("show") is None:
                await asyncio.sleep(0.02)
            items = await collect(home, lambda items: bool(items) and isinstance(items[-1], Ended))
            assert await process.wait() == 0
        announced = items[0]
        assert isinstance(announced, Announced)
        video, audio = announced.tracks
        assert (video.width, video.height, video.frame_rate, video.has_b_frames) == (320, 180, Fraction(30), True)
        assert (audio.codec, audio.sample_rate) == (Codec.AAC, 48_000)
        frames = [item for item in items if isinstance(item, Frame)]
        pictures = [frame for frame in frames if frame.track == "v0"]
        sounds = [frame for frame in frames if frame.track == "a0"]
        assert len(pictures) == 90
        assert len(sounds) > 130
        assert all(later.dts - sound.dts == 1024 for sound, later in itertools.pairwise(sounds))
        assert [frame.keyframe for frame in pictures[:31]].count(True) == 2


def serial(port: int) -> int:
    pem = ssl.get_server_certificate((LOCAL, port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture
def two_certificates(tmp_path: Path) -> tuple[bytes, bytes]:
    """PEM files with their keys."""
    made = []
    for name in ("one", "two"):
        Certificates(RtmpsConfig(), tmp_path / name).context()
        made.append((tmp_path / name / "rtmps-self-signed.pem").read_bytes())
    return made[0], made[1]


async def test_a_changed_certificate_counts_for_new_connections(
    house: Open, tmp_path: Path, two_certificates: tuple[bytes, bytes]
) -> None:
    used = tmp_path / "used.pem"
    await asyncio.to_thread(used.write_bytes, two_certificates[0])
    context = await asyncio.to_thread(ssl.create_default_context, cafile=str(used))
    async with (
        house(tls=RtmpsConfig(port=0, certificate=str(used))) as home,
        encoder(home.port("rtmps"), context) as peer,
    ):
        await peer.publish()
        first = await asyncio.to_thread(serial, home.port("rtmps"))
        await asyncio.to_thread(used.write_text, "half a certificate")
        assert await asyncio.to_thread(serial, home.port("rtmps")) == first
        await asyncio.to_thread(used.write_bytes, two_certificates[1])
        assert await asyncio.to_thread(serial, home.port("rtmps")) != first
        # The running session goes on.
        count = len(peer.client.commands)
        peer.client.command("getStreamLength", None, "x")
        await peer.until(lambda client: len(client.commands) > count)
        assert len(peer.client.commands) > count


def test_certificates_are_kept_and_checked(tmp_path: Path) -> None:
    first = Certificates(RtmpsConfig(), tmp_path)
    first.context()
    made = (tmp_path / "rtmps-self-signed.pem").read_bytes()
    Certificates(RtmpsConfig(), tmp_path).context()
    assert (tmp_path / "rtmps-self-signed.pem").read_bytes() == made
    with pytest.raises(ConfigurationError, match=r"rtmps\.certificate"):
        Certificates(RtmpsConfig(certificate=str(tmp_path / "none.pem"), key="none.key"), tmp_path).context()
