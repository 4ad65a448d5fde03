"""What the server itself writes into the page of a stream: its state, and what other programs show of a shared link.

With the state in the page the player begins without asking for it first. The Open Graph protocol (ogp.me) is what
messengers read to make a preview of a link; they run no script.
"""

import html
import json
from typing import Final

from ghostlive.web.directory import StreamInfo

MARK: Final = b"<!--stream-->"
"""Where it goes; pages without the mark stay as they are."""

_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SITE: Final = "Ghost Live"


def with_stream(page: bytes, info: StreamInfo | None, origin: str) -> bytes:
    """The page with its stream, or with the news that there is none. `origin` is where this server is asked.

    What is shown of a link is loaded from elsewhere, so its picture needs the whole address.
    """
    return page.replace(MARK, _head(info, origin).encode(), 1)


def _head(info: StreamInfo | None, origin: str) -> str:
    data = json.dumps(None if info is None else info.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    # Nothing in it can end the element or begin a comment (HTML Living Standard §4.12.1.3).
    for character, escape in _ESCAPES.items():
        data = data.replace(character, escape)
    # A data block, not a script: the page's policy against scripts in the page does not concern it.
    block = f'<script type="application/json" id="stream">{data}</script>'
    if info is None:
        return block
    facts = {
        "og:site_name": _SITE,
        "og:type": "video.other",
        "og:title": info.title,
        "og:description": info.description,
        # JPEG, since not every messenger reads WebP.
        "og:image": f"{origin}{info.thumbnail.removesuffix('webp')}jpg" if info.thumbnail else "",
    }
    return (
        "".join(
            f'<meta property="{name}" content="{html.escape(content)}" />' for name, content in facts.items() if content
        )
        + block
    )
