"""Fuzz target: patterns that moderators write over texts that strangers write, links, durations.

Run with `python -m tests.fuzz.fuzz_moderation [CORPUS…]`; nothing but the documented refusals may escape, and no search
may look at more states than it may.
"""

import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.chat.moderation"]):
    from ghostlive.chat.moderation.duration import parse_duration, say_duration
    from ghostlive.chat.moderation.errors import BadRulesError
    from ghostlive.chat.moderation.matcher import OutOfTimeError
    from ghostlive.chat.moderation.pipeline import has_link
    from ghostlive.chat.moderation.rules import Rules, from_full
    from ghostlive.chat.moderation.words import WordFilter, fold

_KINDS = ("exact", "glob", "regex")


def test_one_input(data: bytes) -> None:
    """A kind, patterns, and behind an empty line the text."""
    if not data:
        return
    patterns, _, text = data[1:].decode("utf-8", "ignore").partition("\n\n")
    kind = _KINDS[data[0] % len(_KINDS)]
    words = [{"text": line, "kind": kind} for line in patterns.split("\n")[:5]]
    has_link(text)
    assert fold(fold(text)) == fold(text)
    if (seconds := parse_duration(text)) is not None:
        assert say_duration(seconds)
    try:
        rules = Rules().change({"words": words})
    except BadRulesError:
        return
    assert from_full(rules.full()) == rules
    try:
        WordFilter(rules.words).find(text[:2000], budget=20_000)
    except OutOfTimeError:
        return


def main() -> None:
    """Fuzz until stopped."""
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
