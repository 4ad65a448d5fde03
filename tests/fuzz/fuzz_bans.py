"""Fuzz target: what strangers send that bans are about: cookies, answers to challenges, rules of policy lists.

Run with `python -m tests.fuzz.fuzz_bans [CORPUS…]`; nothing may escape, and what we did not make is not taken for ours.
"""

import json
import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.chat", "ghostlive.access.browser"]):
    from ghostlive.access.browser import browser_cookie, cookie_in, read_browser
    from ghostlive.chat.glob import matches
    from ghostlive.chat.identity import Keys, Origin, mark_from, marks_of, tag_of
    from ghostlive.chat.matrix.policy import check_list, parse_rule
    from ghostlive.chat.work import Seeker, Work

_SECRET = b"s" * 32
_KEYS = Keys(_SECRET, {1: b"salt"})
_WORK = Work(_SECRET, bits=30)
_ANN = Seeker("demo", "ann", "net")


def test_one_input(data: bytes) -> None:
    """The same bytes as each of them."""
    text = data.decode("utf-8", "surrogateescape")
    latin = data.decode("latin-1")
    browser = read_browser(_SECRET, latin)
    assert not browser or browser_cookie(_SECRET, browser) == latin
    cookie_in(latin)
    stored = text[:72] if text.isascii() else ""  # which nobody writes but we
    for mark in marks_of(stored):
        assert mark_from(mark.kind, mark.text) == mark
    tag_of(stored)
    assert len(Origin(_KEYS, text, latin[:22]).hash) <= 64
    head, _, tail = text.partition("\n")
    assert not _WORK.check(_ANN, head, tail[:32], 1000.0)
    matches(head, tail)
    check_list(text)
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(event, dict):
        rule = parse_rule("!list", event)
        if rule is not None:
            "".join(rule).encode()  # what is stored can be
            assert "\0" not in "".join(rule)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
