"""What goes wrong on real machines: hostile peers, full disks, taken ports, power cuts, upgrades that went back."""

import os
import random
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from tests.support.channel import Channel
from tests.support.encoder import Encoder, Picture, publishing
from tests.support.media import complaints, play
from tests.support.program import Program, command, get, running, wait_for
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.interop

SMALL = Picture(width=320, height=180)


def test_garbage_and_slow_loris_do_not_disturb_a_broadcast(tmp_path: Path) -> None:
    environment = {"GHOSTLIVE_RTMP__HANDSHAKE_TIMEOUT": "5", "GHOSTLIVE_RTMP__MAX_CONNECTIONS_PER_ADDRESS": "80"}
    with running(tmp_path, environment) as program, ExitStack() as stack:
        channel = Channel.add(program)
        stack.enter_context(publishing(channel.publish_url, SMALL))
        channel.wait_until("live")
        channel.wait_for_segments(1)
        session = channel.renditions()["video"]
        viewer = play(channel.url(), 5)
        stop = threading.Event()
        attacker = threading.Thread(target=_attack, args=(program.rtmp_port, program.rtmps_port, stop))
        attacker.start()
        try:
            peers = []
            for port, tls in ((program.rtmp_port, False), (program.rtmps_port, True)):
                half_handshake = b"\x03" + bytes(700)
                peers += [stack.enter_context(_peer(port, tls, half_handshake)) for _ in range(12)]
                peers += [stack.enter_context(_peer(port, False, b"")) for _ in range(12)]
            # All of them are sent away without having published a thing.
            for peer in peers:
                _wait_for_the_end_of(peer)
            assert viewer.finish() == ""
        finally:
            stop.set()
            attacker.join()
        assert channel.state() == "live"
        assert channel.playlist(session).discontinuities == 0
        assert "Traceback" not in program.log
        # And the ports still take honest encoders.
        for server in (program.rtmp, program.rtmps):
            honest = Channel.add(program)
            with publishing(f"{server}/{honest.key}", SMALL):
                honest.wait_until("live")


def test_hostile_requests_over_http_do_not_disturb_a_broadcast(channel: Channel) -> None:
    with publishing(channel.publish_url, SMALL):
        channel.wait_until("live")
        channel.wait_for_segments(1)
        viewer = play(channel.url(), 5)
        address = ("127.0.0.1", channel.program.http_port)
        rng = random.Random(1)
        with ExitStack() as stack:
            for payload in (
                rng.randbytes(2000),
                b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\n",
                b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
                b"POST /api/v1/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
                b"GET / HTTP/1.1\r\nHo",
                b"",
            ):
                peer = stack.enter_context(socket.create_connection(address, timeout=20))
                with suppress(OSError):
                    peer.sendall(payload)
            # Viewers who ask for much and read nothing.
            for _ in range(20):
                peer = stack.enter_context(socket.create_connection(address, timeout=20))
                peer.sendall(f"GET /app/{channel.name}/master.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 20)
            assert viewer.finish() == ""
        assert channel.state() == "live"
    assert "Traceback" not in channel.program.log


def test_a_full_disk_costs_the_past_but_not_the_broadcast(tmp_path: Path) -> None:
    (tmp_path / "data" / "dvr").mkdir(parents=True)
    with running(tmp_path / "data", prefix=small_disk(tmp_path / "data" / "dvr", megabytes=1)) as program:
        channel = Channel.add(program)
        with publishing(channel.publish_url, Picture(width=320, height=180, rate=15, group=15), ["-b:v", "3M"]):
            channel.wait_until("live")
            viewer = play(channel.url(), 7)
            wait_for("the log to say so", lambda: "cannot write the DVR folder" in program.log, 60)
            assert "No space left" in program.log
            before = channel.playlist().last
            channel.wait_for_segments(3)
            wait_for("the broadcast to go on", lambda: channel.playlist().last >= before + 3)
            assert viewer.finish() == ""
            # Everything that is listed can be fetched, and in full.
            file = channel.renditions()["video"]
            folder = file.rpartition("/")[0]
            for segment in channel.playlist(file).segments[1:]:
                answer = channel.get(f"{folder}/{segment.uri}")
                assert answer.status_code == 200, segment.uri
                assert len(answer.content) == int(answer.headers["content-length"])
        assert program.log.count("cannot write the DVR folder") == 1, "said once, not for each segment"


def test_an_unwritable_dvr_folder_is_no_reason_not_to_broadcast(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with running(data) as program:
        channel = Channel.add(program)
        with _in_the_way(data / "dvr"), publishing(channel.publish_url, SMALL):
            channel.wait_until("live")
            channel.wait_for_segments(3)
            assert complaints([channel.url()], 3) == ""


@pytest.mark.parametrize("name", ["http", "rtmp", "rtmps"])
def test_a_port_that_is_taken_is_named_with_the_program_that_holds_it(tmp_path: Path, name: str) -> None:
    program = Program(tmp_path / "data")
    port = {"http": program.http_port, "rtmp": program.rtmp_port, "rtmps": program.rtmps_port}[name]
    with _foreign_listener(port) as foreign:
        code, said = _start(program)
        assert code == 1
        assert f"port {port}" in said
        assert f"{name}.port" in said
        assert f"process {foreign.pid}" in said
        assert "Traceback" not in said


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        Channel.add(program)
        program.stop()
        (database,) = program.data.glob("*.db")
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        before = database.read_bytes()
        code, said = _start(program)
        assert code == 1
        assert "9999" in said
        assert "newer" in said
        assert "Traceback" not in said
        assert database.read_bytes() == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    program = Program(tmp_path / "data")
    program.data.mkdir()
    (program.data / "ghostlive.db").write_bytes(b"This is a shopping list, not a database. " * 100)
    code, said = _start(program)
    assert code == 1
    assert "ghostlive.db" in said
    assert "Traceback" not in said


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Root may write everywhere but where a file stands in the way.
        (tmp_path / "file").write_text("not a directory")
        program = Program(tmp_path / "file" / "data")
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        program = Program(tmp_path / "locked" / "data")
    code, said = _start(program)
    assert code == 1
    assert str(program.data) in said
    assert "Traceback" not in said


def test_an_unknown_setting_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    program = Program(tmp_path / "data")
    program.data.mkdir()
    (program.data / "ghostlive.toml").write_text("[rtmp]\nprot = 1935\n")
    code, said = _start(program)
    assert code == 1
    assert "prot" in said
    assert "port" in said.replace("prot", "")
    assert "Traceback" not in said


def test_killed_in_the_middle_of_a_broadcast_it_serves_again_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        channel = Channel.add(program)
        program.stop()
        program.start()
        first = program.worked()
        encoder = Encoder(channel.publish_url, SMALL)
        try:
            channel.wait_until("live")
            channel.wait_for_segments(3)
            file = channel.renditions()["video"]
            segment = f"{file.rpartition('/')[0]}/{channel.playlist(file).segments[0].uri}"
            assert channel.get(segment).status_code == 200
            program.stop(signal.SIGKILL)
            program.start()
            # Hardly more work than the first start, however large what has to be put right was.
            assert program.worked() < 1.3 * first + 0.2
            # The encoder's user, or the encoder itself, presses the button again: the same key, the same page.
            assert channel.state() == "offline"
            with publishing(channel.publish_url, SMALL):
                channel.wait_until("live")
                assert complaints([channel.url()], 3) == ""
                assert channel.renditions()["video"] != file
                # Nothing of the earlier run is served as if it were this one.
                assert channel.get(segment).status_code == 404
                assert channel.get(file).status_code == 404
        finally:
            encoder.kill()
        leftovers = {path.parent.parent.name for path in (program.data / "dvr").rglob("*.m4s")}
        assert file.split("/")[0] not in leftovers


def test_sigterm_ends_it_within_five_seconds_with_viewers_and_encoder_attached(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        channel = Channel.add(program)
        with publishing(channel.publish_url, SMALL) as encoder, ExitStack() as stack:
            channel.wait_until("live")
            channel.wait_for_segments(2)
            file = channel.renditions()["video"]
            last = channel.playlist(file).last
            client = stack.enter_context(httpx.Client(timeout=30))
            events = stack.enter_context(client.stream("GET", f"{program.url}/api/v1/events"))
            stack.enter_context(client.stream("GET", channel.url(f"{file.rpartition('/')[0]}/{last + 2}.m4s")))
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", program.http_port), timeout=20))
            stalled.sendall(f"GET {httpx.URL(channel.url(file)).path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 50)
            answers: list[int] = []
            waiting = threading.Thread(
                target=lambda: answers.append(_status(f"{channel.url(file)}?_HLS_msn={last + 2}"))
            )
            waiting.start()
            assert events.status_code == 200
            process = program.process
            assert process is not None
            seconds = program.stop()
            assert seconds < 5, f"it took {seconds:.1f} s"
            assert process.returncode == 0
            waiting.join(30)
            assert not waiting.is_alive()
            encoder.wait()
        assert "not everything stopped in time" not in program.log
        assert "Traceback" not in program.log


def test_a_stream_added_beside_the_running_server_can_be_published_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        channel = Channel(program, "beside", program.run("stream", "add", "beside")["key"])
        assert channel.state() == "offline"
        assert get(channel.page).status_code == 200
        with publishing(channel.publish_url, SMALL):
            channel.wait_until("live")


def test_healthy_means_that_every_port_is_open(tmp_path: Path) -> None:
    """At a first start too, when the certificate of RTMPS has to be made."""
    program = Program(tmp_path / "data")
    with ExitStack() as stack:
        stack.callback(lambda: program.stop(signal.SIGKILL))
        program.start()
        assert [_listens(port) for port in (program.http_port, program.rtmp_port, program.rtmps_port)] == [True] * 3


@contextmanager
def _peer(port: int, tls: bool, first: bytes) -> Iterator[socket.socket]:
    """A connection that has sent `first` and says no more."""
    with ExitStack() as stack:
        peer: socket.socket = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            peer = stack.enter_context(context.wrap_socket(peer, server_hostname="localhost"))
        with suppress(OSError):
            peer.sendall(first)
        yield peer


def _wait_for_the_end_of(peer: socket.socket) -> None:
    """Read until the server has closed the connection. Fails after its time-out."""
    with suppress(ConnectionError):
        while peer.recv(65536):
            pass


def _attack(rtmp: int, rtmps: int, stop: threading.Event) -> None:
    """Random bytes, as themselves and behind a good beginning, until told to stop."""
    rng = random.Random(7)
    while not stop.wait(0.05):
        first = rng.choice(
            [rng.randbytes(3000), b"\x03" + rng.randbytes(1536 * 2 + 4000), b"\x16\x03\x01" + bytes(600)]
        )
        port, tls = rng.choice([(rtmp, False), (rtmps, False), (rtmps, True)])
        with suppress(OSError), _peer(port, tls, first) as peer:
            peer.settimeout(0.2)
            peer.recv(4096)


@contextmanager
def _in_the_way(folder: Path) -> Iterator[None]:
    """A file where the folder should be."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.write_text("in the way")
    yield


@contextmanager
def _foreign_listener(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Another program on that port."""
    process = subprocess.Popen(
        ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for("the other program", lambda: _listens(port))
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start(program: Program) -> tuple[int, str]:
    """Start a program that shall fail: its exit code and what it said."""
    done = subprocess.run(
        [command(), "serve", "--data", str(program.data)],
        env=program.environ(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def _status(url: str) -> int:
    try:
        return get(url, timeout=30).status_code
    except httpx.TransportError:
        return 0
