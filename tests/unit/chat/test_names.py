"""Which names guests may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.errors import NameRefusedError, NameTakenError, RefusalError, TooLongError
from ghostlive.chat.names import check_name, skeleton


@pytest.mark.parametrize(
    "name",
    [
        "Bob", "BOB", "b0b", "bоb", "Воb", "Bоb", "βob", "BÓB", "b̈öb", "ｂｏｂ", "𝓑𝓸𝓫", "Ⓑⓞⓑ",
        "b.o.b", "B o b", "_bob_", "b\u200bob", "8ob",
    ],
)  # fmt: skip
def test_names_that_look_like_bob(name: str) -> None:
    assert skeleton(name) == skeleton("bob")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ill", "lll"), ("I1", "ll"), ("modern", "modem"), ("vvalter", "walter"), ("сhess", "chess"), ("clown", "down"),
        ("Łukasz", "Lukasz"), ("Œuvre", "oeuvre"), ("STRASSE", "straße"), ("ﬁsh", "fish"), ("pαul", "paul"),
        ("ｐ４ul", "paul"), ("x5", "xs"), ("ӏеnа", "lena"), ("٣x", "٣х"),
    ],
)  # fmt: skip
def test_names_that_look_alike(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann", "anna"),
        ("bob", "bop"),
        ("日本", "日木"),
        ("🐱a", "b"),
        ("мария", "марина"),
        ("-a-", "-b-"),
        ("user2", "user3"),
    ],
)
def test_names_that_do_not(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(name=st.text(st.characters(exclude_categories=())), limit=st.integers(1, 40))
def test_whatever_a_name_is(name: str, limit: int) -> None:
    try:
        checked = check_name(name, limit, frozenset())
    except RefusalError:
        return
    assert 0 < len(checked) <= limit
    assert check_name(checked, limit, frozenset()) == checked
    assert skeleton(checked)
    assert any(character.isalnum() for character in checked)
    with pytest.raises(NameTakenError):
        check_name(name, limit, {skeleton(checked)})


@pytest.mark.parametrize(
    "name", ["", " ", "\u202e\u200b", "...", "👩\u200d💻", "ʼ-", "\u0301", "admin", "АDМIN", "M0derator", "Sys tem"]
)
def test_names_that_nobody_can_have(name: str) -> None:
    with pytest.raises(NameRefusedError):
        check_name(name, 32, frozenset())


def test_a_name_has_a_limit() -> None:
    assert check_name("x" * 32, 32, frozenset()) == "x" * 32
    with pytest.raises(TooLongError):
        check_name("x" * 33, 32, frozenset())
