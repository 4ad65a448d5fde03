"""Federation: somebody whose account is on another homeserver joins the chat, talks with the page, and is banned."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import httpx
import pytest
from tests.support.chat_client import chat_url, guest
from tests.support.federation import federate
from tests.support.matrix_house import CHAT_ALONE
from tests.support.program import Program, wait_for
from tests.support.synapse import START_WITHIN, Person, Synapse

from ghostlive.chat.matrix.registration import BOT

pytestmark = [pytest.mark.interop, pytest.mark.campaign]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Synapse, Synapse]]:
    """Ours, and somebody else's."""
    with ExitStack() as stack:
        ours, theirs = federate(stack, tmp_path_factory.mktemp("federation"), ["localhost", "127.0.0.1"])
        yield ours, theirs


@pytest.fixture(scope="module")
def program(servers: tuple[Synapse, Synapse], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server whose homeserver is the first one."""
    ours, _ = servers
    environment = {**ours.environment(), **CHAT_ALONE}
    program = Program(tmp_path_factory.mktemp("program"), environment, http_port=ours.as_port)
    program.start()
    try:
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def boss(program: Program) -> Iterator[httpx.Client]:
    """The owner of the server."""
    with program.own() as client:
        yield client


def texts(synapse: Synapse, person: Person, room: str) -> list[str]:
    """What somebody reads in their client."""
    return [
        event["content"].get("body", "")
        for event in synapse.timeline(person, room)
        if event["type"] == "m.room.message"
    ]


def test_people_of_another_homeserver_join_talk_and_are_banned(
    program: Program, servers: tuple[Synapse, Synapse], boss: httpx.Client
) -> None:
    ours, theirs = servers
    boss.post("/api/v1/streams", json={"name": "open"}).raise_for_status()
    alias = f"#live_open:{ours.server_name}"

    def made() -> str | None:
        try:
            return ours.room(alias)
        except httpx.HTTPStatusError:
            return None

    room = str(wait_for("the room", made, START_WITHIN))
    eve = theirs.person("eve")
    assert theirs.join(eve, alias) == room
    with guest(chat_url(program.url, "open"), "Ann") as ann:
        theirs.say(eve, room, "hello from elsewhere")
        ann.wait(lambda: ann.texts == ["hello from elsewhere"], "what is said elsewhere")
        assert ann.messages[0]["author"]["matrix"] == eve.mxid
        ann.post("hello from the page", "1")
        wait_for("what the page says", lambda: "hello from the page" in texts(theirs, eve, room), START_WITHIN)

        # The bot bans her in the room; her own homeserver keeps to it.
        owner = ours.person("olga")
        ours.join(owner, room)
        path = f"/_matrix/client/v3/rooms/{quote(room)}/state/m.room.power_levels/"
        bot = f"@{BOT}:{ours.server_name}"
        levels = ours.call("GET", path, ghost=bot)
        levels["users"][owner.mxid] = 50
        ours.call("PUT", path, levels, ghost=bot)
        ours.call(
            "POST", f"/_matrix/client/v3/rooms/{quote(room)}/ban", {"user_id": eve.mxid, "reason": "spam"}, by=owner
        )

        wait_for("the ban on her own homeserver", lambda: is_kept_out(theirs, eve, room), START_WITHIN)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            theirs.join(eve, alias)
        assert refused.value.response.status_code == 403

        # Somebody else of there is free to come, and signs in on the page, until all of that homeserver is banned.
        mal = theirs.person("mal")
        theirs.join(mal, alias)
        theirs.say(mal, room, "me too")
        ann.wait(lambda: "me too" in ann.texts, "somebody else of there")
        code = boss.post("/api/v1/matrix/code").json()["code"]
        theirs.say(mal, room, code)
        claimed = {"matrix": None, "claimed": mal.mxid}
        wait_for("the code", lambda: boss.get("/api/v1/matrix/link").json() == claimed, START_WITHIN)
        wait_for("the code to go there", lambda: code not in texts(theirs, mal, room), START_WITHIN)
        ban = {"matrix": f"@*:{theirs.server_name}", "reason": "all of them"}
        boss.post("/api/v1/streams/open/chat/bans", json=ban).raise_for_status()
        wait_for("the ban of all of them", lambda: is_kept_out(theirs, mal, room), START_WITHIN)
        assert "am I still here?" not in ann.texts


def is_kept_out(synapse: Synapse, person: Person, room: str) -> bool:
    """Whether their own homeserver does not let them speak any more."""
    try:
        synapse.say(person, room, "am I still here?")
    except httpx.HTTPStatusError as refused:
        return refused.response.status_code == 403
    return False
