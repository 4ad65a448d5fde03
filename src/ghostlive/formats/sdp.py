"""Session descriptions: lines ↔ values, whatever the session is for.

What lives here: the grammar. What does not: what attributes mean (`protocols/webrtc/negotiation`).

Specification: RFC 8866. Invariant: hostile text raises `SdpError` and nothing else; time and memory are bounded by
`MAX_BYTES`, `MAX_LINES` and `MAX_MEDIA`. Lines of types that say nothing here (`i u e p r z k`) are left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from ghostlive.core.errors import MediaError

MAX_BYTES: Final = 128 * 1024
"""The longest real descriptions (all codecs, many m-lines) have a few ten thousand."""
MAX_LINES: Final = 4000
MAX_MEDIA: Final = 64

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,256}")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:/[0-9]{1,5})?")


class SdpError(MediaError):
    """Text that is no session description, or too much of it."""


@dataclass(slots=True)
class Origin:
    """Who describes the session, and which version of it (`o=`, RFC 8866 §5.2)."""

    session_id: int
    version: int = 1
    username: str = "-"
    address: str = "IN IP4 127.0.0.1"
    """Network type, address type and address, as on the line."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands behind `o=`. Raises `SdpError`."""
        words = text.split()
        if len(words) != 6 or not all(word.isascii() and word.isdigit() and len(word) < 40 for word in words[1:3]):
            raise SdpError(f"the origin line of a session description is broken: {text[:80]!r}")
        return cls(int(words[1]), int(words[2]), words[0], " ".join(words[3:]))

    def to_text(self) -> str:
        """What stands behind `o=`."""
        return f"{self.username} {self.session_id} {self.version} {self.address}"


@dataclass(slots=True, kw_only=True)
class Section:
    """What the session and its media have in common."""

    connection: str | None = None
    """Behind `c=`."""
    bandwidth: list[tuple[str, int]] = field(default_factory=list)
    """Of each `b=`: its type (`AS`: kbit/s, `TIAS`: bit/s) and its value."""
    attributes: list[tuple[str, str | None]] = field(default_factory=list)
    """Of each `a=`: name and value, in order; no value for those without a colon."""

    def first(self, name: str) -> str | None:
        """The value of the first attribute of this name; empty when it has none, None without such an attribute."""
        return next(self.values(name), None)

    def values(self, name: str) -> Iterator[str]:
        """The values of all attributes of this name, in order; empty for those without."""
        return (value or "" for found, value in self.attributes if found == name)

    def has(self, name: str) -> bool:
        """Whether there is an attribute of this name."""
        return any(found == name for found, _ in self.attributes)

    def add(self, name: str, value: str | None = None) -> None:
        """Append an attribute."""
        self.attributes.append((name, value))

    def _lines(self) -> Iterator[str]:
        if self.connection is not None:
            yield f"c={self.connection}"
        for kind, value in self.bandwidth:
            yield f"b={kind}:{value}"

    def _attribute_lines(self) -> Iterator[str]:
        for name, value in self.attributes:
            yield f"a={name}" if value is None else f"a={name}:{value}"

    def _take(self, kind: str, value: str) -> None:
        if kind == "a":
            name, colon, rest = value.partition(":")
            if not _TOKEN.fullmatch(name):
                raise SdpError(f"a session description has the impossible attribute {value[:80]!r}")
            self.attributes.append((name, rest if colon else None))
        elif kind == "c":
            self.connection = value
        elif kind == "b":
            name, _, number = value.partition(":")
            if not (number.isascii() and number.isdigit() and len(number) < 20):
                raise SdpError(f"a session description has the impossible bandwidth {value[:80]!r}")
            self.bandwidth.append((name, int(number)))


@dataclass(slots=True, kw_only=True)
class MediaDescription(Section):
    """One m-line and what belongs to it (RFC 8866 §5.14)."""

    kind: str
    """`audio`, `video`, `application`, …"""
    port: int
    protocol: str
    """`UDP/TLS/RTP/SAVPF`, …"""
    formats: list[str]
    """For RTP the payload types, in order of preference; at least one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands behind `m=`. Raises `SdpError`."""
        words = text.split()
        port = _PORT.fullmatch(words[1]) if len(words) >= 4 else None
        if port is None or int(port[1]) > 65535 or not _TOKEN.fullmatch(words[0]):
            raise SdpError(f"a media line of a session description is broken: {text[:80]!r}")
        return cls(kind=words[0], port=int(port[1]), protocol=words[2], formats=words[3:])

    def lines(self) -> Iterator[str]:
        """The section's lines, without their ends."""
        yield f"m={self.kind} {self.port} {self.protocol} {' '.join(self.formats)}"
        yield from self._lines()
        yield from self._attribute_lines()


@dataclass(slots=True, kw_only=True)
class SessionDescription(Section):
    """A whole description."""

    origin: Origin
    name: str = "-"
    media: list[MediaDescription] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a description, with any kind of line ends. Raises `SdpError`."""
        if len(text) > MAX_BYTES:
            raise SdpError(f"a session description of {len(text)} characters; {MAX_BYTES} are allowed")
        session = cls(origin=Origin(0))
        section: Section = session
        origin: Origin | None = None
        for count, (kind, value) in enumerate(split_lines(text)):
            if count == 0:
                if (kind, value) != ("v", "0"):
                    raise SdpError("a session description has to begin with v=0")
            elif kind == "m":
                if len(session.media) >= MAX_MEDIA:
                    raise SdpError(f"a session description has more than {MAX_MEDIA} media lines")
                medium = MediaDescription.parse(value)
                session.media.append(medium)
                section = medium
            elif section is session and kind == "o":
                session.origin = origin = Origin.parse(value)
            elif section is session and kind == "s":
                session.name = value
            else:
                section._take(kind, value)
        if origin is None:
            raise SdpError("a session description lacks its origin line (o=)")
        return session

    def to_text(self) -> str:
        """Write the description, with CRLF behind each line."""
        lines = ["v=0", f"o={self.origin.to_text()}", f"s={self.name}", *self._lines(), "t=0 0"]
        lines += self._attribute_lines()
        for medium in self.media:
            lines += medium.lines()
        return "\r\n".join(lines) + "\r\n"


def split_lines(text: str) -> list[tuple[str, str]]:
    """Types and values of all lines, also of a fragment of a description; empty lines are left out.

    Raises `SdpError` for lines that are none, or too many.
    """
    # Not `splitlines`, for which many characters end a line.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MAX_LINES:
        raise SdpError(f"a session description of {len(lines)} lines; {MAX_LINES} are allowed")
    found = []
    for line in lines:
        if line:
            if line[1:2] != "=" or not "a" <= line[0] <= "z" or "\0" in line:
                raise SdpError(f"a session description has the impossible line {line[:80]!r}")
            found.append((line[0], line[2:].strip()))
    return found
