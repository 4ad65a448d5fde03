"""The media endpoints: what HTTP promises about ranges, conditions, encodings and refusals."""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from ghostlive.access.browser import viewer_key
from ghostlive.access.decision import AccessRequest, Action, Decision, Verdict
from ghostlive.packager.errors import BadRequestError, NotFoundError, NotReadyError
from ghostlive.packager.resource import IMMUTABLE, Resource
from ghostlive.packager.service import Packager
from ghostlive.transcode.thumbnails import Form, Thumbnail, Thumbnails, ThumbnailUnavailableError
from ghostlive.web.media import MediaApp

SEGMENT = b"0123456789"


class FakePackager:
    """Answers from a table, or raises what stands there."""

    def __init__(self) -> None:
        self.table: dict[str, Resource | Exception] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    async def resource(self, stream: str, rest: str, query: Mapping[str, str]) -> Resource:
        self.asked.append((stream, rest, dict(query)))
        found = self.table.get(rest, NotFoundError("no such media"))
        if isinstance(found, Exception):
            raise found
        return found


class FakeThumbnails:
    """Gives what stands here."""

    lasts = 20.0

    def __init__(self) -> None:
        self.found: Thumbnail | Exception | None = None
        self.asked: list[tuple[str, Form]] = []

    async def get(self, stream: str, form: Form) -> Thumbnail | None:
        self.asked.append((stream, form))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Site:
    """The media application with a client in front of it."""

    def __init__(self) -> None:
        self.packager = FakePackager()
        self.requests: list[AccessRequest] = []
        self.decision = Decision(Verdict.ALLOWED)
        self.thumbnails = FakeThumbnails()
        app = MediaApp(
            packager=cast("Packager", self.packager),
            decide=self.decide,
            thumbnails=cast("Thumbnails", self.thumbnails),
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(cast("Any", app)),
            base_url="http://test",
            headers={"accept-encoding": "identity"},
        )

    async def decide(self, request: AccessRequest) -> Decision:
        self.requests.append(request)
        return self.decision


@pytest.fixture
def site() -> Site:
    site = Site()
    site.packager.table |= {
        "s/v0/1.m4s": Resource.of("video/mp4", IMMUTABLE, '"one"', SEGMENT[:4], SEGMENT[4:]),
        "s/v0/media.m3u8": Resource.text("application/vnd.apple.mpegurl", "no-cache", '"p7"', "#EXTM3U\n" * 40),
        "master.m3u8": Resource.text("application/vnd.apple.mpegurl", "no-cache", '"m1"', "#EXTM3U\n"),
    }
    return site


async def test_a_segment_is_sent_whole_with_what_caches_need(site: Site) -> None:
    answer = await site.client.get("/app/demo/s/v0/1.m4s")
    assert answer.status_code == 200
    assert answer.content == SEGMENT
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["cache-control"] == IMMUTABLE
    assert answer.headers["etag"] == '"one"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("field", "content", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=3-5", b"345", "bytes 3-5/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=5-500", b"56789", "bytes 5-9/10"),
        ("bytes=-500", SEGMENT, "bytes 0-9/10"),
    ],
)
async def test_a_range_is_cut_out(site: Site, field: str, content: bytes, content_range: str) -> None:
    answer = await site.client.get("/app/demo/s/v0/1.m4s", headers={"range": field})
    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"] == content_range
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_range_outside_is_refused_with_the_size(site: Site, field: str) -> None:
    answer = await site.client.get("/app/demo/s/v0/1.m4s", headers={"range": field})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize(
    "field", ["lines=1-2", "bytes=1-2,4-5", "bytes=x-", "bytes=-", "bytes", "bytes=5-3", "bytes=1"]
)
async def test_a_range_that_cannot_be_used_is_ignored(site: Site, field: str) -> None:
    answer = await site.client.get("/app/demo/s/v0/1.m4s", headers={"range": field})
    assert (answer.status_code, answer.content) == (200, SEGMENT)


async def test_a_range_of_another_version_gets_the_whole(site: Site) -> None:
    headers = {"range": "bytes=0-1", "if-range": '"older"'}
    assert (await site.client.get("/app/demo/s/v0/1.m4s", headers=headers)).content == SEGMENT


async def test_what_the_client_has_is_not_sent_again(site: Site) -> None:
    for condition in ('"one"', 'W/"one"', '"x", "one"', "*"):
        answer = await site.client.get("/app/demo/s/v0/1.m4s", headers={"if-none-match": condition})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == '"one"'
        assert answer.headers["cache-control"] == IMMUTABLE
    changed = await site.client.get("/app/demo/s/v0/1.m4s", headers={"if-none-match": '"two"'})
    assert changed.status_code == 200


async def test_head_tells_what_get_would_send(site: Site) -> None:
    get = await site.client.get("/app/demo/s/v0/1.m4s")
    head = await site.client.head("/app/demo/s/v0/1.m4s")
    assert head.content == b""
    assert head.headers == get.headers


async def test_playlists_are_compressed_when_that_is_wanted(site: Site) -> None:
    plain = await site.client.get("/app/demo/s/v0/media.m3u8")
    request = site.client.build_request("GET", "/app/demo/s/v0/media.m3u8", headers={"accept-encoding": "br, gzip"})
    packed = await site.client.send(request, stream=True)
    raw = b"".join([piece async for piece in packed.aiter_raw()])
    assert gzip.decompress(raw) == plain.content
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(raw))
    assert packed.headers["etag"] != plain.headers["etag"]
    assert "accept-encoding" in plain.headers["vary"]
    refused = await site.client.get("/app/demo/s/v0/media.m3u8", headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers


async def test_a_segment_in_the_making_is_streamed_piece_by_piece(site: Site) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"ab", b"cd", b"e"):
            yield piece

    site.packager.table["s/v0/2.m4s"] = Resource("video/mp4", "no-cache", "", growing=pieces)
    answer = await site.client.get("/app/demo/s/v0/2.m4s")
    assert answer.content == b"abcde"
    assert "content-length" not in answer.headers
    assert (await site.client.head("/app/demo/s/v0/2.m4s")).content == b""


async def test_a_segment_on_disk_is_read_from_there(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "3.m4s"
    path.write_bytes(bytes(range(256)) * 4096)
    site.packager.table["s/v0/3.m4s"] = Resource("video/mp4", IMMUTABLE, '"f"', size=1 << 20, file=path)
    assert (await site.client.get("/app/demo/s/v0/3.m4s")).content == path.read_bytes()
    part = await site.client.get("/app/demo/s/v0/3.m4s", headers={"range": "bytes=255-258"})
    assert part.content == b"\xff\x00\x01\x02"
    path.unlink()
    assert (await site.client.get("/app/demo/s/v0/3.m4s")).status_code == 404


async def test_refusals_are_problem_details(site: Site) -> None:
    site.packager.table |= {"a": BadRequestError("_HLS_part needs _HLS_msn"), "b": NotReadyError("wait", retry_after=3)}
    bad = await site.client.get("/app/demo/a")
    assert bad.status_code == 400
    assert bad.headers["content-type"] == "application/problem+json"
    assert json.loads(bad.content)["detail"] == "_HLS_part needs _HLS_msn"
    late = await site.client.get("/app/demo/b")
    assert (late.status_code, late.headers["retry-after"]) == (503, "3")
    assert (await site.client.get("/app/demo/none")).status_code == 404
    assert (await site.client.get("/app/demo")).status_code == 404
    wrong = await site.client.post("/app/demo/master.m3u8")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_players_on_other_sites_may_ask(site: Site) -> None:
    answer = await site.client.options("/app/demo/s/v0/1.m4s", headers={"origin": "https://example.org"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "range" in answer.headers["access-control-allow-headers"]


async def test_viewers_come_in_through_the_authorizer(site: Site) -> None:
    await site.client.get("/app/demo/master.m3u8")
    await site.client.get("/app/demo/s/v0/1.m4s")
    assert [(request.protocol, request.stream) for request in site.requests] == [("llhls", "demo")]
    site.decision = Decision(Verdict.STREAM_UNKNOWN, reason="There is no stream named demo.")
    answer = await site.client.get("/app/demo/master.m3u8")
    assert answer.status_code == 404
    assert "no stream named demo" in answer.json()["detail"]


async def test_the_query_reaches_the_packager(site: Site) -> None:
    await site.client.get("/app/demo/s/v0/media.m3u8?_HLS_msn=4&_HLS_part=1")
    assert site.packager.asked == [("demo", "s/v0/media.m3u8", {"_HLS_msn": "4", "_HLS_part": "1"})]
    many = "&".join(f"a{n}=1" for n in range(100))
    assert (await site.client.get(f"/app/demo/s/v0/media.m3u8?{many}")).status_code == 400


def test_viewers_are_told_apart_by_something_short() -> None:
    assert viewer_key("192.0.2.1", b" Player/1.0 ") == "192.0.2.1 Player/1.0"
    assert len(viewer_key("192.0.2.1", b"x" * 32_000)) < 200


@pytest.mark.parametrize(
    ("file", "form", "content_type"),
    [("thumb.jpg", Form.JPEG, "image/jpeg"), ("thumb.webp", Form.WEBP, "image/webp")],
)
async def test_a_thumbnail_is_a_small_resource_as_any(site: Site, file: str, form: Form, content_type: str) -> None:
    site.thumbnails.found = Thumbnail(form, b"0123456789", '"t1"')
    answer = await site.client.get(f"/app/demo/{file}?t=123")
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == content_type
    assert answer.headers["cache-control"] == "public, max-age=20"
    assert answer.headers["etag"] == '"t1"'
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (await site.client.get(f"/app/demo/{file}", headers={"if-none-match": '"t1"'})).status_code == 304
    head = await site.client.head(f"/app/demo/{file}")
    assert (head.headers["content-length"], head.content) == ("10", b"")
    assert set(site.thumbnails.asked) == {("demo", form)}


async def test_why_there_is_no_thumbnail_is_said(site: Site) -> None:
    answer = await site.client.get("/app/demo/thumb.webp")
    assert answer.status_code == 404
    assert "not live" in answer.json()["detail"]
    assert answer.headers["access-control-allow-origin"] == "*"
    site.thumbnails.found = ThumbnailUnavailableError("There is no picture of demo now: busy.", retry_after=2.1)
    answer = await site.client.get("/app/demo/thumb.webp")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.json()["detail"] == "There is no picture of demo now: busy."
    assert answer.headers["cache-control"] == "no-store"


async def test_a_thumbnail_is_for_who_may_watch(site: Site) -> None:
    site.decision = Decision(Verdict.STREAM_UNKNOWN, reason="There is no stream named demo.")
    assert (await site.client.get("/app/demo/thumb.jpg")).status_code == 404
    assert [(request.action, request.protocol) for request in site.requests] == [(Action.PLAY, "thumbnail")]
    assert site.thumbnails.asked == []


async def test_playlists_of_sound_alone_are_entries_too(site: Site) -> None:
    site.decision = Decision(Verdict.STREAM_UNKNOWN, reason="There is no stream named demo.")
    assert (await site.client.get("/app/demo/audio.m3u8")).status_code == 404
    assert [request.protocol for request in site.requests] == ["llhls"]
