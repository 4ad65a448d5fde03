"""What is sent again of what a viewer asks for, and in which order."""

from typing import Any

from ghostlive.protocols.webrtc.egress.resending import Resender

RTT = 0.15


class Outlet:
    """Keeps packets of 1,000 bytes, and notes what is sent again."""

    lane = None

    def __init__(self) -> None:
        self.sent: list[int] = []

    def find(self, sequence: int) -> tuple[int, int, bytes, bool, int]:
        return sequence, 0, bytes(1000), False, 97

    def resend(self, extended: int, *_rest: object) -> None:
        self.sent.append(extended)

    def missed(self, packets: int, size: int, now: float) -> None:
        """No burst."""


def asked(resender: Resender, numbers: range, now: float) -> list[int]:
    outlet: Any = Outlet()
    resender.resend(outlet, numbers, RTT, now)
    found: list[int] = outlet.sent
    return found


def test_who_asks_again_before_the_answer_can_be_there_gets_it_once() -> None:
    resender = Resender(0.0)
    assert asked(resender, range(5), 1.0) == [0, 1, 2, 3, 4]
    assert asked(resender, range(5), 1.1) == []
    assert asked(resender, range(5), 1.2) == [0, 1, 2, 3, 4]


def test_what_was_refused_is_sent_when_it_is_asked_for_again() -> None:
    resender = Resender(0.0)
    sent = asked(resender, range(100), 1.0)
    assert 20 < len(sent) < 60
    refused = range(len(sent), len(sent) + 10)
    assert asked(resender, refused, 1.1) == list(refused)
    assert asked(resender, range(200, 210), 1.1) == []  # asked for once, it may be under way


def test_only_what_was_sent_again_in_vain_crowds() -> None:
    resender = Resender(0.0)
    asked(resender, range(30), 1.0)
    assert not resender.group_crowds(None, 1.0)
    asked(resender, range(30), 1.2)
    assert resender.group_crowds(None, 1.2)
    assert not resender.group_crowds(None, 5.0)


def test_what_is_usual_does_not_stop_a_probe() -> None:
    resender = Resender(0.0)
    asked(resender, range(30), 1.0)
    resender.begin_probe(1.0)
    assert not resender.probe_crowds(None, 1.0)
    asked(resender, range(100, 110), 1.1)
    assert resender.probe_crowds(None, 1.1)
