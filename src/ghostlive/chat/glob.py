"""Patterns of Matrix IDs as policy lists have them (Matrix specification, "Glob-style matching"): `*` is any number of
characters, `?` one. Strangers write the patterns, so matching takes at most their length times that of the text.
"""


def has_wildcards(pattern: str) -> bool:
    """Whether `pattern` may be for more than one text."""
    return "*" in pattern or "?" in pattern


def matches(pattern: str, text: str) -> bool:
    """Whether `text` as a whole is of the form of `pattern`."""
    at, place = 0, 0
    star, kept = -1, 0  # the last `*`, and where in the text what it stands for ends
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, kept = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at += 1
            place += 1
        elif star >= 0:
            kept += 1
            at, place = kept, star + 1
        else:
            return False
    return not pattern[place:].strip("*")
