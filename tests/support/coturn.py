"""Debian's coturn on this machine's loopback, with a shared secret as operators configure it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.program import free_media_port, wait_for


@dataclass(frozen=True)
class Coturn:
    """A running TURN server."""

    port: int
    secret: str
    log: Path

    def url(self, transport: str) -> str:
        return f"turn:127.0.0.1:{self.port}?transport={transport}"


@contextmanager
def coturn(directory: Path, secret: str = "shared with the test") -> Iterator[Coturn]:
    """Start it and end it."""
    port = free_media_port()
    log, configuration = directory / "turn.log", directory / "turnserver.conf"
    configuration.write_text(
        "\n".join(
            (
                f"listening-port={port}",
                "listening-ip=127.0.0.1",
                "relay-ip=127.0.0.1",
                "use-auth-secret",
                f"static-auth-secret={secret}",
                "realm=test.example.org",
                "fingerprint",
                "no-tls",
                "no-dtls",
                "no-cli",
                # On a public server both stay out: here the media server is this very machine.
                "allow-loopback-peers",
                "no-multicast-peers",
                f"log-file={log}",
                "simple-log",
                "verbose",
                f"pidfile={directory / 'turn.pid'}",
                f"userdb={directory / 'turn.sqlite'}",
            )
        )
    )
    process = subprocess.Popen(
        ["turnserver", "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(
            "coturn", lambda: log.exists() and "Total General servers" in log.read_text() and process.poll() is None
        )
        yield Coturn(port, secret, log)
    finally:
        process.terminate()
        process.wait(timeout=10)
