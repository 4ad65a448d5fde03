"""Stepping down before frames queue, and back up."""

from ghostlive.transcode.adapt import Adapter, Load, Step, StepKind

THIN, RESTORE, WITHDRAW, RETURN = StepKind.THIN, StepKind.RESTORE, StepKind.WITHDRAW, StepKind.RETURN


class Machine:
    """Renditions that report every half second."""

    def __init__(self, **rates: float) -> None:
        self.adapter = Adapter()
        self.rates = rates
        self.now = 100.0
        self.dropped = dict.fromkeys(rates, 0)
        self.media = 0.0

    def run(
        self, seconds: float, *, late: float = 0.05, drop: str = "", waiting: bool = False, speed: float = 1.0
    ) -> list[Step]:
        """`speed` is how much media is encoded in a second."""
        steps = []
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.media += 0.5 * speed
            if drop:
                self.dropped[drop] += 3
            loads = [
                Load(name, name != "sound", rate, rate, self.dropped[name], late, self.media)
                for name, rate in self.rates.items()
                if name not in self.adapter.withdrawn
            ]
            step = self.adapter.observe(self.now, loads, waiting=waiting)
            if step is not None:
                steps.append(step)
        return steps


def test_while_all_is_well_nothing_happens() -> None:
    assert Machine(p720=60.0, p360=30.0).run(600) == []


def test_fast_renditions_are_thinned_first_then_the_costliest_go() -> None:
    machine = Machine(p1080=60.0, p720=59.94, p480=30.0, sound=0.0)
    assert machine.run(60, late=1.0) == [
        Step(THIN, "p1080"),
        Step(THIN, "p720"),
        Step(WITHDRAW, "p1080"),
        Step(WITHDRAW, "p720"),
        Step(WITHDRAW, "p480"),
    ]
    assert machine.adapter.withdrawn == {"p1080", "p720", "p480"}


def test_an_operator_may_have_more_patience() -> None:
    machine = Machine(p720=30.0)
    machine.adapter = Adapter(20.0)
    assert machine.run(20, late=1.0) == []
    assert machine.run(1, late=1.0) == [Step(WITHDRAW, "p720")]


def test_what_catches_up_is_not_slow() -> None:
    machine = Machine(p720=60.0)
    machine.adapter.started(machine.now)
    assert machine.run(15, late=8.0, waiting=True, speed=1.5) == []
    # Not fast enough to see the end of it, or at the cost of frames.
    assert machine.run(3, late=8.0, speed=1.1) == [Step(THIN, "p720")]
    assert machine.run(6, late=8.0, speed=1.5, drop="p720") == [Step(WITHDRAW, "p720")]


def test_a_moment_is_no_reason() -> None:
    machine = Machine(p720=60.0)
    for _ in range(20):
        assert machine.run(1.5, late=2.0) == []
        assert machine.run(1.0) == []


def test_dropped_frames_and_a_worker_that_takes_nothing_count_too() -> None:
    assert Machine(p720=60.0).run(3, drop="p720") == [Step(THIN, "p720")]
    assert Machine(p720=30.0).run(3, waiting=True) == [Step(WITHDRAW, "p720")]


def test_a_start_is_given_time_to_catch_up() -> None:
    machine = Machine(p720=60.0)
    machine.adapter.started(machine.now)
    assert machine.run(3, late=3.0) == []
    assert machine.run(60) == []


def test_steps_are_taken_back_in_reverse_after_a_calm_while() -> None:
    machine = Machine(p720=60.0, p360=30.0)
    assert machine.run(8, late=1.0) == [Step(THIN, "p720"), Step(WITHDRAW, "p720")]
    assert machine.run(25) == []
    assert machine.run(60) == [Step(RETURN, "p720"), Step(RESTORE, "p720")]
    assert machine.adapter.thinned == machine.adapter.withdrawn == frozenset()


def test_taken_back_too_early_it_waits_twice_as_long_next_time() -> None:
    machine = Machine(p720=60.0)
    waits = []
    assert machine.run(3, late=1.0) == [Step(THIN, "p720")]
    for _ in range(6):
        begin = machine.now
        while not machine.run(0.5):
            pass
        waits.append(round((machine.now - begin) / 30))
        assert machine.run(6, late=1.0) == [Step(THIN, "p720")]
    assert waits == [1, 2, 4, 8, 16, 20]


def test_what_lasted_is_learned() -> None:
    machine = Machine(p720=60.0)
    machine.run(3, late=1.0)
    machine.run(35)
    machine.run(6, late=1.0)
    assert machine.run(60) == []
    assert machine.run(10) == [Step(RESTORE, "p720")]
    # Well for minutes: the next time counts as the first.
    machine.run(300)
    assert machine.run(6, late=1.0) == [Step(THIN, "p720")]
    assert machine.run(36) == [Step(RESTORE, "p720")]


def test_what_was_withdrawn_returns_also_when_nothing_runs() -> None:
    machine = Machine(p720=30.0)
    assert machine.run(3, late=1.0) == [Step(WITHDRAW, "p720")]
    assert machine.adapter.idle(machine.now) is None
    assert machine.adapter.idle(machine.now + 31) == Step(RETURN, "p720")
    assert machine.adapter.idle(machine.now + 62) is None
