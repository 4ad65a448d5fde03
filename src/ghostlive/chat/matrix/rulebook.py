"""The rules of one policy list, found by whom they name. Strangers write them, so everything here has a limit.

What is exact is looked up, and so are patterns whose end names a server; the others are gone through, so there are few
of them, and each is compared in microseconds (`chat.glob`). `bench/policy_lists.py` measures it.
"""

from collections import OrderedDict
from typing import Final

from ghostlive.chat.glob import Globs, count_wildcards
from ghostlive.db.bans import RuleRecord

MOST_RULES: Final = 20_000
"""Rules that one list may have: several times what the large lists of the Matrix community have, and about 15 MB."""
MOST_PATTERNS: Final = 1000
"""Of these with wildcards: each is compared with everybody who is seen for the first time."""
MOST_QUESTIONS: Final = 50
"""Of these with `?`, which cost many times as much in the worst case."""
MOST_WILDCARDS: Final = 8
"""In one pattern. Those that people write have one or two."""
_REMEMBERED: Final = 20_000
"""Answers that a list remembers."""

Key = tuple[str, str]
"""Kind and state key of a rule."""


class RuleBook:
    """What `put` and `remove` give it."""

    def __init__(self, most: int = MOST_RULES) -> None:
        """At most `most` rules count."""
        self.most = most
        self.rules: dict[Key, RuleRecord] = {}
        self.left_out = 0
        """Rules that do not count because there are too many, or because they have too many wildcards."""
        self._exact: dict[str, list[Key]] = {}
        """Of users, and of servers behind a colon."""
        self._people: Globs[Key] = Globs()
        self._servers: Globs[Key] = Globs()
        self._patterns = 0
        self._questions = 0
        self._answers: OrderedDict[str, RuleRecord | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rules)

    def put(self, record: RuleRecord) -> bool:
        """A rule is new, or says something else now; whether it counts."""
        key = (record.kind, record.state_key)
        self.remove(key)
        wildcards = count_wildcards(record.entity)
        question = "?" in record.entity
        if (
            len(self.rules) >= self.most
            or wildcards > MOST_WILDCARDS
            or (wildcards and self._patterns >= MOST_PATTERNS)
            or (question and self._questions >= MOST_QUESTIONS)
        ):
            self.left_out += 1
            return False
        self.rules[key] = record
        if wildcards:
            self._patterns += 1
            self._questions += question
            self._globs(record).add(key, record.entity)
        else:
            self._exact.setdefault(_name(record), []).append(key)
        self._answers.clear()
        return True

    def remove(self, key: Key) -> bool:
        """There is no such rule any more; whether there was."""
        record = self.rules.pop(key, None)
        if record is None:
            return False
        if count_wildcards(record.entity):
            self._patterns -= 1
            self._questions -= "?" in record.entity
            self._globs(record).remove(key, record.entity)
        else:
            keys = self._exact[_name(record)]
            keys.remove(key)
            if not keys:
                del self._exact[_name(record)]
        self._answers.clear()
        return True

    def find(self, mxid: str) -> RuleRecord | None:
        """The rule that keeps `mxid` out."""
        if mxid in self._answers:
            return self._answers[mxid]
        found = self._find(mxid)
        if len(self._answers) >= _REMEMBERED:
            self._answers.popitem(last=False)
        self._answers[mxid] = found
        return found

    def _find(self, mxid: str) -> RuleRecord | None:
        server = mxid.partition(":")[2]
        if keys := self._exact.get(mxid) or self._exact.get(f":{server}"):
            return self.rules[keys[0]]
        for text, patterns in ((mxid, self._people), (server, self._servers)):
            if (key := next(patterns.find(text), None)) is not None:
                return self.rules[key]
        return None

    def _globs(self, record: RuleRecord) -> Globs[Key]:
        return self._servers if record.kind.startswith("server") else self._people


def _name(record: RuleRecord) -> str:
    return f":{record.entity}" if record.kind.startswith("server") else record.entity
