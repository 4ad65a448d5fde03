"""What renditions cost, and who gets what there is."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.packaged import audio, video

from ghostlive.core.track import Codec
from ghostlive.transcode.budget import Budget, BudgetError, Claim, Cost, claim_of, decoding_cost, rendition_cost
from ghostlive.transcode.plan import AudioPlan, VideoPlan

GB = 10**9
SOURCE = video(height=1080, rate=60)


def plan(height: int = 720, rate: int = 60, codec: Codec = Codec.H264) -> VideoPlan:
    name = f"{height}p{rate}"
    return VideoPlan(f"v0-{name}", name, "v0", codec, "", height * 16 // 9, height, Fraction(rate), 10**6)


def claim(stream: str, cores: float, name: str = "720p60", *, memory: int = 0, video: bool = True) -> Claim:
    """A rendition that costs so much, of a source that costs nothing to decode."""
    return Claim(stream, name, name, "v0", video, Cost(cores, memory), Cost())


def budget(cores: float = 2.0, memory: int = 8 * GB, *, worker: int = 0) -> Budget:
    return Budget(cores, memory, worker_memory=worker)


def test_costs_are_of_the_size_that_was_measured() -> None:
    # On one core: a 1080p60 source is decoded in 0.2, 720p30 superfast takes 0.2, AV1 three times the encoding.
    assert decoding_cost(SOURCE).cores == pytest.approx(0.22, abs=0.03)
    assert rendition_cost(plan(720, 30), SOURCE).cores == pytest.approx(0.22, abs=0.03)
    assert rendition_cost(plan(720, 60), SOURCE).cores == pytest.approx(0.45, abs=0.05)
    assert rendition_cost(plan(codec=Codec.AV1), SOURCE).cores > 2 * rendition_cost(plan(), SOURCE).cores
    assert rendition_cost(plan(), SOURCE, preset="medium").cores > 2 * rendition_cost(plan(), SOURCE).cores
    assert rendition_cost(plan(), SOURCE, encoder="h264_nvenc").cores < 0.5 * rendition_cost(plan(), SOURCE).cores
    sound = AudioPlan("a0-opus", "Opus", "a0", Codec.OPUS, "opus", 2, 96_000)
    assert rendition_cost(sound, audio()).cores < 0.05


def test_a_source_that_does_not_tell_its_rate_costs_like_one_of_30() -> None:
    assert decoding_cost(replace(SOURCE, frame_rate=None)).cores == decoding_cost(video(height=1080, rate=30)).cores


def test_decoding_counts_once_for_a_source() -> None:
    ledger = budget(cores=4)
    ledger.admit(claim_of("cam", plan(720, 60), SOURCE))
    one = ledger.used().cores
    ledger.admit(claim_of("cam", plan(360, 30), SOURCE))
    assert ledger.used().cores == pytest.approx(one + rendition_cost(plan(360, 30), SOURCE).cores)
    ledger.release("cam", plan(720, 60).id)
    ledger.release("cam", plan(360, 30).id)
    assert ledger.used() == Cost()


def test_what_does_not_fit_is_refused_in_plain_words() -> None:
    ledger = budget()
    ledger.admit(claim("cam", 1.55, "1080p60"))
    with pytest.raises(BudgetError) as refused:
        ledger.admit(claim("cam", 1.25))
    assert str(refused.value) == "720p60 is not offered: it needs about 1.3 cores and 0.4 of 2 are free"
    assert ledger.used().cores == 1.55


def test_numbers_never_contradict_the_refusal() -> None:
    ledger = budget(cores=1)
    ledger.admit(claim("cam", 0.56, "a"))
    with pytest.raises(BudgetError, match=r"about 0\.5 cores and 0\.4 of 1 are free"):
        ledger.admit(claim("cam", 0.45, "b"))


def test_memory_is_refused_too() -> None:
    ledger = budget(memory=GB, worker=600 * 10**6)
    ledger.admit(claim("cam", 0.1, "a", memory=300 * 10**6))
    with pytest.raises(BudgetError, match="b is not offered: it needs about 400 MB of memory and 210 MB of 600 MB"):
        ledger.admit(claim("cam", 0.1, "b", memory=400 * 10**6))
    ledger.admit(claim("other", 0.1, "b", memory=400 * 10**6))
    with pytest.raises(BudgetError, match=r"and 120 MB of 1\.0 GB are free"):
        ledger.admit(claim("third", 0.1, "c", memory=100 * 10**6))


def test_what_this_machine_can_never_make_is_known_before() -> None:
    huge = replace(video(height=4320, rate=60), width=7680)
    assert (
        budget().impossible(claim_of("cam", plan(2160, 60), huge)) == "it needs about 8.4 cores and this server has 2"
    )
    small = budget(cores=64, worker=GB)
    assert small.impossible(claim_of("cam", plan(360, 30), huge)) == (
        "it needs about 1.1 GB of memory and a worker may use 1.0 GB"
    )
    assert budget().impossible(claim_of("cam", plan(720, 60), SOURCE)) == ""


def test_lingering_renditions_go_first_the_longest_waiting_one_before_others() -> None:
    ledger = budget()
    for number, name in enumerate(("a", "b", "c")):
        ledger.admit(claim("cam", 0.6, name))
        ledger.linger("cam", name, 100.0 - number)
    gone = ledger.admit(claim("cam", 0.7, "d"))
    assert [victim.id for victim in gone] == ["c"]
    ledger.linger("cam", "b", None)
    with pytest.raises(BudgetError):
        ledger.admit(claim("cam", 1.3, "e"))
    assert ledger.used().cores == pytest.approx(1.9)


def test_no_more_is_given_up_than_is_needed() -> None:
    ledger = budget()
    ledger.admit(claim("cam", 0.2, "small"))
    ledger.linger("cam", "small", 1.0)
    ledger.admit(claim("cam", 1.5, "large"))
    ledger.linger("cam", "large", 2.0)
    assert [victim.id for victim in ledger.admit(claim("cam", 1.6, "new"))] == ["large"]


def test_a_stream_with_more_than_its_share_gives_way_to_another_ones_first() -> None:
    ledger = budget()
    for name, cores in (("1080p60", 0.8), ("720p60", 0.6), ("480p30", 0.4)):
        ledger.admit(claim("greedy", cores, name))
    gone = ledger.admit(claim("new", 0.5, "720p30"))
    assert [victim.id for victim in gone] == ["1080p60"]
    # Its second one is no reason to take anything from anybody.
    with pytest.raises(BudgetError):
        ledger.admit(claim("new", 0.9, "1080p60"))
    # Nor is one that needs more than giving way would bring.
    with pytest.raises(BudgetError):
        ledger.admit(claim("third", 1.9))
    assert ledger.used_by("greedy").cores == pytest.approx(1.0)


def test_the_last_picture_of_a_stream_is_never_taken() -> None:
    ledger = budget()
    ledger.admit(claim("one", 1.8))
    with pytest.raises(BudgetError):
        ledger.admit(claim("two", 0.5))


def test_lingering_ones_of_who_has_much_go_before_those_of_who_has_little() -> None:
    ledger = budget()
    ledger.admit(claim("modest", 0.3, "a"))
    ledger.linger("modest", "a", 1.0)
    ledger.admit(claim("greedy", 1.0, "a"))
    ledger.admit(claim("greedy", 0.5, "b"))
    ledger.linger("greedy", "b", 50.0)
    assert [(gone.stream, gone.id) for gone in ledger.admit(claim("new", 0.4))] == [("greedy", "b")]


def test_what_is_measured_corrects_what_is_estimated() -> None:
    ledger = budget(cores=4)
    ledger.admit(claim("cam", 0.5))
    for _ in range(50):
        ledger.observe("cam", 1.0)
    assert ledger.used_by("cam").cores == pytest.approx(1.0, rel=0.01)
    # This machine is slower than the table: others are believed to be so too.
    ledger.admit(claim("other", 0.5))
    assert 0.8 < ledger.used_by("other").cores < 1.05
    ledger.forget("cam")
    assert ledger.used_by("cam") == Cost()


def test_one_wild_measurement_moves_little() -> None:
    ledger = budget(cores=4)
    ledger.admit(claim("cam", 0.5))
    ledger.observe("cam", 100.0)
    assert ledger.used_by("cam").cores < 1.0
    ledger.observe("nobody", 1.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"), st.sampled_from(["1", "2", "3"]), st.floats(0.05, 2.5), st.sampled_from("+-~")
        ),
        max_size=60,
    )
)
def test_never_more_than_there_is(steps: list[tuple[str, str, float, str]]) -> None:
    ledger = budget()
    running: set[tuple[str, str]] = set()
    for number, (stream, name, cores, what) in enumerate(steps):
        if what == "-":
            ledger.release(stream, name)
            running.discard((stream, name))
        elif what == "~":
            ledger.linger(stream, name, float(number))
        elif (stream, name) not in running:
            before = ledger.used()
            try:
                gone = {(victim.stream, victim.id) for victim in ledger.admit(claim(stream, cores, name))}
            except BudgetError:
                assert ledger.used() == before
            else:
                assert gone <= running
                running -= gone
                running.add((stream, name))
        assert ledger.used().cores <= 2.0 + 1e-9
    for stream, name in running:
        ledger.release(stream, name)
    assert ledger.used().cores == 0
