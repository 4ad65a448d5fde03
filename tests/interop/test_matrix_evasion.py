"""Who is kept out of a chat stays out of its room at a real homeserver, and who proves a Matrix ID is known by it.

That nobody makes an account there, as a guest or otherwise, is in `test_homeserver`; a ban in a client is in
`test_matrix`.
"""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from tests.support.chat_client import ChatClient
from tests.support.matrix_house import PATIENCE, MatrixHouse, Stream
from tests.support.program import wait_for
from tests.support.synapse import Person


@pytest.fixture(scope="module")
def owner(house: MatrixHouse) -> Iterator[httpx.Client]:
    """The owner of the server, who is nobody on Matrix before and after."""
    yield house.owner
    house.owner.delete("/api/v1/matrix/link")


@pytest.fixture(scope="module")
def fort(house: MatrixHouse) -> Stream:
    """A stream for all tests."""
    return house.add_stream("fort")


def test_a_pattern_and_a_list_keep_people_out_of_the_room_who_need_not_say_anything(
    house: MatrixHouse, owner: httpx.Client, fort: Stream
) -> None:
    synapse = house.synapse
    inside, listed, nice = fort.person("evil1"), fort.person("listed"), fort.person("nice")
    with ChatClient(fort.url) as page:
        made = owner.post("/api/v1/streams/fort/chat/bans", json={"matrix": "@evil*:*", "reason": "evil"})
        assert made.status_code == 201, made.text
        wait_for("the ban of who is in the room", lambda: fort.is_banned(inside), PATIENCE)
        late = fort.person("evil2")
        wait_for("the ban of who came later", lambda: fort.is_banned(late), PATIENCE)

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
        wait_for("the ban of who is on the list", lambda: fort.is_banned(listed), PATIENCE)
        fort.say(nice, "what a quiet place")
        page.wait(lambda: page.texts == ["what a quiet place"], "what the others say, and nothing else")

        synapse.call("PUT", path.removesuffix("1") + "2", {**rule, "entity": "@nice:*"}, by=keeper)

        def rules() -> bool:
            return bool(owner.get("/api/v1/streams/fort/chat/policies").json()["policies"][0]["rules"] == 2)

        wait_for("the news of the list", rules, PATIENCE)
        wait_for("the ban of who was added to the list", lambda: fort.is_banned(nice), PATIENCE)
        assert page.texts == ["what a quiet place"]
        synapse.call("PUT", path.removesuffix("1") + "2", {}, by=keeper)
        wait_for("the end of that ban", lambda: not fort.is_banned(nice), PATIENCE)
        assert fort.is_banned(listed)


def test_a_ban_of_the_whole_site_is_in_all_rooms_and_ends_in_all(
    house: MatrixHouse, owner: httpx.Client, fort: Stream
) -> None:
    rascal = house.synapse.person("rascal")
    made = owner.post("/api/v1/streams/fort/chat/bans", json={"matrix": rascal.mxid}).json()
    wait_for("the ban in the room", lambda: fort.is_banned(rascal), PATIENCE)
    keep = house.add_stream("keep")
    house.synapse.join(rascal, keep.room)
    site = owner.post(f"/api/v1/streams/fort/chat/bans/{made['id']}/everywhere")
    assert site.status_code == 201, site.text
    wait_for("the ban in the other room", lambda: keep.is_banned(rascal), PATIENCE)
    [line] = owner.get("/api/v1/streams/keep/chat/audit").json()["entries"]
    assert (line["kind"], line["actor"]["name"], line["target"]["matrix"]) == ("ban", "olga", rascal.mxid)
    owner.delete(f"/api/v1/chat/bans/{site.json()['id']}").raise_for_status()
    wait_for("its end in the other room", lambda: not keep.is_banned(rascal), PATIENCE)
    assert fort.is_banned(rascal)


def test_a_code_links_a_browser_and_is_no_message(house: MatrixHouse, owner: httpx.Client, fort: Stream) -> None:
    person, other = house.synapse.person("ann"), house.synapse.person("bea")
    with ChatClient(fort.url) as page, httpx.Client(base_url=house.url, timeout=60) as browser:
        seen = len(page.texts)
        code = browser.post("/api/v1/matrix/code").json()
        assert code["bot"] == house.bot
        house.synapse.join(person, fort.room)
        fort.say(person, code["code"])
        _confirm(browser, person)
        # By a private message to the bot, too: this time the account of the streamer, who gets power in the room by it.
        code = owner.post("/api/v1/matrix/code").json()
        private = house.private_room(other)
        house.synapse.say(other, private, code["code"])
        _confirm(owner, other)
        wait_for("the power", lambda: fort.power(other.mxid) >= 50, PATIENCE)
        fort.say(person, "hello")
        page.wait(lambda: len(page.texts) > seen, "the message")
        assert page.texts[seen:] == ["hello"]


def _confirm(browser: httpx.Client, person: Person) -> None:
    """The code has arrived, and the page says yes to who sent it."""
    claimed = {"matrix": None, "claimed": person.mxid}
    wait_for("the code", lambda: browser.get("/api/v1/matrix/link").json() == claimed, PATIENCE)
    linked = {"matrix": person.mxid, "claimed": None}
    assert browser.post("/api/v1/matrix/link", json={"matrix": person.mxid}).json() == linked
    assert browser.get("/api/v1/matrix/link").json() == linked
