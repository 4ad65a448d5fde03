"""Settings of the web server."""

from dataclasses import dataclass

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where pages, API and media are served, and within which limits."""

    host: str = setting("0.0.0.0", "Address to listen on; `::` for IPv6 and IPv4, `127.0.0.1` behind a proxy.")  # noqa: S104
    port: int = setting(8080, "TCP port of pages, API, LL-HLS and DASH.")
    connections: int = setting(10_000, "Most connections at once; more are answered with 503.")
    connections_per_address: int = setting(
        1_000, "Most connections at once from one address; more are answered with 503. 0 means no limit."
    )
    request_timeout: float = setting(10.0, "Seconds in which a client must have sent its whole request.")
    keep_alive: float = setting(65.0, "Seconds that an idle connection is kept open.")
    stall_timeout: float = setting(30.0, "Seconds without progress after which a client that does not read is dropped.")
    event_listeners: int = setting(10_000, "Most pages that listen for changes at once; more are answered with 503.")
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; their own "
        "connections are not limited by http.connections_per_address.",
    )
    metrics_networks: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1"),
        "Addresses and networks that may read `/metrics`; everybody with `0.0.0.0/0` and `::/0`, nobody by their "
        "address when empty.",
    )
    metrics_token: str = setting(
        "",
        "Who sends it (`Authorization: Bearer …`) may read `/metrics` from anywhere; empty for none.",
        secret=True,
    )
    frame_ancestors: str = setting(
        "*", "Which sites may embed `/embed/{stream}` (Content-Security-Policy frame-ancestors)."
    )
