"""The certificate of RTMPS: the operator's, read again when its file changes, or a self-signed one of our own.

A new certificate counts for new connections; running sessions go on with theirs. `context` reads files, so call it
in a thread.
"""

import contextlib
import os
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.rtmp.config import RtmpsConfig

_log = structlog.get_logger("rtmp")

_VALID = timedelta(days=3650)
_RENEW_BEFORE = timedelta(days=30)


class Certificates:
    """Keeps the TLS context that new connections get."""

    def __init__(self, config: RtmpsConfig, directory: Path) -> None:
        """`directory` is where a self-signed certificate is kept."""
        self._certificate = Path(config.certificate) if config.certificate else directory / "rtmps-self-signed.pem"
        self._key = Path(config.key) if config.key else None
        self._own = not config.certificate
        self._context: ssl.SSLContext | None = None
        self._seen: tuple[object, ...] = ()
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """The context for a new connection. Blocks on files.

        Raises `ConfigurationError` when there has never been a usable certificate; later, a broken new file is
        logged and the old certificate stays.
        """
        with self._lock:
            if self._own and not _is_current(self._certificate):
                _make_self_signed(self._certificate)
                _log.info("made a self-signed certificate for RTMPS", path=str(self._certificate))
            seen = self._state_of_files()
            if self._context is None or seen != self._seen:
                self._seen = seen
                self._load()
            assert self._context is not None
            return self._context

    def _load(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            if self._context is None:
                raise ConfigurationError(
                    f"rtmps.certificate: {self._certificate} cannot be used with its key ({error}); "
                    "give a PEM file with the certificate chain, and the private key in it or in rtmps.key"
                ) from error
            _log.error("the new RTMPS certificate cannot be used, the old one stays", error=str(error))
            return
        if self._context is not None:
            _log.info("RTMPS certificate was read again", path=str(self._certificate))
        self._context = context

    def _state_of_files(self) -> tuple[object, ...]:
        state: list[object] = []
        for path in (self._certificate, self._key):
            if path is not None:
                try:
                    found = path.stat()
                    state.append((found.st_mtime_ns, found.st_size, found.st_ino))
                except OSError:
                    state.append(None)
        return tuple(state)


def _is_current(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    return datetime.now(UTC) < certificate.not_valid_after_utc - _RENEW_BEFORE


def _make_self_signed(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ghost Live, self-signed")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    names += [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private + certificate.public_bytes(serialization.Encoding.PEM))
    temporary.replace(path)
