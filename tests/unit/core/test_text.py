"""What is left of text that strangers wrote."""

import sys
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ghostlive.core.text import clean_line, clean_text, drop_hidden, is_emoji

Clean = Callable[..., str]
BOTH = pytest.mark.parametrize("clean", [clean_line, clean_text])

# Format characters that are seen: signs that stand under or around Arabic, Syriac and Kaithi numbers.
_SEEN_FORMATS = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
_ONLY_IN_SEQUENCES = "\u200c\u200d\ufe0e\ufe0f\u180b\u180c\u180d\u180f"

_TRICKY = st.sampled_from(
    list("a1#*é \t\n\r\v\x00\x1b\x85\xa0\xad\u0301\u0300\u0323\u034f\u061c\u0628\u0915\u094d\u115f\u1820\u180b\u180e")
    + list("\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u20e3\u2764\u2800\u3000\u3164")
    + list("\ud800\udc00\ue000\ufdd0\ufe00\ufe0e\ufe0f\ufeff\ufffc\uffff\u1112\u1161\u11ab\u09c7\u09be\u212b\ufb1d")
    + ["👩", "💻", "🏴", "🏽", "🇩", "\U000e0067", "\U000e0062", "\U000e007f", "\U000e0100", "\U0010ffff", "\U0001d173"]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.lists(_TRICKY, max_size=40).map("".join),
)


def _forbidden(character: str) -> bool:
    code, category = ord(character), unicodedata.category(character)
    if character in _ONLY_IN_SEQUENCES or code in _SEEN_FORMATS or 0xE0020 <= code <= 0xE007F:
        return False
    return category in ("Cc", "Cf", "Cs", "Co") or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


@BOTH
@given(text=TEXTS, limit=st.one_of(st.none(), st.integers(0, 30)))
@example(text="👩\u200d💻", limit=2)
@example(text="a\u0301\u200b\u0323b", limit=2)
def test_whatever_comes_in(clean: Clean, text: str, limit: int | None) -> None:
    cleaned = clean(text, limit)
    assert clean(cleaned, limit) == cleaned
    assert clean(cleaned) == cleaned
    assert limit is None or len(cleaned) <= limit
    assert cleaned == cleaned.strip()
    assert unicodedata.is_normalized("NFC", cleaned)
    assert "  " not in cleaned
    assert "\n\n\n" not in cleaned
    cleaned.encode()
    seen = cleaned.replace("\n", "") if clean is clean_text else cleaned
    assert not [hex(ord(character)) for character in seen if _forbidden(character)]
    marks = 0
    for character in cleaned:
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        assert marks <= 4


@BOTH
def test_no_code_point_that_hides_or_steers_gets_through(clean: Clean) -> None:
    through = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        steers = category in ("Cc", "Cf", "Cs", "Co") and code not in _SEEN_FORMATS
        blank = category[0] == "Z" or character in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U00016fe4"
        if (steers or blank) and clean(f"a{character}b") not in ("ab", "a b", "a\nb"):
            through.append(hex(code))
    assert not through


@pytest.mark.parametrize(
    "text",
    [
        "plain words, 100 % of them",
        "Ünïcödé",
        "👩‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 🏴‍☠️",  # joiners
        "👋🏽 ❤️ ☎︎ 1️⃣ #️⃣",  # skin, picture or text, keycaps
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇩🇪",  # flags of a region and of a country
        "می‌خواهم",  # Persian, with a non-joiner
        "क्‍ष क्‌ष ශ්‍රී র‍্যা",  # Indic, with both
        "ᠠ᠋",  # a Mongolian variant
        "Việt Nam, ཧཱུྃ, ที่นี่",
        "שלום עולם",
        "日本語　".strip(),
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert clean_line(text) == unicodedata.normalize("NFC", text)
    assert clean_text(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a \t b\u00a0\u3000c  ", "a b c"),
        ("a\r\nb\rc\u2028d\x85e", "a b c d e"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("\u2066abc\u2069 \u200eabc\u200f", "abc abc"),
        ("ad\u200bmin ad\u00admin \ufeffadmin ad\u2060min", "admin admin admin admin"),
        ("a\u200db a\u200cb a\ufe0fb", "ab ab ab"),  # neither emoji nor joining letters
        ("👩\u200d x \u200d👩", "👩 x 👩"),  # half a sequence
        ("👩\u200d\u200d💻", "👩💻"),
        ("❤\ufe0f\ufe0f\ufe0f", "❤\ufe0f"),
        ("1\ufe0f", "1"),
        ("🏴\U000e0067\U000e0062", "🏴"),  # no end
        ("a\U000e0067\U000e0062\U000e0065\U000e007f", "a"),  # hidden behind no flag
        ("a\U000e0100b\U000e0001", "ab"),
        ("e\u200b\u0301", "é"),  # composes once they meet
        ("a" + "\u0300" * 50 + "b", "à" + "\u0300" * 4 + "b"),
        ("\u0628" + "\u064b\u064c\u064d\u200d" * 9, "\u0628\u064b\u064c\u064d\u200d\u064b"),
        ("\ud83d\ude00", ""),  # halves of a pair
        ("\u3164\u115f\u1160\uffa0", ""),
        ("\u2800 \u2800", ""),
        ("\x1b[31mred\x07", "[31mred"),
        ("", ""),
    ],
)
def test_tricks(text: str, line: str) -> None:
    assert clean_line(text) == line


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\n\n a \n\n\n\n\tb\t\n", "a\n\nb"),
        ("a\r\nb\rc\u2029d", "a\nb\nc\nd"),
        ("a\n \u200b \n\u3164\n \nb", "a\n\nb"),
        ("a  b\nc", "a b\nc"),
        ("\n\u200b\n", ""),
    ],
)
def test_lines(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("text", "limit", "cleaned"),
    [
        ("abcdef", 3, "abc"),
        ("ab cdef", 3, "ab"),
        ("ab é", 3, "ab"),
        ("ab👩\u200d💻", 4, "ab"),
        ("ab👋🏽", 3, "ab"),
        ("abq\u0323", 3, "ab"),
        ("ab❤\ufe0f", 3, "ab"),
        ("👩\u200d💻", 1, "👩"),
        ("👩\u200d💻", 2, "👩"),
        ("abc", 0, ""),
        ("äbc", 0, ""),
        ("\ufb1d", 1, "י"),  # two characters once it is normalized
    ],
)
def test_a_limit_cuts_between_what_a_reader_takes_for_characters(text: str, limit: int, cleaned: str) -> None:
    assert clean_line(text, limit) == cleaned


@pytest.mark.parametrize(
    "text",
    ["👍", "👍🏽", "❤️", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "🏳️‍🌈", "☺", "🧑🏽‍💻", "🐈‍⬛"],
)
def test_one_emoji(text: str) -> None:
    assert is_emoji(text)
    assert clean_line(text) == text


@pytest.mark.parametrize("text", ["", "a", "1", "👍👍", "🇩", "🇩🇪🇩🇪", "x👍", "👍 ", "\u200d", ":cat:", "👍\u202e"])
def test_what_is_not_one_emoji(text: str) -> None:
    assert not is_emoji(text)


@given(st.text(st.characters(exclude_categories=())))
def test_hidden_characters_are_only_taken_away(text: str) -> None:
    left = drop_hidden(text)
    assert drop_hidden(left) == left
    rest = iter(text)
    assert all(character in rest for character in left), "something came that was not there"
