"""Who is kept out of a chat stays out of its room at a real homeserver, and who proves a Matrix ID is known by it.

That nobody makes an account there, as a guest or otherwise, is in `test_homeserver`; a ban in a client is in
`test_matrix`.
"""

import re
import signal
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from tests.support.chat_client import ChatClient, chat_url
from tests.support.program import Program, wait_for
from tests.support.synapse import START_WITHIN, Person, Synapse

PATIENCE = 120.0


@pytest.fixture(scope="module")
def program(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server whose homeserver is `synapse`."""
    settings = {
        "GHOSTLIVE_TRANSCODE__ENABLED": "false",
        "GHOSTLIVE_WEBRTC__ENABLED": "false",
        "GHOSTLIVE_RTMP__ENABLED": "false",
    }
    program = Program(
        tmp_path_factory.mktemp("evasion"), {**synapse.environment(), **settings}, http_port=synapse.as_port
    )
    program.start()
    try:
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def owner(program: Program) -> Iterator[httpx.Client]:
    """The owner of the server, by the link that it printed, with one stream."""
    link = re.search(r"/setup#(\S+)", program.log)
    assert link is not None
    account = {"token": link[1], "name": "olga", "password": "correct horse battery staple"}
    with httpx.Client(base_url=program.url, timeout=60) as client:
        client.post("/api/v1/setup", json=account).raise_for_status()
        client.post("/api/v1/streams", json={"name": "fort"}).raise_for_status()
        yield client


@pytest.fixture(scope="module")
def room(synapse: Synapse, owner: httpx.Client) -> str:
    """The room of that stream."""

    def found() -> str | None:
        try:
            return synapse.room(f"#live_fort:{synapse.server_name}")
        except Exception:  # not there yet
            return None

    return str(wait_for("the room", found, START_WITHIN))


def membership(synapse: Synapse, room: str, mxid: str) -> str:
    """What somebody is in a room, as our bot sees it."""
    path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.member/{quote(mxid)}"
    found: str = synapse.call("GET", path, ghost=f"@_ghostlive:{synapse.server_name}")["membership"]
    return found


def is_banned(synapse: Synapse, room: str, person: Person) -> bool:
    try:
        return membership(synapse, room, person.mxid) == "ban"
    except httpx.HTTPStatusError:  # the room knows nothing of them yet
        return False


def test_a_pattern_and_a_list_keep_people_out_of_the_room_who_need_not_say_anything(
    program: Program, synapse: Synapse, owner: httpx.Client, room: str
) -> None:
    inside, listed, nice = synapse.person("evil1"), synapse.person("listed"), synapse.person("nice")
    for person in (inside, listed, nice):
        synapse.join(person, room)
    with ChatClient(chat_url(program.url, "fort")) as page:
        made = owner.post("/api/v1/streams/fort/chat/bans", json={"matrix": "@evil*:*", "reason": "evil"})
        assert made.status_code == 201, made.text
        wait_for("the ban of who is in the room", lambda: is_banned(synapse, room, inside), PATIENCE)
        late = synapse.person("evil2")
        synapse.join(late, room)
        wait_for("the ban of who came later", lambda: is_banned(synapse, room, late), PATIENCE)

        keeper = synapse.person("keeper")
        body = {"preset": "public_chat", "room_alias_name": "banlist"}
        bans = synapse.call("POST", "/_matrix/client/v3/createRoom", body, by=keeper)["room_id"]
        rule = {"entity": "@listed:*", "recommendation": "m.ban", "reason": "spam"}
        path = f"/_matrix/client/v3/rooms/{quote(bans)}/state/m.policy.rule.user/1"
        synapse.call("PUT", path, rule, by=keeper)
        lists = owner.put(
            "/api/v1/streams/fort/chat/policies", json={"rooms": [f"#banlist:{synapse.server_name}"]}
        ).json()
        assert lists["policies"] == [{"room": f"#banlist:{synapse.server_name}", "rules": 1, "error": ""}]
        wait_for("the ban of who is on the list", lambda: is_banned(synapse, room, listed), PATIENCE)
        synapse.say(nice, room, "what a quiet place")
        page.wait(lambda: page.texts == ["what a quiet place"], "what the others say, and nothing else")

        synapse.call("PUT", path.removesuffix("1") + "2", {**rule, "entity": "@nice:*"}, by=keeper)

        def rules() -> bool:
            return bool(owner.get("/api/v1/streams/fort/chat/policies").json()["policies"][0]["rules"] == 2)

        wait_for("the news of the list", rules, PATIENCE)
        wait_for("the ban of who was added to the list", lambda: is_banned(synapse, room, nice), PATIENCE)
        assert page.texts == ["what a quiet place"]
        synapse.call("PUT", path.removesuffix("1") + "2", {}, by=keeper)
        wait_for("the end of that ban", lambda: not is_banned(synapse, room, nice), PATIENCE)
        assert is_banned(synapse, room, listed)


def test_a_ban_of_the_whole_site_is_in_all_rooms_and_ends_in_all(
    synapse: Synapse, owner: httpx.Client, room: str
) -> None:
    owner.post("/api/v1/streams", json={"name": "keep"}).raise_for_status()
    rascal = synapse.person("rascal")
    made = owner.post("/api/v1/streams/fort/chat/bans", json={"matrix": rascal.mxid}).json()
    wait_for("the ban in the room", lambda: is_banned(synapse, room, rascal), PATIENCE)

    def other() -> str | None:
        try:
            return synapse.room(f"#live_keep:{synapse.server_name}")
        except Exception:  # not there yet
            return None

    second = str(wait_for("the other room", other, PATIENCE))
    synapse.join(rascal, second)
    site = owner.post(f"/api/v1/streams/fort/chat/bans/{made['id']}/everywhere")
    assert site.status_code == 201, site.text
    wait_for("the ban in the other room", lambda: is_banned(synapse, second, rascal), PATIENCE)
    [line] = owner.get("/api/v1/streams/keep/chat/audit").json()["entries"]
    assert (line["kind"], line["actor"]["name"], line["target"]["matrix"]) == ("ban", "olga", rascal.mxid)
    owner.delete(f"/api/v1/chat/bans/{site.json()['id']}").raise_for_status()
    wait_for("its end in the other room", lambda: not is_banned(synapse, second, rascal), PATIENCE)
    assert is_banned(synapse, room, rascal)


def test_a_code_links_a_browser_and_is_no_message(
    program: Program, synapse: Synapse, owner: httpx.Client, room: str
) -> None:
    person, other = synapse.person("ann"), synapse.person("bea")
    with ChatClient(chat_url(program.url, "fort")) as page, httpx.Client(base_url=program.url, timeout=60) as browser:
        seen = len(page.texts)
        code = browser.post("/api/v1/matrix/code").json()
        assert code["bot"] == f"@_ghostlive:{synapse.server_name}"
        synapse.join(person, room)
        synapse.say(person, room, code["code"])
        _confirm(browser, person)
        # By a private message to the bot, too: this time the account of the streamer, who gets power in the room by it.
        code = owner.post("/api/v1/matrix/code").json()
        body = {"invite": [code["bot"]], "is_direct": True, "preset": "trusted_private_chat"}
        private = synapse.call("POST", "/_matrix/client/v3/createRoom", body, by=other)["room_id"]
        wait_for("the bot", lambda: _joined(synapse, private, code["bot"], other), PATIENCE)
        synapse.say(other, private, code["code"])
        _confirm(owner, other)
        wait_for("the power", lambda: _power(synapse, room, other.mxid) >= 50, PATIENCE)
        synapse.say(person, room, "hello")
        page.wait(lambda: len(page.texts) > seen, "the message")
        assert page.texts[seen:] == ["hello"]


def _confirm(browser: httpx.Client, person: Person) -> None:
    """The code has arrived, and the page says yes to who sent it."""
    claimed = {"matrix": None, "claimed": person.mxid}
    wait_for("the code", lambda: browser.get("/api/v1/matrix/link").json() == claimed, PATIENCE)
    linked = {"matrix": person.mxid, "claimed": None}
    assert browser.post("/api/v1/matrix/link", json={"matrix": person.mxid}).json() == linked
    assert browser.get("/api/v1/matrix/link").json() == linked


def _joined(synapse: Synapse, room: str, mxid: str, by: Person) -> bool:
    path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.member/{quote(mxid)}"
    return bool(synapse.call("GET", path, by=by)["membership"] == "join")


def _power(synapse: Synapse, room: str, mxid: str) -> int:
    path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.power_levels/"
    levels = synapse.call("GET", path, ghost=f"@_ghostlive:{synapse.server_name}")
    return int(levels["users"].get(mxid, 0))
