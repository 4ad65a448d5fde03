"""Which of the things that an outbox has to do, in a row, may be done at once."""

from collections.abc import Iterator, Sequence
from typing import Final

from ghostlive.chat.glob import has_wildcards
from ghostlive.chat.people import matrix_author_id
from ghostlive.db.matrix import DeletionRecord, OutgoingRecord, PendingRecord

Item = OutgoingRecord | DeletionRecord | PendingRecord
Run = list[tuple[str, Item]]
"""Things with keys: what has the same key is done in its order."""

LONGEST: Final = 32
"""Things in one run: so much is done again when we die in it."""
_OF_PEOPLE: Final = frozenset({"ban", "unban", "kick"})


def runs(items: Sequence[Item]) -> Iterator[Run]:
    """`items` in their order, cut into runs: redactions, acts on different people, or one thing of another kind."""
    run: Run = []
    keys: dict[str, str] = {}
    for item in items:
        names = _names(item)
        if run and (not names or len(run) >= LONGEST or _kind(item) != _kind(run[-1][1])):
            yield run
            run, keys = [], {}
        if not names:
            yield [("", item)]
            continue
        key = next((keys[name] for name in names if name in keys), names[0])
        keys |= dict.fromkeys(names, key)
        run.append((key, item))
    if run:
        yield run


def _kind(item: Item) -> str:
    return item.kind if isinstance(item, PendingRecord) else type(item).__name__


def _names(item: Item) -> list[str]:
    """By what it is known whom, or what, it is about; empty for what is done alone."""
    if isinstance(item, DeletionRecord):
        return [item.event_id]
    if not isinstance(item, PendingRecord) or item.kind != "act" or item.payload.get("act") not in _OF_PEOPLE:
        return []
    target, mxid = item.payload.get("target"), item.payload.get("mxid")
    if isinstance(mxid, str) and has_wildcards(mxid):  # of many, who may be anybody
        return []
    names = [target] if isinstance(target, str) and target else []
    return [*names, mxid, matrix_author_id(mxid)] if isinstance(mxid, str) else names
