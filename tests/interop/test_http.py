"""Media over HTTP, as players and CDNs ask for it."""

import gzip
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
import pytest
from tests.support.channel import Channel
from tests.support.dash_check import Manifest, read_manifest
from tests.support.playlist import MediaPlaylist, parse_media
from tests.support.program import get, wait_for

pytestmark = pytest.mark.interop


@pytest.fixture
def video(steady: Channel) -> str:
    """The folder of the video rendition's files."""
    return steady.renditions()["video"].rpartition("/")[0]


def test_a_blocking_reload_is_answered_when_the_part_is_there_and_no_earlier(steady: Channel, video: str) -> None:
    prompt = 0
    for tries in range(40):
        msn, part = _next_part(steady.playlist(f"{video}/media.m3u8"))
        answer = steady.get(f"{video}/media.m3u8?_HLS_msn={msn}&_HLS_part={part}")
        assert answer.status_code == 200
        then = parse_media(answer.text)
        assert _has(then, msn, part), answer.text
        # With no more than was asked for; a machine that is busy may bring the question too late for that.
        prompt += _next_part(then) == (msn, part + 1)
        if prompt and tries >= 3:
            break
    assert prompt
    # Without a part: the whole segment.
    now = steady.playlist(f"{video}/media.m3u8")
    then = steady.playlist(f"{video}/media.m3u8", f"?_HLS_msn={now.last + 1}")
    assert then.last >= now.last + 1


def test_many_waiting_players_are_answered_with_the_same_playlist(steady: Channel, video: str) -> None:
    now = steady.playlist(f"{video}/media.m3u8")
    file = f"{video}/media.m3u8?_HLS_msn={now.last + 1}&_HLS_part=2"
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: steady.get(file), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(_has(parse_media(answer.text), now.last + 1, 2) for answer in answers)


def test_a_reload_too_far_ahead_is_refused(steady: Channel, video: str) -> None:
    now = steady.playlist(f"{video}/media.m3u8")
    answer = steady.get(f"{video}/media.m3u8?_HLS_msn={now.last + 10}")
    assert answer.status_code == 400
    assert "too far" in answer.json()["detail"]
    assert steady.playlist(f"{video}/media.m3u8").last < now.last + 10, "it is not waited for"
    assert steady.get(f"{video}/media.m3u8?_HLS_part=1").status_code == 400
    assert steady.get(f"{video}/media.m3u8?_HLS_msn=soon").status_code == 400


def test_the_preload_hint_waits_for_its_bytes(steady: Channel, video: str) -> None:
    for _ in range(3):
        hint = steady.playlist(f"{video}/media.m3u8").hint
        answer = steady.get(f"{video}/{hint}")
        assert answer.status_code == 200
        assert answer.content[4:8] in (b"moof", b"styp", b"prft"), answer.content[:16]
        assert "immutable" in answer.headers["cache-control"]


def test_parts_are_exactly_the_bytes_of_their_segment(steady: Channel, video: str) -> None:
    playlist = steady.playlist(f"{video}/media.m3u8")
    segment = next(segment for segment in reversed(playlist.segments) if segment.parts)
    whole = steady.get(f"{video}/{segment.uri}").content
    assert b"".join(steady.get(f"{video}/{part.uri}").content for part in segment.parts) == whole


def test_a_segment_at_the_live_edge_comes_in_pieces_as_it_is_made(steady: Channel, video: str) -> None:
    """What a low-latency DASH player does: ask for the segment that is being made."""
    for _ in range(10):
        now = steady.playlist(f"{video}/media.m3u8")
        # One that has just begun: nobody waits long for what does not come.
        wanted = steady.playlist(f"{video}/media.m3u8", f"?_HLS_msn={now.last + 1}").last + 1
        arrivals: list[float] = []
        size = 0
        with httpx.stream("GET", steady.url(f"{video}/{wanted}.m4s"), timeout=30) as answer:
            assert answer.status_code == 200
            in_pieces = "content-length" not in answer.headers
            for piece in answer.iter_raw():
                size += len(piece)
                arrivals.append(time.monotonic())
        assert size == len(steady.get(f"{video}/{wanted}.m4s").content)
        # A busy machine may bring the question, or the pieces, when all is made; a server that waits does so each time.
        if in_pieces and len(arrivals) >= 4 and arrivals[-1] - arrivals[0] > 0.5:
            return
    pytest.fail("never in pieces")


def test_playlists_are_compressed_for_those_who_can(steady: Channel, video: str) -> None:
    for file in ("master.m3u8", "manifest.mpd", f"{video}/media.m3u8"):
        with httpx.stream("GET", steady.url(file), headers={"accept-encoding": "gzip"}) as packed:
            assert packed.headers["content-encoding"] == "gzip"
            assert "accept-encoding" in packed.headers["vary"].lower()
            assert gzip.decompress(b"".join(packed.iter_raw()))
        plain = steady.get(file, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.headers["etag"] != packed.headers["etag"]


def test_what_is_unchanged_is_not_sent_again(steady: Channel, video: str) -> None:
    segment = f"{video}/{steady.playlist(f'{video}/media.m3u8').segments[0].uri}"
    for file in (segment, f"{video}/init-0.mp4"):
        first = steady.get(file)
        again = steady.get(file, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "immutable" in first.headers["cache-control"]
    # The live playlist changes several times a second: two looks right after each other must agree with its ETag.
    for _ in range(20):
        first = steady.get(f"{video}/media.m3u8")
        again = steady.get(f"{video}/media.m3u8", headers={"if-none-match": first.headers["etag"]})
        if again.status_code == 304:
            break
        assert again.text != first.text
        assert again.headers["etag"] != first.headers["etag"]
    else:
        pytest.fail("a live playlist was never 304")


def test_head_answers_like_get_without_the_body(steady: Channel, video: str) -> None:
    segment = f"{video}/{steady.playlist(f'{video}/media.m3u8').segments[0].uri}"
    for file in (segment, f"{video}/init-0.mp4"):
        whole, head = steady.get(file), httpx.head(steady.url(file))
        assert head.status_code == 200
        assert head.content == b""
        for name in ("content-length", "content-type", "etag", "cache-control", "accept-ranges"):
            assert head.headers[name] == whole.headers[name]
    assert httpx.head(steady.url("master.m3u8")).status_code == 200
    assert httpx.head(f"{steady.program.url}/app/nobody/master.m3u8").status_code == 404


def test_ranges_of_a_segment_are_served(steady: Channel, video: str) -> None:
    segment = f"{video}/{steady.playlist(f'{video}/media.m3u8').segments[0].uri}"
    whole = steady.get(segment).content
    for field, expected in (
        ("bytes=0-99", whole[:100]),
        ("bytes=100-", whole[100:]),
        ("bytes=-50", whole[-50:]),
        (f"bytes=10-{len(whole) + 1000}", whole[10:]),
    ):
        answer = steady.get(segment, headers={"range": field})
        assert (answer.status_code, answer.content) == (206, expected), field
        assert answer.headers["content-range"].endswith(f"/{len(whole)}")
    beyond = steady.get(segment, headers={"range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"


def test_players_on_other_sites_may_read(steady: Channel, video: str) -> None:
    answer = steady.get("master.m3u8", headers={"origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    preflight = httpx.options(
        steady.url(f"{video}/media.m3u8"),
        headers={
            "origin": "https://elsewhere.example",
            "access-control-request-method": "GET",
            "access-control-request-headers": "range",
        },
    )
    assert preflight.status_code < 300
    assert "range" in preflight.headers["access-control-allow-headers"].lower()


def test_nothing_is_served_under_a_foreign_name(steady: Channel, channel: Channel, video: str) -> None:
    """Never a wrong picture: another stream's name before a real session is not found."""
    segment = steady.playlist(f"{video}/media.m3u8").segments[0].uri
    for file in (f"{video}/media.m3u8", f"{video}/{segment}", f"{video}/init-0.mp4"):
        answer = channel.get(file)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert get(f"{steady.program.url}/app/nobody/{file}").status_code == 404
    for file in ("master.m3u8", "manifest.mpd", "0123456789/v0/media.m3u8", f"{video}/999999.m4s", f"{video}/x.m4s"):
        target = steady if file.startswith(video) else channel
        assert target.get(file).status_code == 404, file


def test_paths_cannot_climb_out_of_the_media_folder(steady: Channel, video: str) -> None:
    for path in (
        f"/app/{steady.name}/../../ghostlive.db",
        f"/app/{steady.name}/{video}/..%2f..%2f..%2fghostlive.db",
        f"/app/{steady.name}/{video}/%2e%2e/%2e%2e/init-0.mp4",
        "/app/../etc/passwd",
        "/assets/..%2f..%2fpages.py",
        f"/app/{steady.name}/%00",
    ):
        status, body = _raw(steady.program.url, path)
        assert status in (400, 404), (path, status)
        assert b"SQLite" not in body
        assert b"root:" not in body


def test_the_manifest_lists_what_is_there_and_tells_the_time(steady: Channel) -> None:
    manifest = _manifest_of_one_moment(steady)
    assert manifest.live
    assert {track.kind for track in manifest.tracks} == {"video", "audio"}
    for track in manifest.tracks:
        assert steady.get(track.initialization).content[4:8] == b"ftyp"
        assert len(track.segments) >= 2
        for number in (track.segments[0].number, track.segments[-2].number):
            assert steady.get(track.media(number)).status_code == 200
        # Low latency: the segment that is being made is offered before it is complete.
        assert track.early > 0
        assert not track.complete
    # The tracks' timelines agree to within a second, and reach up to now.
    ends = [track.segments[-2].end for track in manifest.tracks]
    assert max(ends) - min(ends) < 1.5
    before = datetime.now(UTC)
    answer = get(str(httpx.URL(steady.url("manifest.mpd")).join(manifest.time_url)))
    server_time = datetime.fromisoformat(answer.text)
    assert before - timedelta(seconds=1) <= server_time <= datetime.now(UTC) + timedelta(seconds=1)
    assert manifest.start is not None
    edge = manifest.start.timestamp() + max(ends)
    assert -1 < server_time.timestamp() - edge < 10, "the manifest's clock is not the wall clock"


def test_old_manifest_and_new_one_agree(steady: Channel) -> None:
    """A segment never changes its time: what a player has learned stays true."""
    before = read_manifest(steady.get("manifest.mpd").text)
    last = before.tracks[0].segments[-1].number
    # Not so many as then and two more: the window may be full, and its oldest go.
    wait_for("two more segments", lambda: steady.playlist().last >= last + 2, 60)
    after = read_manifest(steady.get("manifest.mpd").text)
    for old, new in zip(before.tracks, after.tracks, strict=True):
        times = {segment.number: (segment.start, segment.end) for segment in new.segments}
        for segment in old.segments[:-1]:
            if segment.number >= new.segments[0].number:
                assert times[segment.number] == (segment.start, segment.end)
        guessed = old.segments[-1]
        assert times[guessed.number][0] == guessed.start
        assert times[guessed.number][1] == pytest.approx(guessed.end, abs=0.05)


def test_a_delta_update_skips_what_the_player_knows(steady: Channel, video: str) -> None:
    # The playlist has to be long for that, which it is by now.
    full = steady.wait_for_segments(9, f"{video}/media.m3u8")
    delta = steady.playlist(f"{video}/media.m3u8", "?_HLS_skip=YES")
    assert delta.skipped > 0
    assert delta.last >= full.last
    assert len(delta.text) < len(full.text)


def test_a_request_before_the_first_segment_waits_for_it(channel: Channel) -> None:
    """The page of a stream that starts this moment asks at once; it gets a playlist, not an error."""
    from tests.support.encoder import Picture, publishing

    with publishing(channel.publish_url, Picture(width=320, height=180, group=90)):
        channel.wait_until("live")
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(channel.get, ("master.m3u8", "manifest.mpd", "llhls.m3u8")))
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        ElementTree.fromstring(answers[1].text)


def _manifest_of_one_moment(channel: Channel) -> Manifest:
    """One in which all tracks have come as far: for a moment one has begun a segment, and another has not."""
    for _ in range(100):
        manifest = read_manifest(channel.get("manifest.mpd").text)
        if len({track.segments[-1].number for track in manifest.tracks}) == 1 and all(
            len(track.segments) >= 2 for track in manifest.tracks
        ):
            return manifest
        time.sleep(0.1)
    pytest.fail(f"the tracks never come as far as each other: {manifest}")


def _next_part(playlist: MediaPlaylist) -> tuple[int, int]:
    number, _, index = playlist.hint.removesuffix(".m4s").partition(".")
    return int(number), int(index)


def _has(playlist: MediaPlaylist, msn: int, part: int) -> bool:
    return _next_part(playlist) > (msn, part)


def _raw(url: str, path: str) -> tuple[int, bytes]:
    """A request whose path no client library has tidied up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body
