"""The log: its two forms, its levels, and no secrets in either."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ghostlive.access.keys import make_secret
from ghostlive.app.logconfig import LogConfig
from ghostlive.app.logging import redact, setup_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name in list(logging.Logger.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_where_nobody_looks() -> None:
    stream = io.StringIO()
    setup_logging(LogConfig(), stream)
    structlog.get_logger("rtmp").info("connected", address="192.0.2.1")
    [line] = _lines(stream)
    assert line.pop("timestamp")
    assert line == {"event": "connected", "level": "info", "logger": "rtmp", "address": "192.0.2.1"}


@pytest.mark.parametrize(("chosen", "stream"), [("auto", _Terminal()), ("human", io.StringIO())])
def test_human_on_a_terminal(chosen: str, stream: io.StringIO) -> None:
    setup_logging(LogConfig(format=chosen), stream)  # type: ignore[arg-type]
    structlog.get_logger("rtmp").info("connected", address="192.0.2.1")
    assert "connected" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_json_on_a_terminal_if_so_chosen() -> None:
    stream = _Terminal()
    setup_logging(LogConfig(format="json"), stream)
    structlog.get_logger("rtmp").info("connected")
    assert len(_lines(stream)) == 1


def test_levels() -> None:
    stream = io.StringIO()
    setup_logging(LogConfig(level="warning"), stream)
    structlog.get_logger("a").info("no")
    structlog.get_logger("a").warning("yes")
    logging.getLogger("library").info("no")
    logging.getLogger("library").error("yes")
    assert [line["event"] for line in _lines(stream)] == ["yes", "yes"]


def test_small_talk_of_libraries_is_for_debugging() -> None:
    stream = io.StringIO()
    setup_logging(LogConfig(), stream)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert stream.getvalue() == ""
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert [line["event"] for line in _lines(stream)] == ["Exception in ASGI application"]
    stream = io.StringIO()
    setup_logging(LogConfig(level="debug"), stream)
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("aiosqlite").debug("executing INSERT …")
    assert [line["event"] for line in _lines(stream)] == ["Started server process"]


@pytest.mark.parametrize("chosen", ["human", "json"])
def test_errors_bring_their_traceback_without_secrets(chosen: str) -> None:
    stream = io.StringIO()
    setup_logging(LogConfig(format=chosen), stream)  # type: ignore[arg-type]
    secret = make_secret()
    for log in (structlog.get_logger("a"), logging.getLogger("library")):
        try:
            raise ValueError(f"cannot publish to rtmp://host/app/demo?key={secret}")
        except ValueError:
            log.exception("failed")
    text = stream.getvalue()
    assert text.count("ValueError: cannot") == 2
    assert "Traceback" in text
    assert secret not in text
    assert "key=…" in text.replace(r"\u2026", "…")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rtmp://h/app/demo?key=abc&x=1", "rtmp://h/app/demo?key=…&x=1"),
        ("GET /x?a=1&token=abc HTTP/1.1", "GET /x?a=1&token=… HTTP/1.1"),
        ("password=hunter2, user=ann", "password=…, user=ann"),
        ("Key='abc'", "Key='abc'"),
        ("postgresql://ann:hunter2@host/db", "postgresql://ann:…@host/db"),
        ("publish gl_" + "a" * 28 + "wxyz now", "publish gl_…wxyz now"),
        ("monkey=banana", "monkey=banana"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("10 keyframes", "10 keyframes"),
    ],
)
def test_secrets_in_texts(given: str, shown: str) -> None:
    assert redact(None, "info", {"event": given})["event"] == shown
    assert redact(None, "info", {"event": "x", "url": given})["url"] == shown
    assert redact(None, "info", {"event": "x", "list": [given, {"a": given}]})["list"] == [shown, {"a": shown}]


@pytest.mark.parametrize(
    "name", ["key", "password", "token", "secret", "stream_key", "Authorization", "set_cookie", "api_keys"]
)
def test_secrets_in_fields(name: str) -> None:
    assert redact(None, "info", {"event": "x", name: "abc"})[name] == "…"
    assert redact(None, "info", {"event": "x", name: b"abc"})[name] == "…"
    assert redact(None, "info", {"event": "x", name: None})[name] is None
    assert redact(None, "info", {"event": "x", "nested": {name: ["abc"]}})["nested"] == {name: "…"}


def test_other_fields_are_left_alone() -> None:
    event = {
        "event": "x",
        "keyframe": "yes",
        "keys_per_second": 3,
        "monkey": "banana",
        "port": 1,
        "on": True,
        "n": None,
    }
    assert redact(None, "info", dict(event)) == event
    assert redact(None, "info", {"event": "x", "where": {"a"}})["where"] == ["a"]


def test_objects_are_shown_as_texts_without_secrets() -> None:
    error = ValueError("key=abc")
    assert redact(None, "info", {"event": "x", "reason": error})["reason"] == "key=…"
