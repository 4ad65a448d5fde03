"""Homeservers of this machine that federate: each has a name of its own, TLS, and a certificate by the same authority.

Their names are addresses of this machine with a port, so that there is nothing to look up: a name with a port is where
the server is (Server-Server API, "Server discovery", steps 1 and 2).
"""

import ipaddress
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import Receive, Scope, Send
from tests.support.program import free_port
from tests.support.synapse import Synapse

from ghostlive.web.matrixproxy import MatrixProxy, ProxyTarget

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs the certificates."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        """A new one, with its certificate in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
        builder = _builder(name, name, key.public_key()).add_extension(x509.BasicConstraints(True, 0), critical=True)
        authority = cls(folder, key, builder.sign(key, hashes.SHA256()))
        authority.file.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    @property
    def file(self) -> Path:
        """Its certificate."""
        return self.folder / "authority.pem"

    def sign(self, host: str) -> tuple[Path, Path]:
        """A certificate and its key, for the name or the address of a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        builder = _builder(self.certificate.subject, subject, key.public_key())
        made = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False).sign(
            self.key, hashes.SHA256()
        )
        files = self.folder / f"{host}.pem", self.folder / f"{host}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


def _builder(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )


@contextmanager
def doorway(synapse: Synapse, port: int, certificate: Path, key: Path) -> Iterator[None]:
    """Our proxy for Matrix (`web.matrixproxy`), with TLS, before a homeserver that listens to this machine only."""
    proxy = MatrixProxy()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await proxy(scope, receive, send)
            return
        await receive()
        await proxy.start(ProxyTarget(synapse.url, f"https://{synapse.server_name}", federation=True))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await proxy.stop()
        await send({"type": "lifespan.shutdown.complete"})

    server = uvicorn.Server(
        uvicorn.Config(
            *(answer, "127.0.0.1", port),
            ssl_certfile=certificate,
            ssl_keyfile=key,
            ws="none",
            lifespan="on",
            log_config=None,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def federate(stack: ExitStack, folder: Path, hosts: Sequence[str]) -> list[Synapse]:
    """Started homeservers, one for each address of this machine; they are ended with the stack.

    Others reach each through our own proxy.
    """
    authority = Authority.make(folder)
    found = []
    for host in hosts:
        port = free_port()
        synapse = Synapse(folder / f"{host}-{port}", name=f"{host}:{port}")
        [listener] = json.loads(synapse.file.read_text())["listeners"]
        synapse.change(
            {
                "listeners": [{**listener, "resources": [{"names": ["client", "federation"], "compress": False}]}],
                "federation_custom_ca_list": [str(authority.file)],
                # By default Synapse speaks with no address of its own network.
                "ip_range_blacklist": [],
                "federation_ip_range_blacklist": [],
                "federation_domain_whitelist": None,
            }
        )
        stack.callback(synapse.kill)
        synapse.start()
        stack.enter_context(doorway(synapse, port, *authority.sign(host)))
        found.append(synapse)
    return found
