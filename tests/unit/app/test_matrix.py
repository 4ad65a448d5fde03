"""Matrix in the composition: nothing waits for it, and whatever is wrong with it, the rest goes on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from ghostlive.app import matrix as module
from ghostlive.app.composition import Application
from ghostlive.app.config import Config
from ghostlive.app.matrix import Matrix
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.setback import SetBack, read
from ghostlive.chat.matrix.homeserver.supervisor import HomeserverState
from ghostlive.chat.matrix.journal import MatrixJournal
from ghostlive.core.clock import Clock
from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.web.config import HttpConfig

CONFIG = Config(
    http=HttpConfig(port=0, host="127.0.0.1"),
    rtmp=RtmpConfig(port=0, host="127.0.0.1"),
    rtmps=RtmpsConfig(enabled=False),
    webrtc=WebRtcConfig(enabled=False),
    transcode=TranscodeConfig(enabled=False),
    matrix=MatrixConfig(mode="managed"),
)


class FakeProcess:
    """A homeserver that never answers and ends when told."""

    started: ClassVar[list[Path]] = []

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    @classmethod
    async def start(cls, config: Path, clock: Clock) -> "FakeProcess":
        cls.started.append(config)
        return cls()

    def terminate(self) -> None:
        self._ended.set()

    def kill(self) -> None:
        self._ended.set()

    async def wait(self) -> str:
        await self._ended.wait()
        return "exited with 0"


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(host: str, port: int) -> bool:
        return False

    FakeProcess.started.clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(module, "SynapseProcess", FakeProcess)
    monkeypatch.setattr(module, "answers_at", never)
    monkeypatch.setattr(module, "_AFTER", 0.0)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[[Config], Any]]:
    """Starts an application that is stopped afterwards."""
    started: list[Application] = []

    async def make(config: Config) -> Application:
        application = Application(config, tmp_path)
        await application.start()
        started.append(application)
        return application

    yield make
    for application in started:
        await application.stop()


async def ask(matrix: Matrix, path: str) -> tuple[int, Any]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Message) -> None:
        sent.append(message)

    assert matrix.handles(path, b"")
    await matrix({"type": "http", "method": "PUT", "path": path, "headers": [], "client": None}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_pages_are_served_while_the_homeserver_starts(start: Callable[[Config], Any]) -> None:
    application = await start(CONFIG)
    matrix: Matrix = application.matrix
    assert application.health()["http"]
    await until(lambda: matrix.bridge is not None)
    assert matrix.homeserver is not None
    assert matrix.homeserver.state is HomeserverState.STARTING
    await until(lambda: FakeProcess.started)
    assert FakeProcess.started == [application.data / "matrix" / "homeserver.yaml"]
    # What the homeserver is told is where we listen, although the port was only found at the start.
    text = await asyncio.to_thread((application.data / "matrix" / "registration.yaml").read_text)
    assert f'"url": "http://127.0.0.1:{application.http.port}"' in text
    assert isinstance(application.matrix._parts.service.journal, MatrixJournal)
    figures = {figure.name: figure.value for figure in matrix.figures()}
    assert figures["matrix_homeserver_up"] == 0
    assert figures["matrix_homeserver_starts"] == 1
    assert figures["matrix_outbox_messages"] == 0


async def test_what_the_homeserver_sends_is_for_the_bridge(start: Callable[[Config], Any]) -> None:
    matrix: Matrix = (await start(CONFIG)).matrix
    path = "/_matrix/app/v1/transactions/1"
    # Not loaded yet: it keeps them and comes again.
    assert (await ask(matrix, path))[0] == 503
    await until(lambda: matrix.bridge is not None)
    assert (await ask(matrix, path))[1]["errcode"] in ("M_UNAUTHORIZED", "M_MISSING_TOKEN", "M_FORBIDDEN")


@pytest.mark.parametrize(
    "config",
    [replace(CONFIG, matrix=MatrixConfig(mode="off")), replace(CONFIG, chat=ChatConfig(enabled=False))],
)
async def test_off_is_off(start: Callable[[Config], Any], config: Config) -> None:
    application = await start(config)
    await asyncio.sleep(0)
    assert not (application.data / "matrix").exists()
    assert (await ask(application.matrix, "/_matrix/app/v1/transactions/1"))[0] == 404
    assert (await ask(application.matrix, "/_matrix/client/versions"))[0] == 404
    assert list(application.matrix.figures()) == []


async def test_damaged_files_keep_nothing_else_from_working(start: Callable[[Config], Any], tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "matrix").mkdir)
    await asyncio.to_thread((tmp_path / "matrix" / "secrets.json").write_text, "{}")
    with capture_logs() as logs:
        application = await start(CONFIG)
        await until(lambda: any(log["event"] == "there is no chat on Matrix" for log in logs))
    assert "is damaged" in next(log["reason"] for log in logs if "reason" in log)
    assert application.health()["http"]


async def test_settings_that_cannot_be_used_keep_it_from_starting(tmp_path: Path) -> None:
    application = Application(replace(CONFIG, matrix=MatrixConfig(mode="external")), tmp_path)
    with pytest.raises(ConfigurationError, match=r"matrix\.server_name"):
        await application.start()


async def test_another_name_is_told(start: Callable[[Config], Any], tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "matrix").mkdir)
    await asyncio.to_thread((tmp_path / "matrix" / "server_name").write_text, "first.test\n")
    with capture_logs() as logs:
        matrix: Matrix = (await start(CONFIG)).matrix
        await until(lambda: matrix.bridge is not None)
    assert matrix.prepared is not None
    assert matrix.prepared.config.server_name == "first.test"
    told = next(log for log in logs if "keeps the name of its first start" in log["event"])
    assert (told["name"], told["wanted"]) == ("first.test", "localhost")


async def test_why_the_homeserver_does_not_run_is_told_in_the_studio(start: Callable[[Config], Any]) -> None:
    application = await start(CONFIG)
    matrix: Matrix = application.matrix
    await application.records.add("demo")
    await until(lambda: matrix.bridge is not None)
    assert matrix.homeserver is not None
    starting = await matrix.room_state("demo")
    assert starting is not None
    assert starting.state == "starting"
    matrix.homeserver.problem = "it exited with 1: address in use"
    away = await matrix.room_state("demo")
    assert away is not None
    assert away.state == "away"
    assert away.problems[0].text == "The homeserver does not run: it exited with 1: address in use"


async def test_that_the_clock_was_set_back_is_told_in_the_studio_and_kept(
    start: Callable[[Config], Any], tmp_path: Path
) -> None:
    application = await start(CONFIG)
    matrix: Matrix = application.matrix
    await application.records.add("demo")
    await until(lambda: matrix.bridge is not None)
    assert matrix.homeserver is not None
    matrix.homeserver.set_back = found = SetBack(3600.0, time.time())
    matrix.homeserver.was_set_back(found)
    state = await matrix.room_state("demo")
    assert state is not None
    [problem] = [one for one in state.problems if one.code == "clock_set_back"]
    assert "set back by 60 minutes (just now)" in problem.text
    while await asyncio.to_thread(read, tmp_path) != found:
        await asyncio.sleep(0.01)
