"""`ghostlive matrix`."""

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from ghostlive.chat.matrix.homeserver.admin import AccountError, make_user
from ghostlive.cli.main import app

EXTERNAL = {
    "GHOSTLIVE_MATRIX__MODE": "external",
    "GHOSTLIVE_MATRIX__SERVER_NAME": "chat.test",
    "GHOSTLIVE_MATRIX__HOMESERVER_URL": "http://127.0.0.1:1",
}


def run(data: Path, *arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, ["matrix", *arguments, "--data", str(data)], env=EXTERNAL if env is None else env)


def test_the_registration_is_written_and_only_ours_to_read(tmp_path: Path) -> None:
    result = run(tmp_path, "registration")
    assert result.exit_code == 0, result.output
    assert "app_service_config_files" in result.stdout
    path = tmp_path / "matrix" / "registration.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = json.loads(path.read_text().partition("\n")[2])
    assert content["url"] == "http://127.0.0.1:8080"
    assert content["as_token"] not in result.stdout
    printed = run(tmp_path, "registration", "-o", "-").stdout
    assert printed == path.read_text()
    assert run(tmp_path, "registration", "-o", str(tmp_path / "there" / "x")).exit_code == 1


def test_a_name_is_needed(tmp_path: Path) -> None:
    result = run(tmp_path, "registration", env={"GHOSTLIVE_MATRIX__MODE": "off"})
    assert result.exit_code == 1
    assert "matrix.server_name has to be set" in result.stderr


def test_a_ping_says_what_is_wrong(tmp_path: Path) -> None:
    assert run(tmp_path, "registration").exit_code == 0
    result = run(tmp_path, "ping", "--json")
    assert result.exit_code == 1
    [check] = json.loads(result.stdout)
    assert check["state"] == "wrong"
    assert "does not answer" in check["detail"]


def test_an_external_homeserver_has_its_own_admins(tmp_path: Path) -> None:
    result = run(tmp_path, "admin", "ann")
    assert result.exit_code == 1
    assert "make admins where your homeserver is" in result.stderr


class Homeserver:
    """Answers a registration as a test says."""

    def __init__(self, status: int = 200, document: Any = None) -> None:
        self.status = status
        self.document = {"user_id": "@ann:chat.test"} if document is None else document
        self.sent: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"nonce": "n"})
        self.sent = json.loads(request.content)
        return httpx.Response(self.status, json=self.document)

    async def make(self, *, admin: bool = True) -> str:
        return await make_user(
            "http://hs.test",
            secret="shared",
            name="ann",
            password="pass",
            admin=admin,
            transport=httpx.MockTransport(self),
        )


async def test_an_admin_is_made_by_the_shared_secret() -> None:
    homeserver = Homeserver()
    assert await homeserver.make() == "@ann:chat.test"
    # HMAC-SHA1 of nonce, name, password and "admin", with NUL between them, as Synapse documents it.
    assert homeserver.sent["mac"] == "485658336134d443110b221b5e2d164c87a40a7e"
    assert homeserver.sent["admin"] is True
    ordinary = Homeserver()
    await ordinary.make(admin=False)
    assert ordinary.sent["mac"] != homeserver.sent["mac"]


async def test_what_the_homeserver_says_is_told() -> None:
    with pytest.raises(AccountError, match="User ID already taken"):
        await Homeserver(400, {"errcode": "M_USER_IN_USE", "error": "User ID already taken."}).make()
    with pytest.raises(AccountError, match="is not the managed homeserver"):
        await Homeserver(200, []).make()
