"""One stream of a running server, as its streamer and its viewers see it."""

import itertools
from dataclasses import dataclass
from typing import Any

import httpx
from tests.support.playlist import MediaPlaylist, parse_media, parse_multivariant
from tests.support.program import Program, get, wait_for

_count = itertools.count(1)


@dataclass(frozen=True)
class Channel:
    """A stream with its key."""

    program: Program
    name: str
    key: str

    @classmethod
    def add(cls, program: Program, name: str = "show") -> "Channel":
        """Make a stream of a new name that begins with `name`."""
        name = f"{name}-{next(_count)}"
        return cls(program, name, program.add_stream(name))

    @property
    def publish_url(self) -> str:
        """The address with the key as stream name, as OBS sends it."""
        return f"{self.program.rtmp}/{self.key}"

    @property
    def page(self) -> str:
        return f"{self.program.url}/{self.name}"

    def url(self, file: str = "master.m3u8") -> str:
        """The address of a media file below `/app/{stream}/`."""
        return f"{self.program.url}/app/{self.name}/{file}"

    def state(self) -> str:
        """`live`, `interrupted` or `offline`, as the API says it."""
        state: str = self.program.stream(self.name)["state"]
        return state

    def tracks(self) -> dict[str, dict[str, Any]]:
        """The tracks by kind, as the API says them."""
        return {track["kind"]: track for track in self.program.stream(self.name)["tracks"]}

    def wait_until(self, state: str, timeout: float = 30.0) -> None:
        """Wait for a state."""
        wait_for(f"{self.name} to be {state}", lambda: self.state() == state, timeout)

    def wait_for_the_end(self) -> str:
        """Wait until it is live no longer; what it is instead."""
        found: str = wait_for(f"{self.name} to be live no longer", lambda: s if (s := self.state()) != "live" else "")
        return found

    def get(self, file: str, *, timeout: float = 30.0, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask for a media file."""
        return get(self.url(file), timeout=timeout, headers=headers)

    def renditions(self) -> dict[str, str]:
        """Media playlists by kind, as files for `url`. Waits for the first segments, as every player does."""
        answer = self.get("master.m3u8")
        assert answer.status_code == 200, answer.text
        return parse_multivariant(answer.text)

    def playlist(self, file: str | None = None, query: str = "") -> MediaPlaylist:
        """The video's media playlist, or that of `file`."""
        answer = self.get((file or self.renditions()["video"]) + query)
        assert answer.status_code == 200, answer.text
        return parse_media(answer.text)

    def wait_for_segments(self, count: int, file: str | None = None) -> MediaPlaylist:
        """Wait until so many segments are complete."""

        def enough() -> MediaPlaylist | None:
            nonlocal file
            file = file or self.renditions()["video"]
            playlist = self.playlist(file)
            return playlist if len(playlist.segments) >= count else None

        found: MediaPlaylist = wait_for(f"{count} segments of {self.name}", enough, 60)
        return found


class Channels:
    """New streams on demand."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def take(self) -> Channel:
        """A stream that nobody has used."""
        return Channel.add(self._program)
