"""Settings of the RTMP and RTMPS listeners."""

from dataclasses import dataclass

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class RtmpConfig:
    """Section `rtmp`: where encoders publish, and what one of them may use."""

    enabled: bool = setting(True, "Whether encoders may publish by RTMP.")
    host: str = setting("", "Address to listen on, for RTMP and RTMPS; empty means every address, IPv4 and IPv6.")
    port: int = setting(1935, "TCP port of RTMP.")
    handshake_timeout: float = setting(10.0, "Seconds in which a connection must get from its first byte to `publish`.")
    idle_timeout: float = setting(15.0, "Seconds without a byte after which a publisher is taken for lost.")
    max_connections: int = setting(1000, "Most connections at once, over RTMP and RTMPS together.")
    max_connections_per_address: int = setting(20, "Most connections at once from one address.")
    max_bitrate: int = setting(100_000_000, "Most bits per second that one publisher may send, averaged over 10 s.")
    max_message_bytes: int = setting(8 * 1024 * 1024, "Largest RTMP message (one picture), in bytes.")
    max_chunk_streams: int = setting(64, "Most chunk streams that one connection may use.")
    max_commands_per_second: int = setting(20, "Most commands per second that one connection may send, after a burst.")
    max_tracks: int = setting(16, "Most tracks of one publisher (Enhanced RTMP multitrack).")
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Networks of load balancers whose PROXY protocol header (v1 or v2) names the encoder's address; "
        "connections from there must begin with one.",
    )


@dataclass(frozen=True, slots=True)
class RtmpsConfig:
    """Section `rtmps`: RTMP inside TLS. Its limits are those of section `rtmp`."""

    enabled: bool = setting(True, "Whether encoders may publish by RTMPS.")
    port: int = setting(1936, "TCP port of RTMPS.")
    certificate: str = setting(
        "",
        "File with the certificate chain (PEM), read again when it changes; empty means a self-signed certificate "
        "that is made at first start.",
    )
    key: str = setting("", "File with the certificate's private key (PEM); empty if `certificate` holds it too.")
