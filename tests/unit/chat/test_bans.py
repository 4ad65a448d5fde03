"""How people are known again, and how bans find them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.access.browser import COOKIE, browser_cookie, cookie_in, make_browser, read_browser, set_cookie
from ghostlive.access.secret import keyed_hash
from ghostlive.chat.bans import Ban, Bans
from ghostlive.chat.glob import Glob, has_wildcards, matches
from ghostlive.chat.identity import (
    Keys,
    Mark,
    Origin,
    browser_subject,
    mark_from,
    marks_of,
    same_place,
    tag_of,
    wider_network,
)

SECRET = b"s" * 32
AT = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = AT + timedelta(hours=1)


def keys(*epochs: int) -> Keys:
    return Keys(SECRET, {epoch: b"salt %d" % epoch for epoch in epochs or (1,)})


def ban(number: int, author: str = "", origin: Origin | None = None, until: datetime | None = None) -> Ban:
    marks = frozenset(marks_of(origin.hash)) if origin is not None else frozenset[Mark]()
    return Ban(number, author, "x", "", "mo", AT, until, marks=marks)


def found(bans: Bans, author: str | None, origin: Origin | None, now: datetime = AT) -> int | None:
    one = bans.find(author, origin, None, now)
    return None if one is None else one.id


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("/run/socket", ""),
    ],
)
def test_the_network_around_an_address(address: str, network: str) -> None:
    assert wider_network(address) == network


def test_a_trace_says_nothing_of_the_address_and_fits_its_column() -> None:
    browser = make_browser()
    origin = Origin(keys(99999), "203.0.113.77", browser)
    assert len(origin.hash) <= 64
    assert "203" not in origin.hash.partition(".")[2] or "203.0" not in origin.hash
    assert browser not in origin.hash
    assert "203.0.113" not in repr(origin)
    assert [mark.kind for mark in marks_of(origin.hash)] == ["address", "network", "browser"]
    for mark in marks_of(origin.hash):
        assert mark_from(mark.kind, mark.text) == mark
    other = Origin(Keys(b"t" * 32, {99999: b"salt 99999"}), "203.0.113.77", browser)
    assert not set(marks_of(other.hash)) & set(marks_of(origin.hash))


def test_neighbours_share_their_network_only() -> None:
    one, two = Origin(keys(), "203.0.113.1"), Origin(keys(), "203.0.113.2")
    assert {mark.kind for mark in set(marks_of(one.hash)) & set(marks_of(two.hash))} == {"network"}
    far = Origin(keys(), "198.51.100.1")
    assert not set(marks_of(one.hash)) & set(marks_of(far.hash))
    assert one.tag != two.tag
    assert len(one.tag) == 5
    nobody = Origin(keys(), "")
    assert marks_of(nobody.hash) == []
    assert nobody.tag == ""


def test_hashes_of_earlier_versions_are_known() -> None:
    old = keyed_hash(SECRET, "chat address", "203.0.113.1")
    assert marks_of(old) == [Mark("address", 0, old)]
    assert mark_from("address", f"0.{old}") == Mark("address", 0, old)
    assert Origin(keys(), "203.0.113.1").traces(0) == (old, frozenset({Mark("address", 0, old)}), None)
    assert marks_of("x.y") == marks_of("") == []
    assert mark_from("planet", "1.x") is mark_from("address", "1.") is mark_from("address", "x.y") is None


def test_an_epoch_that_is_forgotten_knows_nobody() -> None:
    known = keys(1, 2)
    origin = Origin(known, "203.0.113.1", "b")
    assert origin.hash.startswith("2.")
    first = Origin(known, "203.0.113.1", "b").traces(1)
    assert set(marks_of(first.text)) == {*first.person, first.network}
    assert len(first.person) == 2
    known.replace({2: b"salt 2"})
    assert Origin(known, "203.0.113.1", "b").traces(1) == ("", frozenset(), None)
    assert Origin(known, "203.0.113.1", "b").traces(2) == origin.traces(2)


def test_a_browser_is_known_by_what_we_signed() -> None:
    browser = make_browser()
    cookie = browser_cookie(SECRET, browser)
    assert read_browser(SECRET, cookie) == browser
    header = set_cookie(SECRET, browser, secure=True)
    assert header.startswith(f"{COOKIE}={cookie}; ")
    assert {"HttpOnly", "SameSite=Lax", "Secure"} <= set(header.split("; "))
    assert cookie_in(f"a=b; {COOKIE}={cookie}; c=d") == cookie
    assert cookie_in(f"x{COOKIE}={cookie}") is cookie_in("") is None
    assert "Secure" not in set_cookie(SECRET, browser, secure=False)
    forged = f"{make_browser()}.{cookie.partition('.')[2]}"
    for text in (None, "", browser, forged, browser_cookie(b"t" * 32, browser), cookie + "x", "é" * 45, "." * 45):
        assert read_browser(SECRET, text) == ""
    assert len(browser_subject(browser)) == 16
    assert browser not in browser_subject(browser)


def test_a_new_browser_at_the_same_address_is_the_same_place() -> None:
    one, two = Origin(keys(), "203.0.113.1", "a").hash, Origin(keys(), "203.0.113.1", "b").hash
    assert one != two
    assert same_place(one, two)
    assert not same_place(one, Origin(keys(), "203.0.113.2", "a").hash)
    assert not same_place(one, Origin(keys(1, 2), "203.0.113.1", "a").hash)
    assert not same_place("", "")


def test_a_tag_is_of_the_address() -> None:
    one = Origin(keys(), "203.0.113.1", "a").hash
    assert tag_of(one) == tag_of(Origin(keys(), "203.0.113.1", "b").hash)
    assert tag_of("") == ""


def test_bans_are_found_by_guest_address_and_browser() -> None:
    known = keys()
    home = Origin(known, "203.0.113.1", "browser")
    bans = Bans([ban(1, "g_a", home, HOUR), ban(2, "g_a", None), ban(3, "g_b", None, HOUR)])
    assert bans
    assert found(bans, "g_a", None) == 2
    assert found(bans, None, Origin(known, "203.0.113.1")) == 1
    assert found(bans, None, Origin(known, "198.51.100.1", "browser")) == 1
    assert found(bans, None, Origin(known, "203.0.113.1"), HOUR) is None
    assert found(bans, "g_x", Origin(known, "203.0.113.2")) is None
    assert [one.id for one in bans.around(Origin(known, "203.0.113.2"), AT)] == [1]
    assert bans.around(Origin(known, "203.0.113.2"), HOUR) == []
    assert bans.around(Origin(known, "198.51.100.1"), AT) == []
    bans.remove(2)
    assert found(bans, "g_a", None) == 1
    bans.remove(1)
    bans.remove(3)
    assert not bans
    assert "marks" not in repr(ban(1, "g_a", home))


def test_who_is_banned_and_only_reads_for_longer_is_banned_first() -> None:
    bans = Bans([replace(ban(1, "g_a"), timeout=True), ban(2, "g_a", until=HOUR)])
    assert (found(bans, "g_a", None), found(bans, "g_a", None, HOUR)) == (2, 1)
    assert bans.find("g_a", None, None, HOUR, timeouts=False) is None


def test_bans_that_are_over_are_forgotten() -> None:
    home = Origin(keys(), "203.0.113.1")
    bans = Bans([ban(1, "g_a", home, HOUR), replace(ban(2, until=HOUR), mxid="@a*:b"), ban(3, "g_b")])
    bans.prune(AT)
    assert (found(bans, "g_a", None), found(bans, "g_b", None)) == (1, 3)
    bans.prune(HOUR)
    assert found(bans, "g_a", home) is None
    assert bans.find(None, None, "@ab:b", AT) is None
    assert found(bans, "g_b", None) == 3


def test_bans_of_several_epochs_are_found() -> None:
    old = Origin(keys(1), "203.0.113.1")
    bans = Bans([ban(1, "", old)])
    assert found(bans, None, Origin(keys(1, 2), "203.0.113.1")) == 1
    assert found(bans, None, Origin(keys(2), "203.0.113.1")) is None
    assert bans.find(None, None, None, AT) is None


def test_bans_of_matrix_ids() -> None:
    one = replace(ban(1), mxid="@spam*:evil.example")
    two = replace(ban(2), mxid="@troll:matrix.example")
    bans = Bans([one, two])
    for mxid, number in (("@spammer:evil.example", 1), ("@troll:matrix.example", 2)):
        match = bans.find(None, None, mxid, AT)
        assert match is not None
        assert match.id == number
    for mxid in ("@nice:evil.example", "@troll:matrix.example.org", "@TROLL:matrix.example"):
        assert bans.find(None, None, mxid, AT) is None
    bans.remove(1)
    assert bans.find(None, None, "@spammer:evil.example", AT) is None


def test_the_longest_of_several_patterns_counts() -> None:
    patterns = {1: ("*", HOUR), 2: ("@*:evil.example", None), 3: ("@s?am*:evil.example", HOUR), 4: ("@*:8448", None)}
    bans = Bans(replace(ban(number, until=until), mxid=mxid) for number, (mxid, until) in patterns.items())

    def number(mxid: str) -> int | None:
        one = bans.find(None, None, mxid, AT)
        return None if one is None else one.id

    assert [number(mxid) for mxid in ("@spam:evil.example", "@a:b", "@a:b:8448", "@*:evil.example")] == [2, 1, 4, 2]
    bans.remove(2)
    bans.add(replace(ban(2), mxid="@elsewhere*"))
    assert number("@spam:evil.example") in (1, 3)
    bans.prune(HOUR)
    assert [number(mxid) for mxid in ("@spam:evil.example", "@elsewhere:x", "@a:b:8448")] == [None, 2, 4]
    bans.remove(2)
    bans.remove(4)
    assert not bans


def test_many_patterns_are_not_compared_with_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    bans = Bans(replace(ban(number), mxid=f"@spam*:s{number}.example") for number in range(1000))
    compared, compare = 0, Glob.matches

    def counting(glob: Glob, text: str) -> bool:
        nonlocal compared
        compared += 1
        return compare(glob, text)

    monkeypatch.setattr(Glob, "matches", counting)
    one = bans.find(None, None, "@spammer:s7.example", AT)
    assert one is not None
    assert one.id == 7
    assert bans.find(None, None, "@nice:matrix.example", AT) is None
    assert compared == 1


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", True),
        ("*", "anything", True),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "abc", True),
        ("a*c", "abcd", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a**b*", "axxb", True),
        ("@*:evil.*", "@x:evil.example", True),
        ("", "", True),
        ("", "a", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("*ab*ab", "abab", True),
        ("*ab*ab*ab", "abab", False),
    ],
)
def test_globs(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected
    if has_wildcards(pattern):
        assert Glob(pattern).matches(text) is expected


@given(st.text("ab*?:", max_size=10).filter(has_wildcards), st.text("ab:\n", max_size=12))
def test_a_prepared_glob_is_the_same_as_one_that_is_walked(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) is matches(pattern, text)


def test_a_glob_cannot_take_long() -> None:
    steps = 0

    class Counting(str):
        __slots__ = ()

        def __getitem__(self, key: object) -> str:
            nonlocal steps
            steps += 1
            return super().__getitem__(key)  # type: ignore[index]

    assert not matches("*a" * 60 + "*b", Counting("a" * 255))
    assert steps < 255 * 130
    assert has_wildcards("a?")
    assert not has_wildcards("a.b")
