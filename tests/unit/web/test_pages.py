"""Pages: which file answers which address, and what browsers are told about it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from ghostlive.core.stream import StreamState
from ghostlive.web.directory import StreamInfo
from ghostlive.web.pages import page_routes
from ghostlive.web.streampage import with_stream

PAGES = ("index.html", "watch.html", "embed.html", "chat.html", "overlay.html", "studio.html")


class NoStreams:
    """A directory without streams."""

    async def get(self, name: str) -> StreamInfo | None:
        """None, whatever the name."""
        return None


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    """Pages whose content is their own name."""
    for name in PAGES:
        (tmp_path / name).write_text(name)
    app = FastAPI()
    app.include_router(page_routes(NoStreams(), static=tmp_path, frame_ancestors="*"))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize(
    "path", ["/studio", "/studio/friday", "/studio/friday/chat", "/studio/no%20such", "/setup", "/login"]
)
async def test_the_studio_is_one_page_that_is_not_kept_and_not_framed(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, "studio.html")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy


async def test_only_the_embedded_player_may_be_framed_by_others(client: httpx.AsyncClient) -> None:
    ancestors = {}
    for path in ("/", "/friday", "/embed/friday", "/overlay/friday"):
        policy = (await client.get(path)).headers["content-security-policy"]
        ancestors[path] = policy.rsplit("frame-ancestors ", 1)[1]
    assert ancestors == {"/": "'self'", "/friday": "'self'", "/embed/friday": "*", "/overlay/friday": "'self'"}


@pytest.mark.parametrize(
    ("query", "name"), [("", "embed.html"), ("?chat=1", "embed.html"), ("?chat=only", "chat.html")]
)
async def test_the_chat_alone_is_a_page_without_a_player(client: httpx.AsyncClient, query: str, name: str) -> None:
    answer = await client.get(f"/embed/friday{query}")
    assert answer.text == name
    assert answer.headers["content-security-policy"].endswith("frame-ancestors *")


async def test_only_the_studio_may_use_camera_and_microphone(client: httpx.AsyncClient) -> None:
    for path, allowed in {"/studio/golive": "(self)", "/": "()", "/friday": "()", "/embed/friday": "()"}.items():
        policy = (await client.get(path)).headers["permissions-policy"]
        assert f"camera={allowed}" in policy
        assert f"microphone={allowed}" in policy


async def test_head_is_answered_as_get(client: httpx.AsyncClient) -> None:
    answer = await client.head("/studio")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def _info(**changes: str) -> StreamInfo:
    values = {"name": "friday", "title": "Friday", "description": "", **changes}
    return StreamInfo(
        **values, state=StreamState.OFFLINE, since=None, viewers=0, chat=True, tracks=[], sources=[], renditions=[]
    )


def test_the_page_of_a_stream_brings_what_it_needs_first() -> None:
    page = with_stream(b"<head><!--stream--></head>", _info(description="Every week"), "http://test")
    block = re.search(rb'<script type="application/json" id="stream">(.*)</script></head>', page)
    assert block
    assert StreamInfo.model_validate_json(block[1]) == _info(description="Every week")
    assert b'<meta property="og:title" content="Friday" />' in page
    assert b'<meta property="og:description" content="Every week" />' in page


def test_a_link_to_a_live_stream_is_shown_with_its_picture() -> None:
    info = _info(thumbnail="/app/friday/thumb.webp")
    page = with_stream(b"<!--stream-->", info, 'https://live.example"><x')
    assert b'<meta property="og:image" content="https://live.example&quot;&gt;&lt;x/app/friday/thumb.jpg" />' in page
    assert b"og:image" not in with_stream(b"<!--stream-->", _info(), "https://live.example")


def test_the_page_of_no_stream_says_so() -> None:
    page = with_stream(b"<!--stream-->", None, "http://test")
    assert page == b'<script type="application/json" id="stream">null</script>'


@pytest.mark.parametrize(
    "trick", ["</script><script>alert(1)</script>", "<!--<script>", '" onload="alert(1)', "\u2028'&\""]
)
def test_titles_cannot_leave_their_place(trick: str) -> None:
    page = with_stream(b"<!--stream-->", _info(title=trick, description=trick), "http://test").decode()
    found = _Tags()
    found.feed(page)
    assert [tag for tag, _ in found.tags] == ["meta", "meta", "meta", "meta", "script"]
    assert [dict(attributes).get("content") for _, attributes in found.tags][2:4] == [trick, trick]
    assert StreamInfo.model_validate_json(found.data) == _info(title=trick, description=trick)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.data += data
