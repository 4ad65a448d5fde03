"""What Prometheus reads."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message

from ghostlive.core.errors import ConfigurationError
from ghostlive.web.config import HttpConfig
from ghostlive.web.metrics import Figure, MetricsApp

FIGURES = [
    Figure("streams_live", "Streams on air.", 3),
    Figure("chat_messages", "Messages.", {"page": 5, "matrix": 2}, label="source", kind="counter"),
]


async def ask(
    method: str = "GET",
    *,
    address: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
    config: HttpConfig | None = None,
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a body is not read")

    async def send(message: Message) -> None:
        sent.append(message)

    fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": "/metrics",
        "headers": fields,
        "client": (address, 5000) if address else None,
    }
    await MetricsApp(lambda: FIGURES, config or HttpConfig())(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_figures_can_be_read() -> None:
    status, headers, body = await ask()
    assert status == 200
    assert headers[b"content-type"].startswith(b"text/plain")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert samples["ghostlive_streams_live",] == 3
    assert samples["ghostlive_chat_messages_total", "page"] == 5
    assert samples["ghostlive_chat_messages_total", "matrix"] == 2
    assert samples["process_resident_memory_bytes",] > 0


async def test_only_reading_is_possible() -> None:
    assert (await ask("POST"))[0] == 405
    status, _, body = await ask("HEAD")
    assert (status, body) == (200, b"")


def test_nothing_else_is_for_it() -> None:
    app = MetricsApp(lambda: FIGURES, HttpConfig())
    assert app.handles("/metrics", b"")
    assert not app.handles("/metrics/", b"")


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", ""])
async def test_strangers_cannot_read_them(address: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        status, _, body = await ask(method, address=address)
        assert status == 403
        assert b"http.metrics_networks" in body


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_can(address: str) -> None:
    assert (await ask(address=address))[0] == 200


async def test_who_comes_by_a_proxy_that_is_not_trusted_is_not_this_machine() -> None:
    assert (await ask(headers={"x-forwarded-for": "192.0.2.7"}))[0] == 403
    # Who is behind one that is trusted has an address of their own by now.
    trusting = HttpConfig(trusted_proxies=("127.0.0.1",))
    assert (await ask(address="192.0.2.7", headers={"x-forwarded-for": "192.0.2.7"}, config=trusting))[0] == 403
    assert (await ask(headers={"x-forwarded-for": "127.0.0.1"}, config=trusting))[0] == 200


async def test_networks_are_configured() -> None:
    config = HttpConfig(metrics_networks=("10.0.0.0/8", "2001:db8::/32"))
    for address, status in (("10.1.2.3", 200), ("2001:db8::1", 200), ("11.0.0.1", 403), ("127.0.0.1", 403)):
        assert (await ask(address=address, config=config))[0] == status
    assert (await ask(config=HttpConfig(metrics_networks=())))[0] == 403
    with pytest.raises(ConfigurationError, match=r"http\.metrics_networks: 'nonsense'"):
        MetricsApp(lambda: FIGURES, HttpConfig(metrics_networks=("nonsense",)))


async def test_a_token_opens_them_from_anywhere() -> None:
    config = HttpConfig(metrics_token="sésame")
    for given, status in (
        ("Bearer sésame", 200),
        ("bearer  sésame ", 200),
        ("Bearer sesam", 403),
        ("Bearer ", 403),
        ("Basic sésame", 403),
        ("", 403),
    ):
        assert (await ask(address="192.0.2.7", headers={"authorization": given}, config=config))[0] == status
    assert (await ask(address="192.0.2.7", headers={"authorization": "Bearer "}))[0] == 403
    assert "sésame" not in repr(config)
