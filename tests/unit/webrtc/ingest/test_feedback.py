"""What a sender learns of its bandwidth."""

from ghostlive.formats.rtcp import TransportFeedback
from ghostlive.protocols.webrtc.ingest.feedback import ArrivalReporter, RateLimit


def told(reports: list[TransportFeedback]) -> dict[int, int | None]:
    return {number: arrived for report in reports for number, arrived in report.arrivals}


def test_arrivals_are_told_of_in_time() -> None:
    reporter = ArrivalReporter(1)
    reporter.add(65_535, 10.0)
    reporter.add(0, 10.001)
    (report,) = reporter.due(10.0, 7)
    assert (report.sender_ssrc, report.media_ssrc, report.base_sequence_number) == (1, 7, 65_535)
    reporter.add(3, 10.02)
    assert reporter.due(10.04, 7) == []
    (report,) = reporter.due(10.06, 7)
    assert report.feedback_count == 1
    # What was lost between two reports is in the later one.
    assert [(number, arrived is None) for number, arrived in report.arrivals] == [(1, True), (2, True), (3, False)]
    assert reporter.due(11.0, 7) == []


def test_one_that_came_late_is_told_of_with_those_around_it() -> None:
    reporter = ArrivalReporter(1)
    for number in (1, 2, 4, 5):
        reporter.add(number, 10.0 + number / 1000)
    assert told(reporter.due(10.1, 7))[3] is None
    reporter.add(3, 10.15)
    reporter.add(3, 10.16)
    found = told(reporter.due(10.2, 7))
    assert found[3] == 10_150_000
    assert found[5] == 10_005_000


def test_numbers_that_jump_do_not_fill_the_gap() -> None:
    reporter = ArrivalReporter(1)
    reporter.add(1, 10.0)
    reporter.due(10.0, 7)
    reporter.add(20_000, 10.1)
    (report,) = reporter.due(10.2, 7)
    assert len(report.arrivals) == 1


def test_it_remembers_only_so_much() -> None:
    reporter = ArrivalReporter(1)
    for number in range(10_000):
        reporter.add(number, 10.0)
    assert sum(len(report.arrivals) for report in reporter.due(10.1, 7)) == 4000


def test_the_figure_for_remb_goes_down_with_loss_and_recovers() -> None:
    limit = RateLimit(10_000_000)
    assert limit.update(100, 100, 300_000, 1.0) == 10_000_000
    assert limit.update(80, 100, 300_000, 1.0) == int(2_880_000 * 0.9)
    low = limit.update(95, 100, 300_000, 1.0)
    assert low == limit.rate  # some loss changes nothing
    assert low < limit.update(100, 100, 300_000, 1.0) < low * 1.1
    for _ in range(100):
        limit.update(0, 100, 0, 1.0)
    assert limit.rate == 150_000
    assert limit.update(0, 0, 0, 1.0) == 150_000
