"""The running program, killed while messages wait for a moderator: none is lost, none is said twice."""

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.chat_client import ChatClient, chat_url
from tests.support.program import running

pytestmark = pytest.mark.interop

CHAT = "/api/v1/streams/demo/chat"


def _held(owner: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = owner.get(f"{CHAT}/held").raise_for_status().json()["held"]
    return found


def test_killed_while_messages_wait(tmp_path: Path) -> None:
    with running(tmp_path, {"GHOSTLIVE_LOG__LEVEL": "info"}) as program, program.own() as owner:
        owner.post("/api/v1/streams", json={"name": "demo"}).raise_for_status()
        owner.patch(f"{CHAT}/rules", json={"approve": True}).raise_for_status()
        with ChatClient(chat_url(program.url, "demo")) as ann:
            ann.join("Ann")
            for number in range(3):
                ann.send(type="post", txn=f"t{number}", text=f"m{number}")
                assert ann.until("ack")["held"] is True
        program.stop(signal.SIGKILL)
        program.start()
        first, second, third = _held(owner)
        assert [one["text"] for one in (first, second, third)] == ["m0", "m1", "m2"]
        ann.open()
        ann.send(type="post", txn="t1", text="m1")  # a page sends again what has no id
        assert ann.until("ack")["held"] is True
        owner.post(f"{CHAT}/held/{second['id']}", json={"allow": True}).raise_for_status()
        assert ann.until("ack")["txn"] == "t1"
        owner.post(f"{CHAT}/held/{third['id']}", json={"allow": False}).raise_for_status()
        ann.close()
        program.stop(signal.SIGKILL)  # right after the answers
        program.start()
        assert _held(owner) == [first]
        ann.open()
        assert ann.texts == ["m1"]
        for txn, answer in (("t1", "ack"), ("t2", "error"), ("t0", "ack")):
            ann.send(type="post", txn=txn, text="again")
            assert ann.until_any("ack", "error")["type"] == answer
        assert owner.post(f"{CHAT}/held/{third['id']}", json={"allow": True}).status_code == 404
        owner.post(f"{CHAT}/held/{first['id']}", json={"allow": True}).raise_for_status()
        ann.wait(lambda: ann.texts == ["m1", "m0"], "what was let through last")
        ann.close()
        log = owner.get(f"{CHAT}/audit").raise_for_status().json()["entries"]
        assert [entry["kind"] for entry in log] == ["allow", "deny", "allow", "rules"]
        assert (
            owner.get("/api/openapi.json").raise_for_status().json()["paths"][CHAT.replace("demo", "{name}") + "/rules"]
        )
