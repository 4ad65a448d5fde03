"""A server's peer and its client, which know of each other what their descriptions would say."""

from dataclasses import dataclass, replace

from tests.support.webrtc.client import TestPeer, shared_certificate
from tests.support.webrtc.network import ClientHost, Network, ServerHost

from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.peer import Peer, PeerLimits


@dataclass(frozen=True, slots=True)
class Parameters:
    """`TransportParameters` for tests."""

    local_ufrag: str = "srvu"
    local_pwd: str = "server-password-0123456789"
    remote_ufrag: str = ""
    remote_pwd: str = ""
    fingerprints: tuple[tuple[str, bytes], ...] = ()
    dtls_client: bool = False


def make_pair(
    *,
    now: float,
    server_is_dtls_client: bool = False,
    limits: PeerLimits | None = None,
    certificate: Certificate | None = None,
    parameters: Parameters | None = None,
    client: TestPeer | None = None,
) -> tuple[Peer, TestPeer]:
    """A peer of the server and its client, not connected."""
    certificate = certificate or shared_certificate()
    client = client or TestPeer(now=now, dtls_client=not server_is_dtls_client)
    parameters = replace(
        parameters or Parameters(),
        remote_ufrag=client.ufrag,
        remote_pwd=client.pwd,
        fingerprints=client.fingerprints,
        dtls_client=server_is_dtls_client,
    )
    peer = Peer(certificate=certificate, transport=parameters, now=now, limits=limits or PeerLimits())
    client.set_remote(
        parameters.local_ufrag,
        parameters.local_pwd,
        (("sha-256", bytes.fromhex(certificate.fingerprint.replace(":", ""))),),
    )
    return peer, client


def connected(network: Network, peer: Peer, client: TestPeer) -> tuple[ServerHost, ClientHost]:
    """Put both on `network` and let them connect."""
    server_host, client_host = network.server(peer), network.client(client)
    assert network.run(lambda: client.secured and peer.secured), (client.closed, server_host.events)
    return server_host, client_host
