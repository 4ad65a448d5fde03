"""The word filter: whole words in whatever letters, wildcards, expressions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.moderation.pattern import PatternError
from ghostlive.chat.moderation.words import Word, WordFilter, check_word, fold

_WORDS = st.text("abcd", min_size=1, max_size=4)


def _finds(word: Word, text: str) -> bool:
    return WordFilter([word]).find(text) == word


@pytest.mark.parametrize("text", ["BAD", "a bád day", "ｂａｄ", "ваd", "bad.", "(bad)", "bad\nbad", "ba\u0301d"])
def test_a_word_is_found_in_any_disguise(text: str) -> None:
    assert _finds(Word("bad"), text)
    assert _finds(Word("Bad"), text)


@pytest.mark.parametrize("text", ["badge", "abad", "ba d", "", "b-a-d", "bad_", "1bad"])
def test_a_word_in_another_is_another(text: str) -> None:
    assert not _finds(Word("bad"), text)


def test_several_words_and_signs() -> None:
    assert _finds(Word("very  bad"), "a VERY \n bad day")
    assert not _finds(Word("very bad"), "verybad")
    assert _finds(Word("$$$"), "earn$$$now")
    assert _finds(Word("c++"), "I like c++ a lot")
    assert _finds(Word("плохо"), "Очень ПЛОХО.")


def test_wildcards() -> None:
    assert _finds(Word("ass*", "glob"), "you assistant")
    assert not _finds(Word("ass*", "glob"), "class")
    assert _finds(Word("*hole", "glob"), "black-hole")
    assert _finds(Word("b?d", "glob"), "a b3d one")
    assert not _finds(Word("b?d", "glob"), "a bread")
    assert _finds(Word("free * money", "glob"), "FREE easy money!")


def test_expressions_see_the_text_with_and_without_its_marks() -> None:
    assert _finds(Word(r"\bcr[a4]+p\b", "regex"), "such CRAAAP")
    assert _finds(Word("naïve", "regex"), "a naïve one")
    assert _finds(Word("naive", "regex"), "a naïve one")
    assert not _finds(Word("^spam$", "regex"), "no spam")


def test_what_is_refused_goes_before_what_is_held() -> None:
    held, refused = Word("maybe", "exact", "hold"), Word("no*", "glob")
    words = WordFilter([held, refused])
    assert words.find("maybe then nothing") == refused
    assert words.find("maybe then") == held
    assert words.find("then") is None


@pytest.mark.parametrize("word", [Word(""), Word("  "), Word("**", "glob"), Word("(", "regex"), Word("x" * 201)])
def test_what_cannot_be_looked_for(word: Word) -> None:
    with pytest.raises(PatternError):
        check_word(word)


def test_too_many_patterns_together() -> None:
    with pytest.raises(PatternError, match="together"):
        WordFilter([Word(f"a{{400}}{number}", "regex") for number in range(60)])


@given(st.lists(_WORDS, max_size=4), st.lists(st.text("abcd ABÁ.,", max_size=10), max_size=4))
def test_exact_words_are_those_of_the_text(words: list[str], parts: list[str]) -> None:
    text = " ".join(parts)
    said = set("".join(letter if letter.isalnum() else " " for letter in fold(text)).split())
    found = WordFilter([Word(word) for word in words]).find(text)
    assert (found is None) == said.isdisjoint(words)
    assert found is None or found.text in said


@given(_WORDS, st.text("abcd xyz", max_size=12))
def test_a_word_without_wildcards_is_the_same_as_glob_and_exact(word: str, text: str) -> None:
    assert _finds(Word(word), text) == _finds(Word(word, "glob"), text)


@given(st.text(max_size=40))
def test_what_is_folded_stays_so(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_many_words_cost_little_for_each_new_character() -> None:
    words = WordFilter([Word(f"w{number}x*z?", "glob") for number in range(500)])
    assert words.find("".join(map(chr, range(0x4E00, 0x4E00 + 500))), budget=20_000) is None
    assert words.find("and w17xqqza then", budget=20_000) == Word("w17x*z?", "glob")
