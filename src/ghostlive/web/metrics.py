"""`/metrics`, for Prometheus and what reads its text format.

Figures are of the whole server, without names of streams or people. They are for who runs it: for addresses that are
configured (this machine, by default) and for who has the token. What they are is asked of the parts when somebody asks
for it; nothing is counted for this alone.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from starlette.types import Receive, Scope, Send

from ghostlive.web.clientaddress import ClientAddress, Networks
from ghostlive.web.config import HttpConfig

if TYPE_CHECKING:
    from prometheus_client import Metric

PATH: Final = "/metrics"
_PREFIX: Final = "ghostlive_"
_CLOSED: Final = b"Not from here: see http.metrics_networks and http.metrics_token in the configuration.\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, or one for each value of a label."""

    name: str
    """Without `ghostlive_`, and for counters without `_total`."""
    help: str
    value: float | Mapping[str, float]
    """A number, or numbers by the value of `label`."""
    label: str = ""
    kind: Literal["gauge", "counter"] = "gauge"


class MetricsApp:
    """Raw ASGI for `PATH`."""

    def __init__(self, read: Callable[[], Iterable[Figure]], config: HttpConfig) -> None:
        """`read` is called on the event loop, for each answer; `config` says who may have one.

        Raises `ConfigurationError` for networks that are none.
        """
        self._read = read
        self._networks = Networks(config.metrics_networks, "http.metrics_networks")
        self._proxies = ClientAddress(config.trusted_proxies)
        self._token = config.metrics_token.encode()

    def handles(self, path: str, query: bytes) -> bool:
        """Whether a request is for this one."""
        return path == PATH

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it."""
        if not self._may(scope):
            await _answer(send, 403, b"text/plain", _CLOSED)
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"text/plain", b"GET it.\n")
            return
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"").decode("latin-1")
        kind, body = await asyncio.to_thread(render, list(self._read()), accept)
        await _answer(send, 200, kind.encode(), b"" if scope["method"] == "HEAD" else body)

    def _may(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        kind, _, token = given.partition(b" ")
        if self._token and kind.lower() == b"bearer" and secrets.compare_digest(token.strip(), self._token):
            return True
        address = scope["client"][0] if scope.get("client") else ""
        # Behind a proxy that nobody said to trust, everybody has its address: none of them is this machine.
        return address in self._networks and not self._proxies.overlooked(address, scope["headers"])


def render(figures: Iterable[Figure], accept: str = "") -> tuple[str, bytes]:
    """The media type and the text, with what the process itself uses. Blocks on files."""
    # Imported here: it takes a tenth of a second, and most servers are never asked.
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Collector(figures))
    encoder, media_type = choose_encoder(accept)
    return media_type, encoder(registry)


class _Collector:
    """`figures` as prometheus-client wants them."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

        for figure in self._figures:
            made = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            family = made(_PREFIX + figure.name, figure.help, labels=[figure.label] if figure.label else [])
            values = figure.value if isinstance(figure.value, Mapping) else {"": figure.value}
            for label, value in values.items():
                family.add_metric([label] if figure.label else [], value)
            yield family


async def _answer(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
