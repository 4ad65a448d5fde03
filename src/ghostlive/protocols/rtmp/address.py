"""What an encoder's address says: which stream, and with which key.

Encoders split an address as they like into the application name, the tcUrl and the stream name, and put the query
behind any of the three. All of these mean stream `show` with key `KEY`::

    rtmp://host/app               + show?key=KEY      rtmp://host/app/show          + KEY
    rtmp://host/app/show          + ?key=KEY          rtmp://host/app/show?key=KEY  + (empty)
    rtmp://host/app/show/?key=KEY + (empty)           rtmp://host/app               + show/KEY

and `rtmp://host/app + KEY` leaves the stream to the key.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

_MAX_LENGTH = 2048
_KEY_PARAMETER = "key"


@dataclass(frozen=True, slots=True)
class Target:
    """What was asked for; empty parts are None."""

    stream: str | None
    key: str | None

    def __repr__(self) -> str:
        return f"Target({self.stream!r}, key {'given' if self.key else 'none'})"


def parse_target(app: str, tc_url: str, name: str) -> Target:
    """Find stream and key in the application name, the tcUrl and the stream name of an encoder."""
    app_path, app_query = _split(app)
    name_path, name_query = _split(name)
    _, url_query = _split(tc_url)
    key = _key(name_query) or _key(app_query) or _key(url_query)
    # The first segment is the application, whose name ("app", "live", …) is of no interest.
    segments = app_path[1:] + name_path
    if key is not None:
        return Target(segments[0] if segments else None, key)
    if len(segments) > 1:
        return Target(segments[0], segments[1])
    return Target(None, segments[0] if segments else None)


def _split(text: str) -> tuple[list[str], str]:
    path, _, query = text[:_MAX_LENGTH].partition("?")
    return [unquote(segment) for segment in path.split("/") if segment], query


def _key(query: str) -> str | None:
    # Some encoders glue their own query behind ours with a second "?".
    pairs = parse_qsl(query.replace("?", "&"), max_num_fields=None)
    return next((value.strip("/") for parameter, value in pairs if parameter == _KEY_PARAMETER), None) or None
