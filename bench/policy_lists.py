"""What a hostile policy list costs whoever speaks first: CPU time to compare one Matrix ID with all of its patterns.

Each list is as long as it may be (`chat.matrix.rulebook`), of the kind of pattern that its name says; beside it the
same patterns walked one after the other (`chat.glob.matches`).
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from bench.harness import Report, Row, ratio
from ghostlive.chat.glob import matches
from ghostlive.chat.matrix.rulebook import MOST_PATTERNS, MOST_QUESTIONS, RuleBook
from ghostlive.db.bans import RuleRecord

AIM: Final = 10.0
"""Milliseconds: less than is noticed between two pictures."""
_LONG: Final = "@" + "a" * 230 + ":evil.example"
LISTS: Final = {
    "people of known servers": [f"@spam{number}*:s{number}.example" for number in range(MOST_PATTERNS)],
    "words anywhere": [f"*x{number}*" for number in range(MOST_PATTERNS)],
    "as many stars as may be": ["*a*a*a*a*a*a*b*"] * MOST_PATTERNS,
    "long and nearly right": ["*" + "a" * 120 + "b*" + "a" * 100 + "*c*"] * MOST_PATTERNS,
    "question marks": ["*" + "a" * 60 + "?" + "a" * 60 + "?b*"] * MOST_QUESTIONS,
}


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The best of some runs."""
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        work()
        best = min(best, 1000 * (time.process_time() - began))
    return best


def book(patterns: Sequence[str]) -> RuleBook:
    """A list with these patterns."""
    found = RuleBook()
    for number, pattern in enumerate(patterns):
        assert found.put(RuleRecord("!list", "user", str(number), pattern, ""))
    return found


def main() -> None:
    """Print the table."""
    report = Report("A Matrix ID and a policy list of patterns, milliseconds", "a walk through each")
    for name, patterns in LISTS.items():
        rules = book(patterns)
        rules.find(_LONG.replace("evil", "other"))
        few = patterns[: max(1, len(patterns) // 50)]
        walk = milliseconds(lambda few=few: [matches(pattern, _LONG) for pattern in few], 2) * len(patterns) / len(few)  # type: ignore[misc]
        one = milliseconds(lambda rules=rules: rules._find(_LONG), 5)  # type: ignore[misc]
        report.add(Row(name, f"{one:.2f}", f"{walk:.1f}", ratio(walk, one), aim=f"≤ {AIM:g}", met=one <= AIM))
    report.show()


if __name__ == "__main__":
    main()
