"""What the doctor finds."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from ghostlive.app import doctor
from ghostlive.app.config import Config
from ghostlive.app.doctor import State, examine
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.fanout import choose
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.transcode.probe import EncoderProbe, Prober
from ghostlive.web import sending
from ghostlive.web.config import HttpConfig


def _config(
    *,
    http: HttpConfig | None = None,
    rtmps: RtmpsConfig | None = None,
    database: DatabaseConfig | None = None,
    webrtc: WebRtcConfig | None = None,
) -> Config:
    """Ports that nobody holds."""
    return Config(
        http=http or HttpConfig(port=0),
        rtmp=RtmpConfig(port=0),
        rtmps=rtmps or RtmpsConfig(port=0),
        database=database or DatabaseConfig(),
        webrtc=webrtc or WebRtcConfig(port=0),
    )


async def _found(config: Config, data: Path) -> dict[str, tuple[State, str]]:
    return {check.name: (check.state, check.detail) for check in await examine(config, data, probe=_probed(*_SOFTWARE))}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield listener


async def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    found = await _found(_config(), tmp_path / "data")
    del found["pages"]  # a checkout may have none
    assert {state for state, _ in found.values()} <= {State.OK, State.NOTE}
    assert found["database"] == (State.OK, "made at first start")
    assert "made at first start" in found["data directory"][1]
    assert found["encoder software"] == (State.OK, "libx264, aac")
    assert not (tmp_path / "data").exists()


async def test_a_port_in_use(tmp_path: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    state, detail = (await _found(_config(http=HttpConfig(port=port)), tmp_path))["port of http"]
    assert state is State.WRONG
    assert f"{port} is in use by " in detail
    assert "set http.port" in detail


async def test_a_port_that_ghost_live_itself_uses(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "describe_port_owner", lambda port: "ghostlive (process 7)")
    found = await _found(_config(http=HttpConfig(port=listener.getsockname()[1])), tmp_path)
    assert found["port of http"][0] is State.OK


async def test_databases(tmp_path: Path) -> None:
    async with Database(DatabaseConfig(), tmp_path) as database:
        assert (await _found(_config(), tmp_path))["database"][0] is State.OK
        async with database.write() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        state, detail = (await _found(_config(), tmp_path))["database"]
        assert state is State.WRONG
        assert "newer than this version" in detail
        async with database.write() as connection:
            await connection.execute(text("DROP TABLE alembic_version"))
        state, detail = (await _found(_config(), tmp_path))["database"]
        assert state is State.NOTE
        assert "upgraded" in detail
    found = await _found(_config(database=DatabaseConfig(url="mysql://x")), tmp_path)
    assert found["database"][0] is State.WRONG


async def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert (await _found(_config(), tmp_path / "data"))["data directory"][0] is State.WRONG


@pytest.mark.parametrize(("free", "state"), [(10 << 20, State.WRONG), (1 << 30, State.NOTE), (100 << 30, State.OK)])
async def test_disk_space(tmp_path: Path, free: int, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        pass

    usage = Usage()
    usage.free = free  # type: ignore[attr-defined]
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert (await _found(_config(), tmp_path))["data directory"][0] is state


def _certificate(file: Path, *, days: int, with_key: bool = True) -> RtmpsConfig:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "live.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    if with_key:
        text += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    file.write_bytes(text)
    return RtmpsConfig(port=0, certificate=str(file))


@pytest.mark.parametrize(
    ("days", "state", "detail"),
    [(90, State.OK, "90 more days"), (5, State.NOTE, "5 more days"), (-3, State.WRONG, "expired")],
)
async def test_certificates(tmp_path: Path, days: int, state: State, detail: str) -> None:
    found = await _found(_config(rtmps=_certificate(tmp_path / "cert.pem", days=days)), tmp_path)
    assert found["certificate"][0] is state
    assert detail in found["certificate"][1]


async def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    without_key = _certificate(tmp_path / "cert.pem", days=90, with_key=False)
    assert "no private key" in (await _found(_config(rtmps=without_key), tmp_path))["certificate"][1]
    (tmp_path / "junk.pem").write_text("junk")
    for file in ("junk.pem", "gone.pem"):
        config = _config(rtmps=RtmpsConfig(port=0, certificate=str(tmp_path / file)))
        assert (await _found(config, tmp_path))["certificate"][0] is State.WRONG
    off = _config(rtmps=RtmpsConfig(enabled=False))
    assert (await _found(off, tmp_path))["certificate"][0] is State.NOTE


def _probed(*found: EncoderProbe) -> Prober:
    async def probe(order: Sequence[str]) -> list[EncoderProbe]:
        return [result for result in found if result.name in order]

    return probe


_NO_CARD = EncoderProbe("nvenc", "h264_nvenc", works=False, reason="there is no NVIDIA card")
_CARD = [
    EncoderProbe("nvenc", "h264_nvenc", works=True),
    EncoderProbe("nvenc", "av1_nvenc", works=False, reason="no NVIDIA card here can encode this codec"),
]
_SOFTWARE = [EncoderProbe("software", name, works=True) for name in ("libx264", "aac")]
_NO_SOFTWARE = [EncoderProbe("software", "libx264", works=False, reason="PyAV cannot be used: ImportError: x")]


async def _encoders(config: TranscodeConfig, *found: EncoderProbe) -> dict[str, tuple[State, str]]:
    checks = await doctor.examine(replace(_config(), transcode=config), Path("none"), probe=_probed(*found))
    return {check.name: (check.state, check.detail) for check in checks if check.name.startswith("encoder")}


async def test_encoders() -> None:
    order = TranscodeConfig(encoders=("nvenc", "software"))
    assert await _encoders(order, _NO_CARD, *_SOFTWARE) == {
        "encoder nvenc": (State.NOTE, "there is no NVIDIA card"),
        "encoder software": (State.OK, "libx264, aac"),
    }
    assert (await _encoders(order, *_CARD, *_SOFTWARE))["encoder nvenc"] == (
        State.OK,
        "h264_nvenc; av1_nvenc does not work: no NVIDIA card here can encode this codec",
    )


async def test_no_encoder_at_all() -> None:
    found = await _encoders(TranscodeConfig(encoders=("nvenc", "software")), _NO_CARD, *_NO_SOFTWARE)
    assert found["encoder software"] == (State.WRONG, "PyAV cannot be used: ImportError: x")
    assert found["encoders"][0] is State.WRONG
    found = await _encoders(TranscodeConfig(encoders=("nvenc",)), _NO_CARD, *_SOFTWARE)
    assert found["encoders"][0] is State.WRONG
    assert "add software to transcode.encoders" in found["encoders"][1]


async def test_transcoding_switched_off() -> None:
    found = await _encoders(TranscodeConfig(enabled=False), _NO_CARD)
    assert found == {"encoders": (State.NOTE, "transcoding is switched off (transcode.enabled)")}


async def test_a_media_port_in_use_by_udp(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("0.0.0.0", 0))
        port = holder.getsockname()[1]
        state, detail = (await _found(_config(webrtc=WebRtcConfig(port=port)), tmp_path))["port of webrtc"]
    assert state is State.WRONG
    assert f"{port} is in use by " in detail
    assert f"(process {os.getpid()})" in detail
    assert "set webrtc.port" in detail


@pytest.mark.parametrize(
    ("webrtc", "interfaces", "state", "words"),
    [
        (WebRtcConfig(port=0), ["203.0.113.5", "10.0.0.5"], State.NOTE, "webrtc.public_addresses"),
        (WebRtcConfig(port=0), ["8.8.8.8", "10.0.0.5"], State.OK, "8.8.8.8, 10.0.0.5"),
        (WebRtcConfig(port=0), [], State.NOTE, "none but this machine's own"),
        (WebRtcConfig(port=0, public_addresses=("8.8.8.8", "[2001:4860::1]:4000")), [], State.OK, "2001:4860::1"),
        (WebRtcConfig(port=0, public_addresses=("live.example.org",)), [], State.WRONG, "is no IP address"),
        (WebRtcConfig(port=0, stun_server="stun.example.org"), ["10.0.0.5"], State.OK, "stun.example.org"),
        (WebRtcConfig(port=0, turn_urls=("turn:192.0.2.1",)), ["8.8.8.8"], State.WRONG, "webrtc.turn_secret"),
        (WebRtcConfig(enabled=False), [], State.NOTE, "switched off"),
    ],
)
async def test_addresses_for_viewers(
    webrtc: WebRtcConfig,
    interfaces: list[str],
    state: State,
    words: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "interface_addresses", lambda: [ip_address(text) for text in interfaces])
    found = (await _found(_config(webrtc=webrtc), tmp_path))["WebRTC addresses"]
    assert found[0] is state
    assert words in found[1]


async def test_what_was_not_compiled_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "chat sending" not in await _found(_config(), tmp_path)
    monkeypatch.setattr(sending, "send_each", None)
    monkeypatch.setattr(choose, "reason", "it was not compiled")
    found = await _found(_config(), tmp_path)
    for what in ("chat sending", "WebRTC sending"):
        state, told = found[what]
        assert state is State.NOTE
        assert "compiler" in told
