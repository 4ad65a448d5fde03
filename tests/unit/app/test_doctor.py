"""What the doctor finds."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
from ghostlive.web.config import HttpConfig


def _config(
    *, http: HttpConfig | None = None, rtmps: RtmpsConfig | None = None, database: DatabaseConfig | None = None
) -> Config:
    """Ports that nobody holds."""
    return Config(
        http=http or HttpConfig(port=0),
        rtmp=RtmpConfig(port=0),
        rtmps=rtmps or RtmpsConfig(port=0),
        database=database or DatabaseConfig(),
    )


async def _found(config: Config, data: Path) -> dict[str, tuple[State, str]]:
    return {check.name: (check.state, check.detail) for check in await examine(config, data)}


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
    assert "libx264" in found["encoders"][1]
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


async def test_pyav_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ASK_ENCODERS", "raise ImportError('libavcodec is gone')")
    state, detail = (await _found(_config(), tmp_path))["encoders"]
    assert (state, detail) == (State.WRONG, "PyAV cannot be used: ImportError: libavcodec is gone")
    monkeypatch.setattr(doctor, "_ASK_ENCODERS", """print('{"av": "18", "names": ["aac"]}')""")
    state, detail = (await _found(_config(), tmp_path))["encoders"]
    assert state is State.WRONG
    assert "lacks libx264, libopus" in detail
