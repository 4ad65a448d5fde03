"""What the start tells whoever looks at the terminal."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ghostlive.app import demo, server
from ghostlive.app.config import Config, ServerConfig


def _application(token: str | None, host: str = "localhost") -> Any:
    return SimpleNamespace(
        config=Config(server=ServerConfig(public_host=host)),
        http=SimpleNamespace(port=8080),
        matrix=SimpleNamespace(mode="managed" if token else "off"),
        data=Path("data"),
        setup=None if token is None else SimpleNamespace(token=token),
    )


@pytest.mark.parametrize(
    ("host", "url"),
    [("localhost", "http://localhost:8080/setup#s3cret"), ("2001:db8::1", "http://[2001:db8::1]:8080/setup#s3cret")],
)
def test_the_set_up_link_keeps_its_token_in_the_fragment(host: str, url: str) -> None:
    assert server.setup_url(_application("s3cret", host)) == url
    assert server.setup_url(_application(None, host)) is None


def test_the_demo_shows_the_link_and_where_to_go_then(capsys: pytest.CaptureFixture[str]) -> None:
    process = cast("Any", SimpleNamespace(pid=4711))
    demo._explain(_application("s3cret_-", "fe80::1"), "gl_key", process)
    text = capsys.readouterr().out
    for line in (
        "Open http://[fe80::1]:8080/demo (all streams: http://[fe80::1]:8080/)",
        "    Server      rtmp://[fe80::1]:1935/app\n",
        "    Stream key  gl_key\n",
        "    http://[fe80::1]:8080/setup#s3cret_-\n",
        "are at http://[fe80::1]:8080/studio\n",
        "a Matrix room too: #live_demo:[fe80::1] (homeserver http://[fe80::1]:8080)",
        "ghostlive matrix admin NAME --data data\n",
    ):
        assert line in text
    demo._explain(_application(None), "gl_key", process)
    text = capsys.readouterr().out
    assert "setup" not in text
    assert "Matrix" not in text
    assert "http://localhost:8080/studio\n" in text


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    server.show("text")
