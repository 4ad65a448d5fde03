"""What the room of a stream should be like: pure values, made of the stream and where this server is.

`rooms` compares that with what was put there before, and puts what differs. So names and topics that people set in
their Matrix clients stay until ours change.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ghostlive.chat.matrix.power import BOT, MODERATOR, OWNER, creators_rule, new_levels

MARK: Final = "live.ghost.stream"
"""In the content of `m.room.create`: whose room it is (empty: the space). By it a room is found again that was made
just before this server ended, and was not noted."""
WIDGET: Final = "ghostlive"
"""State key of the player."""
_TOPIC: Final = 1000
_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Site:
    """Where rooms are made."""

    server_name: str
    """Of the homeserver."""
    bot: str
    pages: str
    """Where people open this server's pages, as `https://live.example`; empty when that is not known."""
    room_version: str = ""
    """Of new rooms; empty for what the homeserver likes best."""

    def page(self, stream: str) -> str:
        """The page of a stream; empty when it is not known."""
        return f"{self.pages.rstrip('/')}/{stream}" if self.pages else ""


@dataclass(frozen=True, slots=True)
class Wish:
    """A stream, as its room shows it."""

    stream: str
    title: str = ""
    description: str = ""
    live: bool = False
    owner: str | None = None
    """The streamer's Matrix ID, when it is known."""
    moderators: frozenset[str] = frozenset()
    """Matrix IDs."""

    def power(self) -> dict[str, int]:
        """Who gets which level."""
        levels = dict.fromkeys(sorted(self.moderators), MODERATOR)
        if self.owner is not None:
            levels[self.owner] = OWNER
        return levels


def showing(wish: Wish, site: Site) -> dict[tuple[str, str], dict[str, Any]]:
    """The state that follows the stream: name, topic, player."""
    state: dict[tuple[str, str], dict[str, Any]] = {
        ("m.room.name", ""): {"name": (wish.title or wish.stream)[:_NAME]},
        ("m.room.topic", ""): {"topic": topic(wish, site)},
    }
    if site.pages:
        state |= player(wish, site)
    return state


def topic(wish: Wish, site: Site) -> str:
    """Whether the stream is live, where to watch, and what it is about."""
    parts = ["Live now" if wish.live else "Offline"]
    if page := site.page(wish.stream):
        parts.append(f"watch at {page}" if wish.live else page)
    if about := " ".join(wish.description.split()):
        parts.append(about)
    return " · ".join(parts)[:_TOPIC]


def player(wish: Wish, site: Site) -> dict[tuple[str, str], dict[str, Any]]:
    """The player as a widget, above the timeline for everybody who allows it (Widget API; MSC1236, MSC2765)."""
    url = f"{site.pages.rstrip('/')}/embed/{quote(wish.stream)}"
    widget = {
        "id": WIDGET,
        "type": "m.custom",
        "name": "Live",
        "url": url,
        "creatorUserId": site.bot,
        "waitForIframeLoad": True,
        "data": {"title": (wish.title or wish.stream)[:_NAME]},
    }
    layout = {"widgets": {WIDGET: {"container": "top", "index": 0, "width": 100, "height": 60}}}
    return {
        # Not as `m.widget` too: clients look here for it, and those that know both would show two players.
        ("im.vector.modular.widgets", WIDGET): widget,
        ("io.element.widgets.layout", ""): layout,
    }


def creation(
    wish: Wish, site: Site, *, version: str, space: str | None, predecessor: str | None = None
) -> dict[str, Any]:
    """The body that makes a stream's room. No alias: a call that fails would keep it."""
    content: dict[str, Any] = {MARK: wish.stream}
    if predecessor is not None:
        content["predecessor"] = {"room_id": predecessor}
    state = {
        ("m.room.join_rules", ""): {"join_rule": "public"},
        ("m.room.history_visibility", ""): {"history_visibility": "world_readable"},
        # Guests of the homeserver would be back a moment after they were banned; ours come by the page.
        ("m.room.guest_access", ""): {"guest_access": "forbidden"},
        **showing(wish, site),
    }
    if space is not None:
        state["m.space.parent", space] = {"via": [site.server_name], "canonical": True}
    body = {
        "preset": "public_chat",
        # The homeserver's directory; many refuse to list rooms, and then the whole call fails.
        "visibility": "private",
        "creation_content": content,
        "initial_state": [{"type": kind, "state_key": key, "content": value} for (kind, key), value in state.items()],
        "power_level_content_override": new_levels(site.bot, wish.power(), version=version),
        **({"invite": [wish.owner]} if wish.owner is not None else {}),
    }
    return body | ({"room_version": site.room_version} if site.room_version else {})


def space_creation(site: Site, *, version: str) -> dict[str, Any]:
    """The body that makes the space of all streams."""
    host = site.pages.partition("://")[2] or site.server_name
    state = {
        ("m.room.join_rules", ""): {"join_rule": "public"},
        ("m.room.history_visibility", ""): {"history_visibility": "world_readable"},
        ("m.room.guest_access", ""): {"guest_access": "forbidden"},
        ("m.room.name", ""): {"name": f"Streams of {host}"},
        ("m.room.topic", ""): {"topic": f"The chats of all streams. {site.pages}".strip()},
    }
    users: dict[str, int] = {} if creators_rule(version) else {site.bot: BOT}
    body = {
        "preset": "public_chat",
        "visibility": "private",
        "creation_content": {"type": "m.space", MARK: ""},
        "initial_state": [{"type": kind, "state_key": key, "content": value} for (kind, key), value in state.items()],
        "power_level_content_override": {
            "users": users, "events_default": BOT, "state_default": BOT, "invite": BOT, "kick": BOT, "ban": BOT
        },
    }  # fmt: skip
    return body | ({"room_version": site.room_version} if site.room_version else {})


def child(site: Site, stream: str) -> dict[str, Any]:
    """A stream's room in the space (`m.space.child`)."""
    return {"via": [site.server_name], "suggested": True, "order": stream[:50]}


def note(content: Mapping[str, Any]) -> str:
    """A short text that changes with a content: what is remembered of what was put there."""
    return hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:16]
