"""The audit log: who did what to whom, when and why. Written in the transaction of what it is about."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ghostlive.chat.moderation.acts import NOTHING, Act, Actor
from ghostlive.chat.people import Author
from ghostlive.db.moderation import AuditRecord


def line(
    kind: str,
    actor: Actor,
    at: datetime,
    *,
    target: Author | None = None,
    seconds: float | None = None,
    reason: str = "",
    detail: Mapping[str, Any] = NOTHING,
) -> AuditRecord:
    """One line; `kind` is that of an act, or `allow` or `deny` of a message that waited."""
    return AuditRecord(
        at=at,
        kind=kind,
        via=actor.via,
        actor=actor.author.id,
        actor_name=actor.author.name,
        actor_role=actor.author.role.value,
        actor_mxid=actor.author.mxid,
        target=None if target is None else target.id,
        target_name=None if target is None else target.name,
        target_mxid=None if target is None else target.mxid,
        seconds=seconds,
        reason=reason,
        detail=detail,
    )


def line_of(act: Act, at: datetime) -> AuditRecord:
    """The line of an act."""
    return line(
        act.kind, act.actor, at, target=act.target, seconds=act.seconds, reason=act.reason, detail=_short(act.detail)
    )


def _short(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Without long lists of messages, of which only the number matters later."""
    return {
        name: len(value) if name == "ids" and isinstance(value, list | tuple) and len(value) > 10 else value
        for name, value in detail.items()
    }
