"""The whole server between pages and a real Synapse, either of which is killed in the middle of 200 messages."""

import signal

from tests.support.chat_client import ChatClient, guest
from tests.support.matrix_house import MatrixHouse, Stream

MANY = 200


def introduce(stream: Stream, page: ChatClient, bot: str) -> None:
    """Say hello until it is one's own ghost who says it: the bot speaks for who has none within a second."""
    for number in range(30):
        before = len(stream.said())
        page.post("hello", f"hello-{number}")
        stream.wait_for(before + 1, [page])
        if stream.said()[-1]["sender"] != bot:
            return
    raise AssertionError("the bot speaks for everybody")


def test_page_and_room_are_one_conversation(house: MatrixHouse) -> None:
    stream = house.add_stream("both-ways")
    with guest(stream.url, "Ada") as ada, guest(stream.url, "Bob") as bob:
        introduce(stream, ada, house.bot)
        introduce(stream, bob, house.bot)
        known = len(stream.said())
        first = ada.post("question", "a1")
        bob.post("answer", "b1", reply=first)
        stream.wait_for(known + 2, [ada, bob])
        question, answer = stream.said()[known:]
        assert [question["content"]["body"], answer["content"]["body"]] == ["question", "answer"]
        assert answer["content"]["m.relates_to"]["m.in_reply_to"] == {"event_id": question["event_id"]}
        assert question["sender"] != answer["sender"]
        stream.say(stream.reader, "from outside")
        ada.wait(lambda: ada.texts[known:] == ["question", "answer", "from outside"], "the message from the room")
        ada.post("to outside", "a2")
        stream.wait_for(known + 4, [ada, bob])
    assert stream.bodies()[known:] == ["question", "answer", "from outside", "to outside"]


def test_a_homeserver_that_is_killed_in_the_middle_of_200_messages_gets_all_of_them_once(
    house: MatrixHouse,
) -> None:
    stream = house.add_stream("killed-homeserver")
    with guest(stream.url, "Ada") as ada, guest(stream.url, "Bob") as bob:
        for number in range(MANY):
            (ada if number % 3 else bob).post(f"message {number}", f"t{number}")
            if number == MANY // 2:
                stream.wait_for(1, [ada, bob])
                house.synapse.kill()  # with some sent, one on its way, and the rest still to come
        house.synapse.start()
        stream.wait_for(MANY, [ada, bob])
    assert stream.bodies() == [f"message {number}" for number in range(MANY)]


def test_a_server_that_is_killed_in_the_middle_loses_and_doubles_nothing_in_the_room(
    house: MatrixHouse,
) -> None:
    stream = house.add_stream("killed-server")
    acknowledged = [f"message {number}" for number in range(MANY // 2)]
    with ChatClient(stream.url) as ada:
        ada.join("Ada")
        for number, text in enumerate(acknowledged):
            ada.send(type="post", txn=f"t{number}", text=text)
        # They are stored together in a moment, and sent one by one.
        ada.wait(lambda: len(ada.acks) == len(acknowledged), "all acknowledgements")
        stream.wait_for(2)
        house.program.stop(signal.SIGKILL)
        house.program.start()
        ada.open()
        ada.post("the last one", "last")
    stream.wait_for(MANY // 2 + 1)
    assert stream.bodies() == [*acknowledged, "the last one"]


def test_nothing_stands_in_the_logs_that_went_wrong(house: MatrixHouse) -> None:
    assert "Traceback" not in house.program.log
