"""The certificate of this process for DTLS.

Peers know it by its fingerprint alone, so that it is signed by itself, made anew with each start, and says nothing of
the machine (RFC 8827 §6.5).
"""

import datetime
import os
from dataclasses import dataclass, field
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """ECDSA P-256, signed by itself."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    fingerprint: str
    """SHA-256 of its DER form, `AB:CD:…` as SDP writes it."""

    @classmethod
    def generate(cls, *, today: datetime.datetime | None = None) -> Self:
        """Make a new one that is valid for ten years around `today`: clocks of peers may be wrong."""
        today = today or datetime.datetime.now(datetime.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(os.urandom(8)) >> 1 | 1)
            .not_valid_before(today - datetime.timedelta(days=365))
            .not_valid_after(today + datetime.timedelta(days=3650))
            .sign(key, hashes.SHA256())
        )
        digest = certificate.fingerprint(hashes.SHA256())
        return cls(certificate, key, digest.hex(":").upper())
