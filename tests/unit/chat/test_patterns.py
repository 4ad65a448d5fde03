"""Moderators' expressions over strangers' texts: the same answers as `re` gives, in a time that nobody can stretch."""

import random
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ghostlive.chat.moderation.matcher import Matcher, OutOfTimeError
from ghostlive.chat.moderation.pattern import Machine, PatternError, parse

_ATOMS = st.sampled_from(
    ["a", "b", "c", "_", " ", ".", r"\w", r"\d", r"\s", r"\W", r"\D", r"\S", "[ab]", "[^a]", "[a-c]", "[^\\s]", "1"]
)
_PLACES = st.sampled_from(["^", r"\b", r"\B", r"\A", r"\Z"])
_COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?"])


def _patterns() -> st.SearchStrategy[str]:
    def more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map("|".join),
            inner.map(lambda text: f"({text})"),
            st.tuples(inner, _COUNTS).map(lambda both: f"(?:{both[0]}){both[1]}"),
            st.tuples(_ATOMS, _COUNTS).map("".join),
        )

    return st.recursive(st.one_of(_ATOMS, _PLACES), more, max_leaves=8)


def _search(patterns: list[str], text: str, budget: int = 10**6) -> int | None:
    machine = Machine()
    for number, pattern in enumerate(patterns):
        machine.add(parse(pattern), number)
    return Matcher(machine).search(text, budget)


@given(_patterns(), st.text("abc1_ \n", max_size=12))
def test_the_same_is_found_as_by_re(pattern: str, text: str) -> None:
    assume(text or r"\B" not in pattern)  # of which Python changed its mind
    try:
        found = _search([pattern], text)
    except PatternError:
        assume(False)
    assert (found is not None) == (re.search(pattern, text) is not None)


@given(st.lists(_patterns(), min_size=1, max_size=4), st.lists(st.text("abc1 ", max_size=8), max_size=4))
def test_many_patterns_at_once_find_what_each_alone_does(patterns: list[str], texts: list[str]) -> None:
    machine = Machine()
    try:
        for number, pattern in enumerate(patterns):
            machine.add(parse(pattern), number)
    except PatternError:
        assume(False)
    matcher = Matcher(machine)
    for text in texts * 2:  # the second time from memory
        alone = [number for number, pattern in enumerate(patterns) if _search([pattern], text) is not None]
        found = matcher.search(text)
        assert (found is None) == (not alone)
        assert found is None or found in alone


@given(st.text("ab\\()[]{}|*+?.^$-,:<>P123dwsbB ", max_size=25))
def test_whatever_is_written_is_a_pattern_or_said_to_be_none(pattern: str) -> None:
    try:
        _search([pattern], "ab12 ab")
    except (PatternError, OutOfTimeError):
        return


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 400 + "!"),
        ("(a|aa)+$", "a" * 400 + "!"),
        ("(x+x+)+y", "x" * 400),
        (r"(\w*\w*\w*)*;", "w" * 400),
    ],
)
def test_what_is_exponential_for_others_is_cheap(pattern: str, text: str) -> None:
    assert _search([pattern], text, budget=20_000) is None


def test_there_is_an_end_to_what_a_search_may_cost() -> None:
    text = "".join(random.Random(1).choices("ab", k=3000))
    with pytest.raises(OutOfTimeError):
        _search(["(.*a.{150}c){2}"], text, budget=50_000)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "without its )"),
        (")", "without its ("),
        ("[a", "without its ]"),
        ("*a", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        (r"(a)\1", "back-references"),
        ("(?=a)", "look-around"),
        ("a**", "repeated twice"),
        ("a{3,1}", "smaller to the larger"),
        ("(a{400}){400}", "too large"),
        ("[z-a]", "smaller to the larger"),
        ("a\\", "at the end"),
        (r"\q", "there is no"),
        ("a" * 300, "at most"),
        ("(" * 60 + "a" + ")" * 60, "too many groups"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(pattern: str, why: str) -> None:
    with pytest.raises(PatternError, match=re.escape(why)):
        _search([pattern], "")


def test_case_does_not_matter() -> None:
    for pattern, text in (("BAD", "so bad"), ("[A-F]+x", "beefx"), ("(?i)Straße", "strasse"), ("[É]t", "ét")):
        assert _search([pattern], text.casefold()) == 0
    assert _search(["[^A]"], "a") is None
    assert _search(["a{,2}b{x}"], "aab{x}") == 0
    assert _search(["(?P<name>a)b"], "ab") == 0
    assert _search([], "ab") is None


def test_more_characters_than_are_remembered() -> None:
    machine = Machine()
    machine.add(parse("a[b-d]e$"), 0)
    matcher = Matcher(machine)
    assert matcher.search("".join(map(chr, range(0x4E00, 0x9000))) + "ace") == 0
    assert matcher.search("ace ") is None
