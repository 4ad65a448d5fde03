"""What the managed homeserver and the registration are made of."""

import importlib
import json
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock

from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.chat.matrix.homeserver.files import load, load_secrets
from ghostlive.chat.matrix.homeserver.prepare import Surroundings, check, managed_url, mode_of, prepare
from ghostlive.chat.matrix.homeserver.process import Lines, explain
from ghostlive.chat.matrix.homeserver.settings import Place, synapse_settings, write_settings
from ghostlive.chat.matrix.registration import Registration
from ghostlive.core.errors import ConfigurationError

PLACE = Place("127.0.0.1", 8008, "https://live.test/")
MANAGED = MatrixConfig(mode="managed")
EXTERNAL = MatrixConfig(mode="external", server_name="chat.test", homeserver_url="https://matrix.chat.test/")


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The homeserver counts as installed, whether it is or not."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def around(data: Path, host: str = "live.test", http_host: str = "0.0.0.0", port: int = 8080) -> Surroundings:
    return Surroundings(data, host, http_host, port)


def settings(data: Path, config: MatrixConfig = MANAGED) -> dict[str, Any]:
    return synapse_settings(load(data, "live.test"), config, PLACE)


def content(path: Path) -> Any:
    """A generated file without its first line, which is a comment."""
    return json.loads(path.read_text().partition("\n")[2])


# -- registration


def test_our_names_are_ours_alone() -> None:
    document = Registration("live.test", "http://127.0.0.1:8080/", "a", "h").document()
    [users], [aliases] = document["namespaces"]["users"], document["namespaces"]["aliases"]
    assert users["exclusive"]
    assert aliases["exclusive"]
    assert re.fullmatch(users["regex"], "@_ghostlive_g_1:live.test")
    assert re.fullmatch(aliases["regex"], "#live_demo:live.test")
    for stranger in ("@_ghostlive_g_1:liveXtest", "@ann:live.test", "@_ghostlive_g_1:live.test.evil"):
        assert not re.fullmatch(users["regex"], stranger)
    assert document["url"] == "http://127.0.0.1:8080"
    assert document["rate_limited"] is False


def test_tokens_are_in_no_representation() -> None:
    assert "secret" not in repr(Registration("live.test", "http://x", "secret-a", "secret-h"))
    assert "secret" not in repr(replace(MANAGED, as_token="secret-a", hs_token="secret-h", database_url="secret-d"))


@pytest.mark.parametrize("name", ["", "live test", "a/b", "live.test:port", "x" * 256, 'a"b'])
def test_a_server_name_is_one(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"matrix\.server_name"):
        Registration(name, "http://x", "a", "h").document()


def test_the_file_is_yaml() -> None:
    yaml = importlib.import_module("yaml")  # it has no types
    registration = Registration("[2001:db8::1]:8448", "http://x", "a", "h")
    assert yaml.safe_load(registration.yaml()) == registration.document()


# -- what is kept


def test_an_identity_stays_the_same(tmp_path: Path) -> None:
    first = load(tmp_path, "live.test")
    assert load(tmp_path, "other.test") == first
    assert first.server_name == "live.test"
    assert re.fullmatch(r"ed25519 a_[0-9a-f]{4} [A-Za-z0-9+/]{43}\n", first.signing_key.read_text())
    assert len({getattr(first.secrets, name) for name in first.secrets.__slots__}) == 5


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    identity = load(tmp_path / "data", "live.test")
    write_settings(identity, MANAGED, PLACE, "http://127.0.0.1:8080")
    assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(identity.folder.parent.stat().st_mode) == 0o750
    for path in identity.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    for path in (identity.folder, identity.folder / "secrets.json"):
        path.chmod(0o755)
    load(tmp_path / "data", "live.test")
    assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((identity.folder / "secrets.json").stat().st_mode) == 0o600


def test_damaged_secrets_are_an_error_that_says_so(tmp_path: Path) -> None:
    load_secrets(tmp_path)
    (tmp_path / "matrix" / "secrets.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="damaged"):
        load_secrets(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "matrix").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        load(tmp_path, "live.test")


# -- homeserver.yaml


def test_strangers_get_in_nowhere(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found["enable_registration"], found["allow_guest_access"]) == (False, False)
    [listener] = found["listeners"]
    assert listener["bind_addresses"] == ["127.0.0.1"]
    assert listener["resources"][0]["names"] == ["client"]
    assert found["federation_domain_whitelist"] == []
    assert found["trusted_key_servers"] == []


def test_federation_opens_it(tmp_path: Path) -> None:
    found = settings(tmp_path, replace(MANAGED, federation=True))
    assert found["listeners"][0]["resources"][0]["names"] == ["client", "federation"]
    assert "federation_domain_whitelist" not in found
    assert found["media_retention"] == {"remote_media_lifetime": "30d"}


def test_what_operators_choose_is_in_it(tmp_path: Path) -> None:
    plain = settings(tmp_path)
    assert "retention" not in plain
    assert "default_room_version" not in plain
    found = settings(tmp_path, replace(MANAGED, room_version="11", retention=30))
    assert found["default_room_version"] == "11"
    assert found["retention"]["default_policy"] == {"max_lifetime": "30d"}


def test_sqlite_is_the_default_and_postgresql_possible(tmp_path: Path) -> None:
    assert settings(tmp_path)["database"] == {
        "name": "sqlite3",
        "args": {"database": str(tmp_path / "matrix" / "homeserver.db")},
    }
    url = "postgresql://u:p%40ss@db.test:5433/syn?sslmode=require"
    database = settings(tmp_path, replace(MANAGED, database_url=url))["database"]
    place = {"user": "u", "password": "p@ss", "host": "db.test", "port": 5433, "dbname": "syn", "sslmode": "require"}
    assert database == {"name": "psycopg2", "args": {**place, "cp_min": 2, "cp_max": 10}}


@pytest.mark.parametrize("url", ["mysql://u:geheim@h/d", "postgresql://u:geheim@h", "postgresql://u:geheim@h:x/d"])
def test_another_database_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"matrix\.database_url") as caught:
        settings(tmp_path, replace(MANAGED, database_url=url))
    assert "geheim" not in str(caught.value)


# -- filled in


def test_a_managed_one_knows_all_by_itself(tmp_path: Path) -> None:
    found = prepare(MatrixConfig(), around(tmp_path))
    assert found is not None
    assert found.managed is not None
    config = found.config
    assert (config.mode, config.server_name) == ("managed", "live.test")
    assert (config.as_url, config.public_baseurl) == ("http://127.0.0.1:8080", "http://live.test:8080")
    assert config.homeserver_url == f"http://127.0.0.1:{found.managed.place.port}" == managed_url(tmp_path)
    assert config.as_token != config.hs_token != ""


def test_an_address_is_a_name_too(tmp_path: Path) -> None:
    found = prepare(MANAGED, around(tmp_path, host="2001:db8::1"))
    assert found is not None
    assert found.config.server_name == "[2001:db8::1]"


def test_its_name_stays_and_its_port_too(tmp_path: Path) -> None:
    first = prepare(MANAGED, around(tmp_path))
    again = prepare(MANAGED, around(tmp_path, host="renamed.test"))
    assert first is not None
    assert again is not None
    assert again.config.server_name == "live.test"
    assert again.config.homeserver_url == first.config.homeserver_url


def test_another_address_of_ours_is_where_it_finds_us(tmp_path: Path) -> None:
    found = prepare(replace(MANAGED, homeserver_url="http://127.0.0.1:18008"), around(tmp_path, http_host="::1"))
    assert found is not None
    assert found.config.as_url == "http://[::1]:8080"
    assert found.config.homeserver_url == "http://127.0.0.1:18008"


def test_an_external_one_keeps_its_tokens_here(tmp_path: Path) -> None:
    found = prepare(EXTERNAL, around(tmp_path))
    assert found is not None
    assert found.managed is None
    kept = load_secrets(tmp_path)
    assert (found.config.as_token, found.config.hs_token) == (kept.as_token, kept.hs_token)
    assert found.config.homeserver_url == "https://matrix.chat.test"
    given = prepare(replace(EXTERNAL, as_token="a", hs_token="h"), around(tmp_path))
    assert given is not None
    assert (given.config.as_token, given.config.hs_token) == ("a", "h")


def test_off_touches_nothing(tmp_path: Path) -> None:
    assert prepare(MatrixConfig(mode="off"), around(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (MatrixConfig(mode="external", homeserver_url="http://h"), "matrix.server_name has to be set"),
        (MatrixConfig(mode="external", server_name="h"), "matrix.homeserver_url has to be set"),
        (replace(EXTERNAL, homeserver_url="chat.test"), "no address"),
        (replace(EXTERNAL, as_url="http://[::1"), "no address"),
        (replace(MANAGED, public_baseurl="http://h?x=1"), "no address"),
        (replace(MANAGED, homeserver_url="https://127.0.0.1:8008"), "speaks http://"),
        (replace(MANAGED, server_name="no name"), "no server name"),
    ],
)
def test_settings_that_cannot_be_used_say_which(config: MatrixConfig, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        check(config)


def test_without_the_extra_it_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mode_of(MatrixConfig()) == "managed"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert mode_of(MatrixConfig()) == "off"
    with pytest.raises(ConfigurationError, match=r"pip install 'ghostlive\[matrix\]'"):
        mode_of(MANAGED)


# -- what it says


def test_lines_are_few_and_have_no_tokens() -> None:
    clock = FakeClock()
    lines = Lines(clock)
    with capture_logs() as logs:
        lines.feed(b"WARNING synapse.x: GET /?access_token=syt_secret failed\nERROR syn")
        lines.feed(b"apse.y: Bearer syt_secret\n")
        for number in range(100):
            lines.feed(b"WARNING synapse.x: again %d\n" % number)
        clock.advance(60.0)
        lines.feed(b"WARNING synapse.x: later\n")
    said = [log["event"] for log in logs]
    assert "syt_secret" not in str(logs)
    assert said[0] == "GET /?access_token=… failed"
    assert logs[1]["log_level"] == "error"
    assert logs[1]["part"] == "synapse.y"
    assert sum("again" in event for event in said) == 18
    assert logs[-2]["lines"] == 82
    assert said[-1] == "later"


def test_an_end_is_put_in_words() -> None:
    lines = Lines(FakeClock())
    lines.feed(b"Traceback (most recent call last):\n  File x\nOSError: address in use\n\n")
    lines.end()
    assert explain(1, lines.last) == "exited with 1: OSError: address in use"
    assert explain(0, lines.last) == "exited with 0"
    assert explain(-9, "") == "was killed by SIGKILL"
    assert explain(-200, "") == "was killed by signal 200"
