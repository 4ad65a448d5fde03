"""What waits for all TCP connections together."""

from dataclasses import dataclass

from ghostlive.protocols.webrtc.backlog import Backlog


@dataclass(eq=False)
class Line:
    """A connection."""

    backlog: int = 0


class Lines:
    """Some connections and those that were cut off."""

    def __init__(self, most: int) -> None:
        self.ended: list[tuple[Line, int]] = []
        self.backlog: Backlog[Line] = Backlog(most, lambda line, size: self.ended.append((line, size)))

    def wait(self, line: Line, size: int) -> None:
        line.backlog = size
        self.backlog.note(line, size)


def test_what_waits_is_summed_up() -> None:
    lines, one, other = Lines(1000), Line(), Line()
    lines.wait(one, 300)
    lines.wait(other, 500)
    lines.wait(one, 200)
    assert lines.backlog.total == 700
    lines.wait(other, 0)
    assert lines.backlog.total == 200
    assert lines.ended == []


def test_those_end_for_which_most_waits() -> None:
    lines, small, big, middle = Lines(1000), Line(), Line(), Line()
    lines.wait(small, 100)
    lines.wait(big, 500)
    lines.wait(middle, 400)
    assert lines.ended == []
    lines.wait(small, 101)
    assert lines.ended == [(big, 500)]
    assert lines.backlog.total == 501


def test_enough_of_them_end_that_it_takes_a_while_until_the_next() -> None:
    lines = Lines(1000)
    all_of_them = [Line() for _ in range(10)]
    for line in all_of_them:
        lines.wait(line, 100)
    lines.wait(all_of_them[0], 101)
    assert [size for _, size in lines.ended] == [101, 100]
    assert lines.backlog.total == 800


def test_nobody_ends_for_what_has_left_meanwhile() -> None:
    lines, quick, slow = Lines(1000), Line(), Line()
    lines.wait(quick, 900)
    quick.backlog = 0
    lines.wait(slow, 800)
    assert lines.ended == []
    assert lines.backlog.total == 800


def test_there_may_be_no_limit() -> None:
    lines = Lines(0)
    lines.wait(Line(), 10**12)
    assert lines.ended == []
