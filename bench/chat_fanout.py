"""Chat fan-out: 1,000 to 10,000 WebSocket viewers and ten messages a second; how late they come and what they cost.

The peer is the simplest gateway on the `websockets` library (`bench.chat_peer`), which keeps no order, no history and
no record. Ghost Live stores each message before anybody gets it; its data are in memory here, since `bench.chat_post`
measures the disk. Delays are from the writer's `send` to the viewer's `recv`, over all viewers and all messages, with
the load generator's own part in them.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bench.chat_load import Outcome, Plan
from bench.harness import (
    SERVER_CORE,
    Report,
    Row,
    alternate,
    arguments,
    free_port,
    ghostlive,
    in_memory,
    loading,
    median,
    memory_mb,
    pid_of,
    pinned,
    ratio,
)

VIEWERS = (1_000, 5_000, 10_000)
RATE = 10.0
AIM_MS = 100.0
"""p99 with ten thousand viewers on one core."""
FILLER = "The quick brown fox jumps over the lazy dog, and nobody in this chat minds at all. "
LIMITS = {
    # All come from one address, and write more than people do.
    "GHOSTLIVE_HTTP__CONNECTIONS": "20000",
    "GHOSTLIVE_HTTP__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__GUESTS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
}


@dataclass(frozen=True)
class Measured:
    """One run."""

    outcome: Outcome
    cpu: float
    """Share of a core that the server used."""
    kilobytes: float
    """Resident memory for each open socket."""


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=10, runs=3)
    report = Report(f"Chat fan-out: {RATE:g} messages a second, server on one core", "websockets gateway")
    for viewers in VIEWERS:
        ours, theirs = alternate(
            options.runs,
            partial(_ours, viewers, options.seconds),
            partial(_peer, viewers, options.seconds),
        )
        _rows(report, viewers, ours, theirs)
    report.notes.append("medians; delays from send to recv over all viewers; the peer stores nothing")
    report.show()


def _rows(report: Report, viewers: int, ours: list[Measured], theirs: list[Measured]) -> None:
    late, their_late = (median(run.outcome.p99 for run in runs) for runs in (ours, theirs))
    cpu, their_cpu = (median(run.cpu for run in runs) for runs in (ours, theirs))
    aimed = viewers == max(VIEWERS)
    report.add(
        Row(
            f"{viewers} viewers, p99 (p50)",
            f"{late:.1f} ms ({median(run.outcome.p50 for run in ours):.1f})",
            f"{their_late:.1f} ms ({median(run.outcome.p50 for run in theirs):.1f})",
            ratio(late, their_late),
            f"≤ {AIM_MS:g} ms" if aimed else "",
            late <= AIM_MS and _whole(viewers, ours) if aimed else None,
        )
    )
    report.add(Row("  server's CPU", f"{cpu:.0%}", f"{their_cpu:.0%}", ratio(cpu, their_cpu)))
    memory, their_memory = (median(run.kilobytes for run in runs) for runs in (ours, theirs))
    report.add(
        Row("  memory for each viewer", f"{memory:.1f} kB", f"{their_memory:.1f} kB", ratio(memory, their_memory))
    )
    if not (_whole(viewers, ours) and _whole(viewers, theirs)):
        report.notes.append(f"{viewers} viewers: some messages did not arrive within 3 s, or sockets were closed")
    busy = max(run.outcome.busy for run in [*ours, *theirs])
    report.notes.append(f"{viewers} viewers: the load generator used at most {busy:.0%} of its core")


def _whole(viewers: int, runs: list[Measured]) -> bool:
    return all(run.outcome.received == run.outcome.sent * viewers and not run.outcome.lost for run in runs)


def _ours(viewers: int, seconds: float) -> Measured:
    with in_memory() as folder, ghostlive(folder / "data", LIMITS) as program:
        program.add_stream("bench")
        plan = Plan(
            port=program.http_port,
            path="/api/v1/streams/bench/chat",
            viewers=viewers,
            rate=RATE,
            seconds=seconds,
            hello='{"type":"hello"}',
            join='{"type":"join","name":"writer %d"}',
            post='{"type":"post","txn":"t%d","text":"' + FILLER + '%s"}',
        )
        return _measure(plan, pid_of(program))


def _peer(viewers: int, seconds: float) -> Measured:
    with _gateway() as (port, pid):
        # As many bytes as Ghost Live's messages have around their text.
        plan = Plan(port=port, path="/", viewers=viewers, rate=RATE, seconds=seconds, post="%0150d" + FILLER + "%s")
        return _measure(plan, pid)


@contextmanager
def _gateway() -> Iterator[tuple[int, int]]:
    port = free_port()
    with pinned(SERVER_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.chat_peer", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it writes a traceback for each viewer that the load generator drops at its end
        )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _measure(plan: Plan, pid: int) -> Measured:
    empty, _ = memory_mb(pid)
    with loading("bench.chat_load", plan) as go:
        full, _ = memory_mb(pid)
        told, cpu = go(pid)
    outcome = Outcome(**told)
    return Measured(outcome, cpu / outcome.seconds, (full - empty) * 1000 / plan.viewers)


if __name__ == "__main__":
    main()
