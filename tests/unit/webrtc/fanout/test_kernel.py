"""The fan-out kernels, by real sockets: what viewers get, the same from each kernel, and readable by libsrtp."""

import contextlib
import errno
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest
from pylibsrtp import Policy, Session

from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.protocols.webrtc.fanout import choose
from ghostlive.protocols.webrtc.fanout.twin import PythonKernel
from ghostlive.protocols.webrtc.fanout.types import Address, Binding, Burst, Kernel, Packet, SendResult
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys

Maker = Callable[[int], Kernel]

MAKERS: dict[str, Maker] = {"python": PythonKernel}
if choose.make_native is not None:
    from ghostlive.protocols.webrtc.fanout._kernel import NativeKernel

    MAKERS["native"] = NativeKernel
    MAKERS["native without trains"] = lambda fd: NativeKernel(fd, offload=False)

VIDEO, AUDIO = 7, 8
NOW = 1_234_567_890


class Viewers:
    """A kernel with a socket, and sockets of viewers."""

    def __init__(self, make: Maker, server: int = socket.AF_INET, client: int = socket.AF_INET) -> None:
        self.socket = socket.socket(server, socket.SOCK_DGRAM)
        if server == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.bind(("", 0))
        self.kernel = make(self.socket.fileno())
        self.family = client
        self.clients: dict[int, socket.socket] = {}

    def close(self) -> None:
        self.kernel.shut()
        self.socket.close()
        for client in self.clients.values():
            client.close()

    def add(self, viewer: int, profile: Profile = Profile.AEAD_AES_128_GCM) -> Address:
        """Open a viewer with a socket."""
        client = self.clients[viewer] = socket.socket(self.family, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        host = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
        client.bind((host, 0))
        # Nobody else's datagrams: the port may have been that of another program a moment ago.
        client.connect((host, self.socket.getsockname()[1]))
        address = (self.family, *client.getsockname()[:2])
        self.kernel.open(viewer, keys(viewer, profile), address)
        return address

    def got(self, viewer: int, count: int) -> list[bytes]:
        """The next `count` datagrams of a viewer, which has no more after that."""
        client = self.clients[viewer]
        client.settimeout(20)
        packets = [client.recv(1 << 16) for _ in range(count)]
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1 << 16)
        return packets


@pytest.fixture(params=MAKERS)
def viewers(request: pytest.FixtureRequest) -> Iterator[Viewers]:
    """Each kernel in turn."""
    here = Viewers(MAKERS[request.param])
    yield here
    here.close()


def keys(viewer: int, profile: Profile) -> SrtpKeys:
    """Keys that differ for each viewer."""
    return SrtpKeys(
        profile,
        bytes((viewer * 31 + i * 7) & 0xFF for i in range(profile.key_length)),
        bytes((viewer * 17 + i * 5 + 1) & 0xFF for i in range(profile.salt_length)),
    )


def reader(viewer: int, profile: Profile = Profile.AEAD_AES_128_GCM) -> Callable[[bytes], RtpPacket]:
    """Decrypts with libsrtp what that viewer gets."""
    own = keys(viewer, profile)
    session = Session(Policy(own.key + own.salt, Policy.SSRC_ANY_INBOUND, srtp_profile=int(profile)))
    return lambda data: RtpPacket.parse(session.unprotect(data))


def binding(viewer: int, *, first: int = 100, timestamp: int = 5000, **extra: int | bytes) -> Binding:
    """A binding without extensions, unless there is `extra`."""
    return Binding(1000 + viewer, 96, first, timestamp, **extra)  # type: ignore[arg-type]


ALL_EXTENSIONS: dict[str, int | bytes] = {
    "abs_send_time_id": 3,
    "transport_sequence_id": 5,
    "mid_id": 9,
    "mid": b"video",
}


def frame(*sizes: int, index: int = 0, timestamp: int = 0, marker: bool = True) -> Burst:
    """A burst with payloads of these sizes, which differ."""
    payloads = [bytes((index + i + j) & 0xFF for j in range(size)) for i, size in enumerate(sizes)]
    return Burst(index, timestamp, payloads, marker)


def lanes_of(viewers: Viewers, profile: Profile, extra: dict[str, int | bytes]) -> None:
    """Three viewers in two lanes."""
    for viewer in range(3):
        viewers.add(viewer, profile)
        viewers.kernel.bind(viewer, VIDEO, binding(viewer, first=0xFFF0 + viewer, timestamp=0xFFFFFF00, **extra))
        viewers.kernel.bind(viewer, AUDIO, Binding(2000 + viewer, 111, 7, 9, mid_id=9, mid=b"a"))


def both_lanes(kernel: Kernel) -> SendResult:
    """Bursts of many shapes; see `COUNT`."""
    result = kernel.send(VIDEO, frame(1100, 1100, 1100, 500), NOW)
    result += kernel.send(VIDEO, frame(700, 1100, 1100, 20, 20, 0, 30, index=4, timestamp=3000, marker=False), NOW)
    result += kernel.send(AUDIO, frame(160, index=0), NOW + 1)
    result += kernel.send(VIDEO, frame(*[1200] * 130, 7, index=11, timestamp=6000), NOW + 63_999_999)
    result += kernel.hold(AUDIO, frame(150, index=1, timestamp=960), NOW + 2)
    result += kernel.send(VIDEO, frame(1000, 1000, 960, index=142, timestamp=9000), NOW + 64_000_000)
    result += kernel.hold(AUDIO, frame(150, index=2, timestamp=1920), NOW + 3)
    result += kernel.hold(AUDIO, frame(140, index=3, timestamp=2880), NOW + 3)
    result += kernel.send(VIDEO, frame(50, index=145, timestamp=12000), NOW + 4)
    result += kernel.hold(AUDIO, frame(140, 10, index=4, timestamp=3840), NOW + 5)
    return result + kernel.release(AUDIO, NOW + 6)


COUNT = 4 + 7 + 1 + 131 + 1 + 3 + 2 + 1 + 2


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "python"])
@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("extra", [{}, {"abs_send_time_id": 1}, ALL_EXTENSIONS], ids=["plain", "time", "all"])
@pytest.mark.parametrize(
    ("server", "client"),
    [(socket.AF_INET, socket.AF_INET), (socket.AF_INET6, socket.AF_INET6), (socket.AF_INET6, socket.AF_INET)],
    ids=["IPv4", "IPv6", "mapped"],
)
def test_each_kernel_sends_the_same_bytes(
    name: str, profile: Profile, extra: dict[str, int | bytes], server: int, client: int
) -> None:
    """Sequence numbers and timestamps roll over in the middle; there are trains, single packets and held ones."""
    outputs = []
    for make in (MAKERS["python"], MAKERS[name]):
        viewers = Viewers(make, server, client)
        lanes_of(viewers, profile, extra)
        result = both_lanes(viewers.kernel)
        packets = [viewers.got(viewer, COUNT) for viewer in range(3)]
        assert result == SendResult(3 * COUNT, sum(len(p) for of in packets for p in of), 0)
        sent = [viewers.kernel.sent(viewer, -5, 200) for viewer in range(3)]
        viewers.close()
        outputs.append((packets, sent, result))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("profile", list(Profile))
def test_libsrtp_reads_what_was_meant(viewers: Viewers, profile: Profile) -> None:
    """Every field of every packet, across the rollover of sequence number and timestamp."""
    lanes_of(viewers, profile, ALL_EXTENSIONS)
    both_lanes(viewers.kernel)
    for viewer in range(3):
        read = reader(viewer, profile)
        packets = [read(data) for data in viewers.got(viewer, COUNT)]
        video = [packet for packet in packets if packet.ssrc == 1000 + viewer]
        audio = [packet for packet in packets if packet.ssrc == 2000 + viewer]
        assert [p.sequence_number for p in video] == [(0xFFF0 + viewer + i) & 0xFFFF for i in range(146)]
        assert [p.sequence_number for p in audio] == [7, 8, 9, 10, 11, 12]
        assert {p.payload_type for p in video} == {96}
        assert {p.payload_type for p in audio} == {111}
        ticks = [0] * 4 + [3000] * 7 + [6000] * 131 + [9000] * 3 + [12000]
        assert [p.timestamp for p in video] == [(0xFFFFFF00 + tick) & 0xFFFFFFFF for tick in ticks]
        assert [i for i, p in enumerate(video) if p.marker] == [3, 141, 144, 145]
        assert [i for i, p in enumerate(audio) if p.marker] == [0, 1, 2, 3, 5]
        assert [len(p.payload) for p in video] == [
            *(1100, 1100, 1100, 500, 700, 1100, 1100, 20, 20, 0, 30, *[1200] * 130, 7, 1000, 1000, 960, 50)
        ]
        assert [p.padding for p in video] == [0] * 144 + [40, 0]
        assert video[0].payload == frame(1100).payloads[0]
        assert [dict(p.extensions)[5] for p in video] == [i.to_bytes(2) for i in range(146)]
        assert {dict(p.extensions)[9] for p in video} == {b"video"}
        assert {p.extensions for p in audio} == {((9, b"a"),)}
        times = [int.from_bytes(dict(p.extensions)[3]) for p in video]
        assert times[0] == (NOW % 64_000_000 << 18) // 1_000_000
        assert times[11] == ((NOW + 63_999_999) % 64_000_000 << 18) // 1_000_000
        assert times[142] == times[0]


def test_a_frame_is_one_message_for_each_viewer() -> None:
    """With trains: equal packets, the smaller last one, and the held audio packet behind a filled up last one."""
    make = MAKERS.get("native", PythonKernel)
    viewers = Viewers(make)
    lanes_of(viewers, Profile.AEAD_AES_128_GCM, {})
    kernel = viewers.kernel
    kernel.send(VIDEO, frame(*[1100] * 8, 300), NOW)
    kernel.hold(AUDIO, frame(160), NOW)
    kernel.send(VIDEO, frame(*[1100] * 8, 1090, index=9), NOW)
    trains = 3 * 2
    assert kernel.stats().messages == (trains if kernel.native else 3 * 19)
    viewers.close()


def test_a_burst_larger_than_the_buffer(viewers: Viewers) -> None:
    lanes_of(viewers, Profile.AEAD_AES_128_GCM, {})
    viewers.kernel.send(VIDEO, frame(*[1300] * 250, 5), NOW)
    viewers.kernel.send(VIDEO, frame(*[4096] * 40, index=251), NOW)
    for viewer in range(3):
        session = reader(viewer)
        got = viewers.got(viewer, 291)
        assert [session(data).sequence_number for data in got[:251]] == [
            (0xFFF0 + viewer + i) & 0xFFFF for i in range(251)
        ]
        assert {len(data) for data in got[251:]} == {12 + 4096 + 16}


def test_what_is_held_waits_for_release(viewers: Viewers) -> None:
    lanes_of(viewers, Profile.AEAD_AES_128_GCM, {})
    kernel = viewers.kernel
    kernel.unbind(1, VIDEO)
    assert kernel.hold(AUDIO, frame(100), NOW) == SendResult()
    for viewer in range(3):
        viewers.got(viewer, 0)
    kernel.send(VIDEO, frame(200), NOW)
    viewers.got(0, 2)
    viewers.got(1, 0)
    # The two that have it already do not get it again.
    assert kernel.release(AUDIO, NOW).packets == 1
    viewers.got(0, 0)
    viewers.got(1, 1)
    viewers.got(2, 2)
    assert kernel.release(AUDIO, NOW) == SendResult()


def test_a_lane_holds_no_more_than_a_few_bursts_and_keeps_their_order(viewers: Viewers) -> None:
    lanes_of(viewers, Profile.AEAD_AES_128_GCM, {})
    for i in range(9):
        viewers.kernel.hold(AUDIO, frame(10 + i, index=i), NOW)
    read = reader(0)
    assert [read(data).sequence_number for data in viewers.got(0, 8)] == list(range(7, 15))
    viewers.kernel.send(AUDIO, frame(5, index=9), NOW)
    assert [read(data).sequence_number for data in viewers.got(0, 2)] == [15, 16]


def test_who_comes_later_does_not_get_what_is_held(viewers: Viewers) -> None:
    lanes_of(viewers, Profile.AEAD_AES_128_GCM, {})
    viewers.kernel.hold(AUDIO, frame(100), NOW)
    viewers.add(3)
    viewers.kernel.bind(3, VIDEO, binding(3))
    viewers.kernel.bind(3, AUDIO, binding(3))
    viewers.kernel.send(VIDEO, frame(200), NOW)
    viewers.kernel.release(AUDIO, NOW)
    viewers.got(3, 1)
    viewers.got(2, 2)


def test_viewers_come_go_and_move(viewers: Viewers) -> None:
    kernel = viewers.kernel
    addresses = [viewers.add(viewer) for viewer in range(5)]
    for viewer in range(5):
        kernel.bind(viewer, VIDEO, binding(viewer))
    assert kernel.viewers(VIDEO) == 5
    kernel.unbind(0, VIDEO)
    kernel.close(3)
    kernel.close(3)
    kernel.move(2, addresses[3])
    kernel.move(1, None)
    assert kernel.viewers(VIDEO) == 3
    assert kernel.stats().viewers == 4
    assert kernel.send(VIDEO, frame(100, 100), NOW).packets == 4
    for viewer, count in enumerate((0, 0, 0, 2, 2)):
        viewers.got(viewer, count)
    # Bound to the lane again, with other numbers.
    kernel.bind(4, VIDEO, binding(4, first=500))
    kernel.send(VIDEO, frame(100), NOW)
    assert reader(4)(viewers.got(4, 1)[0]).sequence_number == 500
    for viewer in range(5):
        kernel.close(viewer)
    assert kernel.viewers(VIDEO) == 0
    assert kernel.send(VIDEO, frame(100), NOW) == SendResult()
    assert kernel.stats().viewers == 0


@pytest.mark.parametrize("server", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_sent_comes_from_the_address_that_was_asked(make: Maker, server: socket.AddressFamily) -> None:
    """A host with several addresses: its peers drop what comes from another one than theirs."""
    with contextlib.closing(Viewers(make, server)) as viewers:
        family, host, port, *_ = viewers.add(1)
        client = viewers.clients[1]
        client.connect(("127.0.0.2", viewers.socket.getsockname()[1]))
        viewers.kernel.move(1, (family, host, port, "127.0.0.2"))
        viewers.kernel.bind(1, VIDEO, binding(1))
        viewers.kernel.send(VIDEO, frame(100), NOW)
        viewers.kernel.send(VIDEO, frame(100, 100, 50), NOW)
        assert [len(packet) for packet in viewers.got(1, 4)]
        viewers.kernel.move(1, (family, host, port))
        viewers.kernel.send(VIDEO, frame(100, 100, 50), NOW)
        viewers.got(1, 0)
        with pytest.raises(ValueError, match="no address to send from"):
            viewers.kernel.move(1, (family, host, port, "here"))


def test_a_viewer_opened_twice_begins_anew(viewers: Viewers) -> None:
    address = viewers.add(1)
    viewers.kernel.bind(1, VIDEO, binding(1))
    viewers.kernel.open(1, keys(9, Profile.AES128_CM_SHA1_80), address)
    assert viewers.kernel.viewers(VIDEO) == 0
    viewers.kernel.bind(1, VIDEO, binding(1))
    viewers.kernel.send(VIDEO, frame(50), NOW)
    assert reader(9, Profile.AES128_CM_SHA1_80)(viewers.got(1, 1)[0]).payload == frame(50).payloads[0]


def test_who_is_not_there_is_ignored(viewers: Viewers) -> None:
    kernel = viewers.kernel
    kernel.bind(1, VIDEO, binding(1))
    kernel.unbind(1, VIDEO)
    kernel.move(1, None)
    kernel.close(1)
    assert kernel.send(VIDEO, frame(10), NOW) == SendResult()
    assert kernel.hold(VIDEO, frame(10), NOW) == SendResult()
    assert kernel.release(VIDEO, NOW) == SendResult()
    assert kernel.send_to(1, packets(), NOW) == SendResult()
    assert kernel.protect(1, packets(), NOW) == []
    assert kernel.sent(1, 0, 10) == []


def packets() -> list[Packet]:
    """For one viewer: media, and a retransmission."""
    return [
        Packet(5, 96, 0x1FFFF, 4_000_000_000, marker=False, payload=b"first", abs_send_time_id=2),
        Packet(5, 96, 0x20000, 4_000_000_000, marker=True, payload=b"second", transport_sequence_id=4),
        Packet(6, 97, 3, 17, marker=False, payload=bytes(1200), mid_id=14, mid=b"0123456789abcdef", **TIMED),
        Packet(6, 97, 4, 17, marker=False, payload=b""),
        Packet(6, 97, 5, 17, marker=False, payload=bytes(4096)),
    ]


TIMED = {"abs_send_time_id": 2, "transport_sequence_id": 4}


@pytest.mark.parametrize("profile", list(Profile))
def test_packets_for_one_viewer(viewers: Viewers, profile: Profile) -> None:
    """The same from each kernel, as datagrams and as SRTP for a viewer by TCP."""
    viewers.add(1, profile)
    result = viewers.kernel.send_to(1, packets(), NOW)
    got = viewers.got(1, 5)
    assert result == SendResult(5, sum(map(len, got)), 0)
    assert viewers.kernel.sent(1, 0, 5) == [(0, NOW, len(got[1])), (1, NOW, len(got[2]))]
    twin = PythonKernel(-1)
    twin.open(1, keys(1, profile), None)
    assert twin.protect(1, packets(), NOW) == got
    read = reader(1, profile)
    assert read(got[2]).payload == bytes(1200)
    assert read(got[3]).payload == b""


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("profile", list(Profile))
def test_protect_needs_no_socket(make: Maker, profile: Profile) -> None:
    kernel = make(-1)
    kernel.open(1, keys(1, profile), (socket.AF_INET, "127.0.0.1", 9))
    twin = PythonKernel(-1)
    twin.open(1, keys(1, profile), None)
    sealed = kernel.protect(1, packets(), NOW)
    assert sealed == twin.protect(1, packets(), NOW)
    assert kernel.send_to(1, packets(), NOW) == SendResult()


def test_times_of_packets_are_kept_for_a_while(viewers: Viewers) -> None:
    viewers.add(1)
    viewers.kernel.bind(1, VIDEO, binding(1, transport_sequence_id=1))
    for i in range(0xFFF0 // 64 + 1):
        viewers.kernel.send(VIDEO, frame(*[0] * 64, index=i * 64), i)
    viewers.kernel.send(VIDEO, frame(1, 2, 3, index=0x10000), 77)
    sent = viewers.kernel.sent(1, 0xFFFE, 5)
    assert [entry[0] for entry in sent] == [0xFFFE, 0xFFFF, 0, 1, 2]
    assert [entry[1] for entry in sent] == [1023, 1023, 77, 77, 77]
    assert sent[3][2] == sent[2][2] + 1
    assert viewers.kernel.sent(1, 0x10000 - 1021, 2) == viewers.kernel.sent(1, -1021, 2) != []
    assert viewers.kernel.sent(1, 0x10000 - 1022, 1) == []
    assert viewers.kernel.sent(1, 3, 100) == []


def spread(viewers: Viewers) -> None:
    for viewer in range(4):
        viewers.add(viewer)
        viewers.kernel.bind(viewer, VIDEO, binding(viewer))


def fail(viewers: Viewers, errors: Sequence[int]) -> None:
    """Have the operating system answer the next messages with these errors."""
    viewers.kernel.fail_next(errors)  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS])
def test_a_full_socket_is_waited_for(viewers: Viewers, error: int) -> None:
    spread(viewers)
    viewers.kernel.patience_us = 10_000_000
    fail(viewers, [error, error, error])
    assert viewers.kernel.send(VIDEO, frame(100), NOW).dropped == 0
    assert viewers.kernel.stats().full == 3
    for viewer in range(4):
        viewers.got(viewer, 1)


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS])
def test_a_socket_that_stays_full_costs_only_what_does_not_fit(viewers: Viewers, error: int) -> None:
    spread(viewers)
    viewers.kernel.patience_us = 0
    fail(viewers, [0, error, error])
    result = viewers.kernel.send(VIDEO, frame(100), NOW)
    assert (result.packets, result.dropped) == (2, 2)
    assert (viewers.kernel.stats().dropped, viewers.kernel.stats().full) == (2, 2)
    for viewer, count in enumerate((1, 0, 0, 1)):
        viewers.got(viewer, count)
    assert viewers.kernel.send(VIDEO, frame(100, index=1), NOW).packets == 4


def test_who_went_short_is_the_first_of_the_next_burst(viewers: Viewers) -> None:
    """Else the same viewers would lose everything for as long as the network is too slow for all."""
    spread(viewers)
    viewers.kernel.patience_us = 0
    for i in range(8):
        fail(viewers, [0, errno.EAGAIN, errno.EAGAIN, errno.EAGAIN])
        assert viewers.kernel.send(VIDEO, frame(100, index=i), NOW).packets == 1
    for viewer in range(4):
        viewers.got(viewer, 2)


@pytest.mark.parametrize("error", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH])
def test_an_error_of_an_earlier_packet_is_not_this_ones(viewers: Viewers, error: int) -> None:
    spread(viewers)
    fail(viewers, [0, error])
    assert viewers.kernel.send(VIDEO, frame(100), NOW).packets == 4
    fail(viewers, [0, error, error])
    result = viewers.kernel.send(VIDEO, frame(100, index=1), NOW)
    assert (result.packets, result.dropped) == (3, 1)
    assert viewers.kernel.stats().unreachable == 1
    for viewer, count in enumerate((2, 1, 2, 2)):
        viewers.got(viewer, count)


def test_an_interrupted_call_is_repeated(viewers: Viewers) -> None:
    spread(viewers)
    fail(viewers, [errno.EINTR, errno.EINTR])
    assert viewers.kernel.send(VIDEO, frame(100), NOW).packets == 4


@pytest.mark.parametrize("error", [errno.EIO, errno.EINVAL, errno.EMSGSIZE])
def test_a_way_without_trains_gets_single_packets(error: int) -> None:
    """A device without checksums answers EIO, one with short packets EINVAL; other viewers keep their trains."""
    viewers = Viewers(MAKERS.get("native", PythonKernel))
    spread(viewers)
    trains = viewers.kernel.native
    fail(viewers, [0, error, 0, errno.EAGAIN, errno.ECONNREFUSED, 0] if trains else [])
    assert viewers.kernel.send(VIDEO, frame(100, 100, 50), NOW).packets == 12
    assert viewers.kernel.stats().messages == (3 + 3 if trains else 12)
    viewers.kernel.send(VIDEO, frame(100, 100, 50, index=3), NOW)
    assert viewers.kernel.stats().messages == (6 + 3 + 3 if trains else 24)
    for viewer in range(4):
        read = reader(viewer)
        assert [read(data).sequence_number for data in viewers.got(viewer, 6)] == list(range(100, 106))
    viewers.close()


def test_a_dead_viewer_harms_no_other(viewers: Viewers) -> None:
    """Its port is closed; the socket is told of it by ICMP (with IP_RECVERR, as some servers have it)."""
    viewers.socket.setsockopt(socket.IPPROTO_IP, 11, 1)
    spread(viewers)
    viewers.clients[1].close()
    for i in range(20):
        viewers.kernel.send(VIDEO, frame(500, 500, index=2 * i), NOW)
    assert viewers.kernel.stats().packets >= 3 * 40
    for viewer in (0, 2, 3):
        viewers.got(viewer, 40)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_addresses_that_the_socket_cannot_send_to(make: Maker) -> None:
    viewers = Viewers(make)
    for address in (
        (socket.AF_INET6, "::1", 5),
        (socket.AF_INET, "example.org", 5),
        (socket.AF_INET, "127.0.0.1", 0),
        (socket.AF_INET, "127.0.0.1", 65536),
    ):
        with pytest.raises(ValueError, match=r"port|numeric|IPv4"):
            viewers.kernel.open(1, keys(1, Profile.AEAD_AES_128_GCM), address)
        with pytest.raises(ValueError, match=r"port|numeric|IPv4"):
            viewers.kernel.move(1, address)
    assert viewers.kernel.stats().viewers == 0
    viewers.close()
    both = Viewers(make, socket.AF_INET6)
    both.kernel.open(1, keys(1, Profile.AEAD_AES_128_GCM), (socket.AF_INET6, "fe80::1%lo", 5))
    with pytest.raises(ValueError, match="interface"):
        both.kernel.move(1, (socket.AF_INET6, "fe80::1%nowhere", 5))
    both.close()


@pytest.mark.parametrize(
    "change",
    [
        {"ssrc": -1},
        {"ssrc": 1 << 32},
        {"payload_type": 128},
        {"abs_send_time_id": 15},
        {"transport_sequence_id": -1},
        {"mid_id": 1},
        {"mid_id": 1, "mid": bytes(17)},
        {"sequence_offset": 1 << 62},
    ],
)
def test_bindings_that_no_header_can_be_written_from(change: dict[str, int | bytes]) -> None:
    good: dict[str, int | bytes] = {"ssrc": 1, "payload_type": 2, "sequence_offset": 3, "timestamp_offset": 4}
    Binding(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"range|numbers|bytes"):
        Binding(**good | change)  # type: ignore[arg-type]


def test_packets_that_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="too long"):
        Packet(1, 2, 3, 4, marker=False, payload=bytes(4097))
    with pytest.raises(ValueError, match="range"):
        Packet(1, 2, 1 << 48, 4, marker=False, payload=b"")
    with pytest.raises(ValueError, match="too long"):
        Burst(0, 0, [b"", bytes(4097)])
    with pytest.raises(ValueError, match="range"):
        Burst(1 << 62, 0, [b""])


def test_numbers_wrap_at_48_bits(viewers: Viewers) -> None:
    """Nobody will live to see it, but both kernels agree."""
    viewers.add(1)
    viewers.kernel.bind(1, VIDEO, binding(1, first=(1 << 48) - 1))
    viewers.kernel.send(VIDEO, frame(10, 10), NOW)
    got = viewers.got(1, 2)
    assert [data[2:4] for data in got] == [b"\xff\xff", b"\0\0"]
    twin = PythonKernel(-1)
    twin.open(1, keys(1, Profile.AEAD_AES_128_GCM), None)
    burst = frame(10, 10)
    expected = [
        Packet(1001, 96, (1 << 48) - 1, 5000, marker=False, payload=burst.payloads[0]),
        Packet(1001, 96, 0, 5000, marker=True, payload=burst.payloads[1]),
    ]
    assert twin.protect(1, expected, NOW) == got


def test_the_native_kernel_was_built() -> None:
    """On machines of developers and CI there is a compiler: there, an installation without the kernel is an error."""
    assert choose.make_native is not None, choose.reason
