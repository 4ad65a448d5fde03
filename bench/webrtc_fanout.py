"""WebRTC fan-out: what a viewer of a 2.5 Mb/s broadcast with sound costs, and how many one core feeds.

The peer is Janus with its streaming plugin (Debian's package), fed by RTP. Each viewer has an ICE session, a DTLS
handshake and a socket of its own; the load generator on the other core counts what comes and decrypts nothing. The same
numbers of viewers are tried with both, until more than 0.1 % of the packets are lost.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench.clip import Clip, make_clip
from bench.harness import (
    SERVER_CORE,
    Report,
    Row,
    arguments,
    cpu_seconds,
    free_port,
    ghostlive,
    in_memory,
    loading,
    memory_mb,
    need,
    pid_of,
    pinned,
    ratio,
    wait_for,
)
from bench.publishers import publishing
from bench.webrtc_viewers import Outcome, Plan

STEPS = (50, 75, 150, 300, 600, 900, 1_200, 1_500)
SAME = 50
"""The number of viewers at which both are compared."""
LOSS = 0.001
AIM_VIEWERS = 1_200
AIM_CPU = 0.30
"""CPU seconds per gigabit."""
AIM_MEMORY = 80.0
"""kB for each viewer."""
AIM_JOINS = 200.0
"""A second, by the server's CPU time."""
JANUS = Path("/usr/lib/x86_64-linux-gnu/janus")
LIMITS = {
    "GHOSTLIVE_WEBRTC__MAX_PEERS": "20000",
    "GHOSTLIVE_WEBRTC__MAX_PEERS_PER_ADDRESS": "0",
    "GHOSTLIVE_WEBRTC__SESSIONS_PER_MINUTE": "0",
    "GHOSTLIVE_HTTP__CONNECTIONS_PER_ADDRESS": "0",
}


@dataclass(frozen=True)
class Measured:
    """One number of viewers."""

    outcome: Outcome
    cpu: float
    """Seconds that the server used while the packets were counted."""
    kilobytes: float
    """Resident memory for each viewer."""
    join_cpu: float
    """Seconds that the server used for all joins and what it sent meanwhile."""

    @property
    def per_gigabit(self) -> float:
        """CPU seconds per gigabit that arrived."""
        return self.cpu / (self.outcome.bytes * 8 / 1e9) if self.outcome.bytes else float("inf")

    @property
    def whole(self) -> bool:
        """Whether nearly everything came to everybody."""
        return self.outcome.loss <= LOSS and not self.outcome.silent


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=8, runs=1)
    need("janus", "ffmpeg", "cc")
    with in_memory() as folder:
        clip = make_clip(folder, width=1280, height=720, video=2_500_000)
        with _ours(folder, clip) as ours:
            mine = _climb(partial(ours, seconds=options.seconds))
        with _janus(folder) as janus:
            theirs = _climb(partial(janus, seconds=options.seconds))
    report = Report("WebRTC fan-out: 720p30 of 2.5 Mb/s with sound, server on one core", "Janus")
    _rows(report, mine, theirs)
    report.show()


def _climb(measure: Callable[[int], Measured]) -> dict[int, Measured]:
    """Measure more and more viewers, until packets are lost."""
    found: dict[int, Measured] = {}
    for viewers in STEPS:
        found[viewers] = measured = measure(viewers)
        if not measured.whole:
            break
    return found


def _rows(report: Report, mine: dict[int, Measured], theirs: dict[int, Measured]) -> None:
    most, their_most = (max((n for n, one in runs.items() if one.whole), default=0) for runs in (mine, theirs))
    report.add(
        Row("viewers before 0.1 % is lost", f"{most}", f"{their_most}", ratio(most, their_most or 1),
            f"≥ {AIM_VIEWERS}", most >= AIM_VIEWERS)
    )  # fmt: skip
    same, their_same = mine[SAME].per_gigabit, theirs[SAME].per_gigabit
    report.add(Row(f"CPU s/Gbit with {SAME}", f"{same:.2f}", f"{their_same:.2f}", ratio(same, their_same)))
    if most:
        full = mine[most]
        report.add(
            Row(
                f"CPU s/Gbit with {most}",
                f"{full.per_gigabit:.2f}",
                "",
                "",
                f"≤ {AIM_CPU}",
                full.per_gigabit <= AIM_CPU,
            )
        )
        their_memory = theirs[max(theirs)].kilobytes
        report.add(
            Row("memory for each viewer", f"{full.kilobytes:.0f} kB", f"{their_memory:.0f} kB",
                ratio(full.kilobytes, their_memory), f"≤ {AIM_MEMORY:g} kB", full.kilobytes <= AIM_MEMORY)
        )  # fmt: skip
        joins = full.outcome.viewers / full.join_cpu
        report.add(Row("joins per CPU second", f"{joins:.0f}", "", "", f"≥ {AIM_JOINS:g}", joins >= AIM_JOINS))
    for name, runs in (("Ghost Live", mine), ("Janus", theirs)):
        for viewers, one in runs.items():
            report.notes.append(
                f"{name}, {viewers} viewers: {one.cpu / one.outcome.seconds:.0%} of a core, "
                f"loss {one.outcome.loss:.3%}, "
                f"{one.outcome.silent} got nothing, load generator {one.outcome.busy:.0%}"
            )


@contextmanager
def _ours(folder: Path, clip: Clip) -> Iterator[Callable[..., Measured]]:
    with ghostlive(folder / "data", LIMITS) as program:
        key = program.add_stream("bench")
        with publishing(clip, program.rtmp_port, [key], folder):
            wait_for("the broadcast", lambda: program.stream("bench")["state"] == "live")
            url = f"{program.url}/app/bench/whep"

            empty, _ = memory_mb(pid_of(program))

            def measure(viewers: int, *, seconds: float) -> Measured:
                return _measure(Plan("whep", url, viewers, seconds), pid_of(program), empty)

            measure(1, seconds=1)  # starts what makes Opus of the sound
            yield measure


def _measure(plan: Plan, pid: int, empty: float) -> Measured:
    """`empty` is the server's memory in MB without viewers: what one step freed, the next one uses."""
    before = cpu_seconds(pid)
    with loading("bench.webrtc_viewers", plan) as go:
        join_cpu = cpu_seconds(pid) - before
        told, cpu = go(pid)
        full, _ = memory_mb(pid)
    return Measured(Outcome(**told), cpu, (full - empty) * 1000 / plan.viewers, join_cpu)


@contextmanager
def _janus(folder: Path) -> Iterator[Callable[..., Measured]]:
    home = folder / "janus"
    home.mkdir()
    port, audio, video = free_port(), free_port(), free_port()
    for name, text in _configuration(home, port, audio, video).items():
        (home / name).write_text(text)
    with pinned(SERVER_CORE):
        process = subprocess.Popen(
            ["janus", "-C", str(home / "janus.jcfg"), "-F", str(home)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    feed = _feed(folder, audio, video)
    url = f"http://127.0.0.1:{port}/janus"
    try:
        wait_for("Janus", lambda: _up(url))
        empty, _ = memory_mb(process.pid)

        def measure(viewers: int, *, seconds: float) -> Measured:
            return _measure(Plan("janus", url, viewers, seconds), process.pid, empty)

        yield measure
    finally:
        feed.kill()
        feed.wait()
        process.kill()
        process.wait()


def _up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/info").status_code == 200
    except httpx.TransportError:
        return False


def _feed(folder: Path, audio: int, video: int) -> subprocess.Popen[bytes]:
    """The same pictures by RTP, with the sound as Opus."""
    long = folder / "long.mkv"  # looping while sending breaks the timestamps of pictures
    subprocess.run(
        [
            "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-stream_loop", "60",
            "-i", str(folder / "clip-1280x720.flv"), "-c:v", "copy", "-c:a", "libopus", "-b:a", "96k", str(long),
        ],
        check=True,
    )  # fmt: skip
    return subprocess.Popen(
        [
            "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-i", str(long),
            "-map", "0:v", "-c", "copy", "-bsf:v", "dump_extra", "-payload_type", "100",
            "-f", "rtp", f"rtp://127.0.0.1:{video}?pkt_size=1200",
            "-map", "0:a", "-c", "copy", "-payload_type", "111",
            "-f", "rtp", f"rtp://127.0.0.1:{audio}?pkt_size=1200",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _configuration(home: Path, port: int, audio: int, video: int) -> dict[str, str]:
    plugins = ",".join(path.name for path in (JANUS / "plugins").glob("*.so") if "streaming" not in path.name)
    transports = ",".join(path.name for path in (JANUS / "transports").glob("*.so") if "http" not in path.name)
    return {
        "janus.jcfg": f"""
            general: {{
                configs_folder = "{home}"; plugins_folder = "{JANUS}/plugins"; transports_folder = "{JANUS}/transports";
                events_folder = "{JANUS}/events"; loggers_folder = "{JANUS}/loggers";
                debug_level = 2; interface = "127.0.0.1"; session_timeout = 0;
            }}
            media: {{ rtp_port_range = "20000-60000"; dtls_mtu = 1200 }}
            nat: {{ ice_lite = true; full_trickle = false }}
            plugins: {{ disable = "{plugins}" }}
            transports: {{ disable = "{transports}" }}
        """,
        "janus.transport.http.jcfg": f"""
            general: {{ base_path = "/janus"; http = true; port = {port}; ip = "127.0.0.1"; https = false }}
            admin: {{ admin_http = false }}
        """,
        "janus.plugin.streaming.jcfg": f"""
            bench: {{
                type = "rtp"; id = 1; audio = true; video = true; videobufferkf = true;
                audioport = {audio}; audiopt = 111; audiocodec = "opus"; audioiface = "127.0.0.1";
                videoport = {video}; videopt = 100; videocodec = "h264"; videoiface = "127.0.0.1";
                videofmtp = "profile-level-id=42e01f;packetization-mode=1";
            }}
        """,
    }


if __name__ == "__main__":
    main()
