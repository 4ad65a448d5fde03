"""Settings of WebRTC, for watching and for publishing."""

from dataclasses import dataclass

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class WebRtcConfig:
    """Section `webrtc`: media by WebRTC (WHEP, WHIP and OvenMediaEngine's signalling), and what it may cost."""

    enabled: bool = setting(True, "Whether viewers may watch and broadcasters publish by WebRTC.")
    host: str = setting("", "Address to listen on; empty means every address, IPv4 and IPv6.")
    port: int = setting(10000, "UDP port of all media, and TCP port for networks that let no UDP through.")
    tcp: bool = setting(True, "Whether media goes by TCP where UDP does not get through.")
    public_addresses: tuple[str, ...] = setting(
        (),
        "IP addresses under which viewers reach this server, told to browsers; a port may stand behind a colon "
        "(IPv6: in brackets). Empty means the addresses of this machine, and the one that the page was asked by.",
    )
    stun_server: str = setting(
        "",
        "STUN server (host:port) that is asked for this server's public address behind a NAT; empty asks none.",
    )
    turn_urls: tuple[str, ...] = setting(
        (), "Addresses of TURN servers that browsers may use, such as turn:turn.example.org:3478?transport=tcp."
    )
    turn_secret: str = setting(
        "", "Secret that is shared with the TURN servers (coturn: static-auth-secret).", secret=True
    )
    turn_ttl: float = setting(86400.0, "Seconds for which a TURN user name is valid.")
    max_peers: int = setting(5000, "Most viewers and broadcasters at once.")
    max_peers_per_address: int = setting(200, "Most of them at once from one address; 0 means no limit.")
    max_publishers: int = setting(100, "Most broadcasters at once.")
    max_tcp: int = setting(1000, "Most TCP connections at once.")
    max_tcp_per_address: int = setting(50, "Most TCP connections at once from one address.")
    sessions_per_minute: int = setting(120, "Sessions that one address may open per minute, after a burst; 0: any.")
    session_timeout: float = setting(30.0, "Seconds without a sign of life after which a peer is taken for gone.")
    tcp_backlog: int = setting(2 * 1024 * 1024, "Bytes that may wait for a viewer by TCP before the picture skips.")
    max_tcp_backlog: int = setting(
        256 * 1024 * 1024,
        "Bytes that may wait for all viewers by TCP together; beyond it the slowest are cut off. 0 means no limit.",
    )
    sending_threads: int = setting(0, "Threads that encrypt and send to viewers; 0 means one for each core.")
    mtu: int = setting(1200, "Largest RTP payload in bytes, without the headers below it.")
    keyframe_interval: float = setting(2.0, "Seconds after which a broadcasting browser is asked for a keyframe.")
    max_bitrate: int = setting(20_000_000, "Most bits per second that a broadcaster is asked to send.")
