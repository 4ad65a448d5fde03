"""Who may not be in a chat's room at the homeserver, all things considered: bans of the chat, bans of the whole site,
and policy lists. Whoever lets somebody in again asks here whether anything else keeps them out.
"""

from collections.abc import Sequence
from datetime import datetime

from ghostlive.chat.bans import Ban, Bans
from ghostlive.chat.glob import has_wildcards
from ghostlive.chat.matrix.policy import Policies
from ghostlive.chat.people import matrix_author_id


class Gate:
    """That of one chat, as it was when it was made; lists count as they are when somebody asks."""

    def __init__(self, stream: str, bans: Sequence[Bans], policies: Policies, now: datetime) -> None:
        """`bans` are those of the chat and of the site."""
        self._stream = stream
        self._bans = bans
        self._policies = policies
        self._now = now

    @property
    def has_lists(self) -> bool:
        """Whether any policy list counts here."""
        return self._policies.any_for(self._stream)

    def ban_of(self, *, author_id: str | None = None, mxid: str | None = None) -> Ban | None:
        """The ban that keeps an author, or a Matrix ID, out longest. Who is in a time-out stays, and reads."""
        if author_id is None and mxid is not None and not has_wildcards(mxid):
            author_id = matrix_author_id(mxid)
        found = (bans.find(author_id, None, mxid, self._now, timeouts=False) for bans in self._bans)
        bans = [ban for ban in found if ban is not None]
        return max(bans, key=lambda ban: (ban.expires_at is None, ban.expires_at or self._now), default=None)

    def listed(self, mxid: str) -> str | None:
        """The reason, maybe empty, for which a policy list keeps a Matrix ID out; None when none does."""
        rule = self._policies.find(self._stream, mxid)
        return None if rule is None else rule.reason

    def shut(self, *, author_id: str | None = None, mxid: str | None = None) -> bool:
        """Whether anything keeps them out."""
        if self.ban_of(author_id=author_id, mxid=mxid) is not None:
            return True
        return mxid is not None and not has_wildcards(mxid) and self.listed(mxid) is not None
