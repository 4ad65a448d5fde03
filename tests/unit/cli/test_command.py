"""The command as a person and a program use it."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ghostlive import __version__
from ghostlive.cli.main import app


class Command:
    """`ghostlive` on a data directory of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._runner = CliRunner()

    def run(self, *arguments: str, given: str | None = None, env: dict[str, str] | None = None) -> Result:
        return self._runner.invoke(app, [*arguments, "--data", str(self.data)], input=given, env=env)

    def json(self, *arguments: str, given: str | None = None) -> Any:
        result = self.run(*arguments, "--json", given=given)
        assert (result.exit_code, result.stderr) == (0, "")
        return json.loads(result.stdout)

    def refusal(self, *arguments: str, given: str | None = None) -> str:
        result = self.run(*arguments, given=given)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("ghostlive: ")
        assert "Traceback" not in result.stderr
        return result.stderr


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "data")


def test_stream_add_before_the_first_start(command: Command) -> None:
    added = command.json("stream", "add", "demo", "--title", "Demo")
    assert added["stream"] == "demo"
    assert added["key"].startswith("gl_")
    assert added["server"] == "rtmp://localhost:1935/app"
    assert added["page"] == "http://localhost:8080/demo"
    with closing(sqlite3.connect(command.data / "ghostlive.db")) as database:
        assert added["key"] not in "\n".join(database.iterdump())
    assert [stream["title"] for stream in command.json("stream", "list")] == ["Demo"]


def test_the_renditions_of_a_stream(command: Command) -> None:
    command.json("stream", "add", "demo")
    assert "ladder" not in command.json("stream", "list")[0]
    assert command.json("stream", "show", "demo")["renditions"] == "default"
    changed = command.json("stream", "edit", "demo", "--renditions", "720p60, 480p:always:av1:900k")
    assert changed["renditions"] == "720p60,480p:av1:always:900000"
    assert command.json("stream", "edit", "demo", "--title", "x")["renditions"] == changed["renditions"]
    assert command.json("stream", "edit", "demo", "--renditions", "none")["renditions"] == "none"
    refusals = {
        "720": "--renditions: '720' is not accepted",
        "9p": "--renditions: height: 9 is not accepted",
        ",".join(["720p"] * 33): "--renditions: Tuple should have at most 32 items",
    }
    for text, refusal in refusals.items():
        assert refusal in command.refusal("stream", "edit", "demo", "--renditions", text)
    assert command.json("stream", "edit", "demo", "--renditions", "default")["renditions"] == "default"


def test_stream_add_for_people(command: Command) -> None:
    result = command.run("stream", "add", "demo")
    assert result.exit_code == 0
    assert "rtmp://localhost:1935/app" in result.stdout
    assert "not shown again" in result.stdout


def test_addresses_follow_the_configuration(command: Command) -> None:
    command.data.mkdir()
    (command.data / "ghostlive.toml").write_text("[server]\npublic_host = '2001:db8::1'\n[rtmps]\nenabled = false\n")
    result = command.run("stream", "add", "demo", "--json", env={"GHOSTLIVE_RTMP__PORT": "2935"})
    added = json.loads(result.stdout)
    assert added["server"] == "rtmp://[2001:db8::1]:2935/app"
    assert "server_tls" not in added


@pytest.mark.parametrize("name", ["a/b", "", "ü", "api", "-x" * 40])
def test_names_are_checked_before_anything_is_made(command: Command, name: str) -> None:
    result = command.run("stream", "add", "--", name) if name.startswith("-") else command.run("stream", "add", name)
    assert result.exit_code != 0
    assert not command.data.exists()


def test_a_second_stream_of_a_name_is_refused(command: Command) -> None:
    command.json("stream", "add", "demo")
    assert command.refusal("stream", "add", "demo") == "ghostlive: a stream named 'demo' exists already\n"


def test_streams_are_shown_edited_and_removed(command: Command) -> None:
    secret = command.json("stream", "add", "demo")["key"]
    edited = command.json("stream", "edit", "demo", "--title", "New [b]", "--description", "Text")
    assert (edited["title"], edited["description"]) == ("New [b]", "Text")
    shown = command.json("stream", "show", "demo")
    assert [key["hint"] for key in shown["keys"]] == [secret[-4:]]
    for arguments in (["stream", "show", "demo"], ["stream", "list"], ["stream", "edit", "demo"], ["key", "list"]):
        result = command.run(*arguments)
        assert result.exit_code == 0
        assert "demo" in result.stdout
        assert secret not in result.stdout
    assert "New [b]" in command.run("stream", "list").stdout
    assert "add --yes" in command.refusal("stream", "remove", "demo")
    assert command.run("stream", "remove", "demo", "--yes").exit_code == 0
    assert command.json("stream", "list") == []
    assert "no stream yet" in command.run("stream", "list").stdout
    for subcommand in ("show", "edit"):
        assert "no stream named 'demo'" in command.refusal("stream", subcommand, "demo")
    assert "no stream named 'demo'" in command.refusal("stream", "remove", "demo", "-y")


def test_keys(command: Command) -> None:
    first = command.json("stream", "add", "demo")["key"]
    second = command.json("key", "add", "demo", "--label", "phone")
    assert second["stream"] == "demo"
    assert second["key"] != first
    command.json("key", "revoke", "1")
    assert [key["revoked_at"] is None for key in command.json("key", "list", "demo")] == [False, True]
    third = command.json("key", "rotate", "demo")["key"]
    keys = command.json("key", "list")
    assert [(key["hint"], key["revoked_at"] is None) for key in keys] == [
        (first[-4:], False),
        (second["key"][-4:], False),
        (third[-4:], True),
    ]
    assert "number 99" in command.refusal("key", "revoke", "99")
    for arguments in (["key", "add", "x"], ["key", "rotate", "x"], ["key", "list", "x"]):
        assert "no stream named 'x'" in command.refusal(*arguments)
    assert "revoked at" in command.run("key", "revoke", "3").stdout


def test_users(command: Command) -> None:
    user = command.json("user", "add", "ann", "--role", "owner", given="correct horse\n")
    assert (user["name"], user["role"]) == ("ann", "owner")
    assert "at least 10" in command.refusal("user", "add", "bob", given="short\n")
    assert "no password" in command.refusal("user", "add", "bob", given="")
    assert "exists already" in command.refusal("user", "add", "ann", given="correct horse\n")
    assert "cannot name a user" in command.refusal("user", "add", "Ann")
    assert command.run("user", "password", "ann", given="battery staple\n").exit_code == 0
    assert "no user named" in command.refusal("user", "password", "bob", given="battery staple\n")
    assert [user["name"] for user in command.json("user", "list")] == ["ann"]
    assert "owner" in command.run("user", "list").stdout
    assert command.run("user", "remove", "ann", "-y").exit_code == 0
    assert "no user yet" in command.run("user", "list").stdout
    with closing(sqlite3.connect(command.data / "ghostlive.db")) as database:
        assert "correct horse" not in "\n".join(database.iterdump())


def test_passwords_never_come_from_arguments(command: Command) -> None:
    assert command.run("user", "add", "ann", "--password", "correct horse").exit_code == 2
    assert command.run("user", "add", "ann", "correct horse").exit_code == 2


def test_database(command: Command, tmp_path: Path) -> None:
    assert command.json("db", "status")["current"] is False
    assert command.json("db", "upgrade")["current"] is True
    command.json("stream", "add", "demo")
    status = command.json("db", "status")
    assert status["records"]["streams"] == 1
    assert "streams" in command.run("db", "status").stdout
    target = tmp_path / "backup.db"
    assert command.run("db", "backup", str(target)).exit_code == 0
    assert target.stat().st_size > 0
    assert "is there already" in command.refusal("db", "backup", str(target))


def test_a_database_of_a_newer_version(command: Command) -> None:
    command.json("db", "upgrade")
    with closing(sqlite3.connect(command.data / "ghostlive.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    assert "newer version" in command.refusal("stream", "list")


def test_configuration_errors_stop_every_command(command: Command) -> None:
    for arguments in (["serve"], ["demo"], ["doctor"], ["stream", "list"], ["db", "status"]):
        result = command.run(*arguments, env={"GHOSTLIVE_HTTP__PROT": "1"})
        assert result.exit_code == 1
        assert "did you mean GHOSTLIVE_HTTP__PORT?" in result.stderr


def test_print_config(command: Command) -> None:
    result = command.run("serve", "--print-config", env={"GHOSTLIVE_HTTP__PORT": "9000"})
    assert result.exit_code == 0
    assert "# TCP port of pages, API, LL-HLS and DASH.\nport = 9000\n" in result.stdout


def test_doctor(command: Command, tmp_path: Path) -> None:
    ports = {f"GHOSTLIVE_{section}__PORT": "0" for section in ("HTTP", "RTMP", "RTMPS", "WEBRTC")}
    result = command.run("doctor", "--json", env=ports)
    found = {check["name"]: check for check in json.loads(result.stdout)}
    assert found["database"]["state"] == "ok"
    assert result.exit_code == (1 if any(check["state"] == "wrong" for check in found.values()) else 0)
    command.data.touch()
    result = command.run("doctor", env=ports)
    assert result.exit_code == 1
    assert "not a directory" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        *([name] for name in ("serve", "demo", "doctor", "user", "stream", "key", "db")),
        ["stream", "add"],
        ["db", "backup"],
    ],
)
def test_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"ghostlive {__version__}\n"


def test_commands_do_not_load_the_server() -> None:
    heavy = "('fastapi', 'uvicorn', 'av', 'alembic', 'structlog', 'rich.console')"
    code = f"import sys, ghostlive.cli.main; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_server_does_not_load_what_an_idle_one_does_not_need() -> None:
    heavy = (
        "('rich', 'pygments', 'pylibsrtp', 'alembic', 'asyncpg', 'av', 'sqlalchemy.dialects.postgresql', "
        "'httpx', 'nh3', 'prometheus_client')"
    )
    code = f"""
import sys
from ghostlive.cli.serve import load_structlog
load_structlog()
import ghostlive.cli.main, ghostlive.app.logging, ghostlive.app.server
print([m for m in {heavy} if m in sys.modules])
import rich
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_person_types_a_password_without_seeing_it(command: Command) -> None:
    process, terminal = pty.fork()
    if process == 0:
        arguments = ["-m", "ghostlive.cli.main", "user", "add", "ann", "--data", str(command.data)]
        os.execv(sys.executable, [sys.executable, *arguments])
    shown = b""
    for prompt in (b"Password: ", b"confirmation: "):
        while not shown.endswith(prompt):
            shown += os.read(terminal, 1024)
        os.write(terminal, b"correct horse\n")
        shown += b"|"
    while True:
        try:
            shown += os.read(terminal, 1024)
        except OSError:  # the other end has closed
            break
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    os.close(terminal)
    assert b"correct horse" not in shown
    assert b"ann" in shown
