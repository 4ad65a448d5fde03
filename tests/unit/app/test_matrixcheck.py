"""What the doctor finds about chat on Matrix."""

import asyncio
import json
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest

from ghostlive.app import matrixcheck
from ghostlive.app.config import Config, ServerConfig
from ghostlive.app.findings import State
from ghostlive.app.matrixcheck import examine_matrix
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import load_secrets
from ghostlive.chat.matrix.homeserver.prepare import Surroundings, prepare
from ghostlive.chat.matrix.homeserver.setback import SetBack, write
from ghostlive.web.config import HttpConfig

EXTERNAL = MatrixConfig(
    mode="external", server_name="chat.test", homeserver_url="http://hs.test", as_token="a", hs_token="h"
)
WHOAMI = "/_matrix/client/v3/account/whoami"
PING = "/_matrix/client/v1/appservice/ghostlive/ping"
VERSIONS = "/_matrix/client/versions"
WELL_KNOWN = "/.well-known/matrix/server"

Answers = dict[str, tuple[int, Any]]
WORKS: Answers = {
    VERSIONS: (200, {"versions": ["v1.17"]}),
    WHOAMI: (200, {"user_id": "@_ghostlive:chat.test"}),
    PING: (200, {"duration_ms": 12}),
}


def network(answers: Answers, ahead: float | None = None) -> httpx.MockTransport:
    """Who asks for something else finds nobody. Answers are dated so many seconds ahead of our time."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path not in answers:
            raise httpx.ConnectError("connection refused")
        status, document = answers[request.url.path]
        dated = {} if ahead is None else {"date": formatdate(time.time() + ahead, usegmt=True)}
        return httpx.Response(status, content=json.dumps(document), headers=dated)

    return httpx.MockTransport(answer)


async def found(
    matrix: MatrixConfig, data: Path, answers: Answers | None = None, ahead: float | None = None
) -> dict[str, tuple[State, str]]:
    config = Config(server=ServerConfig("live.test"), http=HttpConfig(port=0), matrix=matrix)
    checks = await examine_matrix(config, data, transport=network(answers or {}, ahead))
    return {check.name: (check.state, check.detail) for check in checks}


@pytest.fixture
def _running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own server runs."""

    async def listens(around: Surroundings) -> bool:
        return True

    monkeypatch.setattr(matrixcheck, "_listens", listens)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


async def test_a_homeserver_whose_clock_is_wrong(tmp_path: Path) -> None:
    state, detail = (await found(EXTERNAL, tmp_path, WORKS, ahead=7200.0))["Matrix, clocks"]
    assert (state, "120 minutes ahead of this server's" in detail) == (State.NOTE, True)
    assert "Matrix, clocks" not in await found(EXTERNAL, tmp_path, WORKS, ahead=0.0)


async def test_off_is_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, detail = (await found(MatrixConfig(mode="off"), tmp_path))["Matrix homeserver"]
    assert (state, detail) == (State.NOTE, "none: people chat on the pages only")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install" in (await found(MatrixConfig(), tmp_path))["Matrix homeserver"][1]
    [check] = await examine_matrix(Config(chat=ChatConfig(enabled=False)), tmp_path)
    assert check.state is State.NOTE


async def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    state, detail = (await found(replace(EXTERNAL, server_name=""), tmp_path))["Matrix homeserver"]
    assert (state, "matrix.server_name" in detail) == (State.WRONG, True)


async def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    assert await found(MatrixConfig(), tmp_path / "data") == {
        "Matrix homeserver": (State.OK, "made at first start, as live.test")
    }
    assert not (tmp_path / "data").exists()


async def test_one_that_is_not_running_is_in_order(tmp_path: Path) -> None:
    await asyncio.to_thread(prepare, MatrixConfig(), Surroundings(tmp_path, "live.test", "", 8080))
    state, detail = (await found(MatrixConfig(), tmp_path))["Matrix homeserver"]
    assert (state, detail) == (State.OK, "live.test; it runs while the server runs")


async def test_that_the_clock_was_set_back_is_told_for_a_day(tmp_path: Path) -> None:
    name = "Matrix, clock set back"
    await asyncio.to_thread(prepare, MatrixConfig(), Surroundings(tmp_path, "live.test", "", 8080))
    assert name not in await found(MatrixConfig(), tmp_path)
    await asyncio.to_thread(write, tmp_path, SetBack(3600.0, time.time() - 60.0))
    state, detail = (await found(MatrixConfig(), tmp_path))[name]
    assert (state, "set back by 60 minutes (1 min ago)" in detail) == (State.NOTE, True)
    assert name not in await found(replace(EXTERNAL, as_token="t"), tmp_path, WORKS), "that is not our machine's"
    await asyncio.to_thread(write, tmp_path, SetBack(3600.0, time.time() - 25 * 3600.0))
    assert name not in await found(MatrixConfig(), tmp_path)


@pytest.mark.usefixtures("_running")
async def test_one_that_does_not_answer_while_we_run_is_not(tmp_path: Path) -> None:
    await asyncio.to_thread(prepare, MatrixConfig(), Surroundings(tmp_path, "live.test", "", 8080))
    state, detail = (await found(MatrixConfig(), tmp_path))["Matrix homeserver"]
    assert (state, "does not answer at http://127.0.0.1:" in detail) == (State.WRONG, True)


async def test_a_name_that_changed_is_told(tmp_path: Path) -> None:
    await asyncio.to_thread(prepare, MatrixConfig(), Surroundings(tmp_path, "old.test", "", 8080))
    state, detail = (await found(MatrixConfig(), tmp_path))["Matrix name"]
    assert state is State.NOTE
    assert "old.test" in detail
    assert str(tmp_path / "matrix") in detail


async def test_both_ways_work(tmp_path: Path) -> None:
    assert await found(EXTERNAL, tmp_path, WORKS) == {
        "Matrix homeserver": (State.OK, "chat.test at http://hs.test"),
        "Matrix, both ways": (State.OK, "it reaches this server (12 ms)"),
    }


async def test_no_registration_was_written_yet(tmp_path: Path) -> None:
    state, detail = (await found(replace(EXTERNAL, as_token=""), tmp_path, WORKS))["Matrix homeserver"]
    assert (state, "ghostlive matrix registration" in detail) == (State.WRONG, True)
    assert list(tmp_path.iterdir()) == []
    await asyncio.to_thread(load_secrets, tmp_path)
    assert (await found(replace(EXTERNAL, as_token=""), tmp_path, WORKS))["Matrix, both ways"][0] is State.OK


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "does not answer at http://hs.test"),
        ({VERSIONS: (500, {})}, "answers, but"),
        ({**WORKS, WHOAMI: (401, {"errcode": "M_UNKNOWN_TOKEN"})}, "registration file is missing or old"),
        ({**WORKS, WHOAMI: (200, {"user_id": "@_ghostlive:x.test"})}, "calls itself x.test"),
    ],
)
async def test_the_way_there_is_broken(tmp_path: Path, answers: Answers, said: str) -> None:
    state, detail = (await found(EXTERNAL, tmp_path, answers))["Matrix homeserver"]
    assert (state, said in detail) == (State.WRONG, True), detail


async def test_the_way_back_needs_a_server_that_runs(tmp_path: Path) -> None:
    answers = {**WORKS, PING: (502, {"errcode": "M_CONNECTION_FAILED"})}
    assert (await found(EXTERNAL, tmp_path, answers))["Matrix, both ways"][0] is State.NOTE


@pytest.mark.usefixtures("_running")
async def test_the_way_back_is_broken(tmp_path: Path) -> None:
    answers = {**WORKS, PING: (502, {"errcode": "M_CONNECTION_FAILED"})}
    state, detail = (await found(replace(EXTERNAL, as_url="http://us.test"), tmp_path, answers))["Matrix, both ways"]
    assert state is State.WRONG
    assert "M_CONNECTION_FAILED" in detail
    assert "http://us.test" in detail


FEDERATED = MatrixConfig(federation=True, public_baseurl="https://stream.live.test")


async def test_federation_needs_a_certificate(tmp_path: Path) -> None:
    state, detail = (await found(replace(FEDERATED, public_baseurl=""), tmp_path))["Matrix federation"]
    assert (state, "matrix.public_baseurl is http://live.test:0" in detail) == (State.WRONG, True)


async def test_others_find_ours(tmp_path: Path) -> None:
    answers: Answers = {WELL_KNOWN: (200, {"m.server": "stream.live.test:443"})}
    assert (await found(FEDERATED, tmp_path, answers))["Matrix federation"][0] is State.OK


@pytest.mark.parametrize("answers", [{}, {WELL_KNOWN: (404, {})}, {WELL_KNOWN: (200, {"m.server": "x.test:443"})}])
async def test_others_do_not_find_ours(tmp_path: Path, answers: Answers) -> None:
    state, detail = (await found(FEDERATED, tmp_path, answers))["Matrix federation"]
    assert state is State.NOTE
    assert '"m.server": "stream.live.test:443"' in detail
    assert "_matrix-fed._tcp.live.test SRV 10 0 443 stream.live.test" in detail
