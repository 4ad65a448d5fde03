"""Chat messages that are stored and acknowledged: how many a second, from many guests over real sockets.

200 guests in 100 streams, each with a few messages on their way. The disk is flushed before an acknowledgement (SQLite
in WAL mode, `synchronous = FULL`). The peer is a script without sockets that commits each message alone with the same
pragmas, on the same disk: what the simplest gateway could acknowledge at best.
"""

import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.chat_fanout import LIMITS
from bench.chat_writers import Outcome, Plan
from bench.harness import (
    SERVER_CORE,
    Report,
    Row,
    arguments,
    ghostlive,
    loading,
    median,
    pid_of,
    pinned,
    ratio,
)

STREAMS = 100
GUESTS_EACH = 2
WINDOW = 8
AIM = 5_000
_ALONE = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
columns = "stream, author, txn, name, role, text, sent_at"
database.execute(f"CREATE TABLE messages (id INTEGER PRIMARY KEY, {columns}, UNIQUE (stream, author, txn))")
insert = f"INSERT INTO messages ({columns}) VALUES (1, ?, ?, ?, 'guest', ?, '2026-01-01 00:00:00.000000')"
count, begin, seconds = 0, time.monotonic(), float(sys.argv[2])
while time.monotonic() - begin < seconds:
    count += 1
    writer = count % 200
    database.execute(insert, (f"g{writer}", f"t{count}", f"writer {writer}", f"message {count} of many"))
print(count / (time.monotonic() - begin))
"""


@dataclass(frozen=True)
class Measured:
    """One run."""

    outcome: Outcome
    cpu: float

    @property
    def per_second(self) -> float:
        """Acknowledged messages a second."""
        return self.outcome.acknowledged / self.outcome.seconds


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=10, runs=3)
    report = Report("Chat: acknowledged messages a second, on one core", "each committed alone")
    ours: list[Measured] = []
    theirs: list[float] = []
    for _ in range(options.runs):
        ours.append(_ours(options.seconds))
        theirs.append(_alone(options.seconds))
    rate, their_rate = median(run.per_second for run in ours), median(theirs)
    report.add(Row("messages/s", f"{rate:.0f}", f"{their_rate:.0f}", ratio(rate, their_rate), f"≥ {AIM}", rate >= AIM))
    report.add(Row("  server's CPU", f"{median(run.cpu for run in ours):.0%}"))
    late = [median(run.outcome.p50 for run in ours), median(run.outcome.p99 for run in ours)]
    report.add(Row("  until the ack, p99 (p50)", f"{late[1]:.0f} ms ({late[0]:.0f})"))
    report.notes.append(f"{STREAMS * GUESTS_EACH} guests in {STREAMS} streams, {WINDOW} messages of each on their way")
    report.notes.append(f"the load generator used at most {max(run.outcome.busy for run in ours):.0%} of its core")
    report.show()


def _ours(seconds: float) -> Measured:
    with tempfile.TemporaryDirectory(prefix="ghostlive-bench-") as folder:
        data = Path(folder)
        with ghostlive(data, LIMITS) as program:
            names = [f"bench{number}" for number in range(STREAMS)]
            with sqlite3.connect(data / "ghostlive.db") as database:  # the command would take a second for each
                database.executemany(
                    "INSERT INTO streams (name, created_at) VALUES (?, '2026-01-01 00:00:00.000000')",
                    [(name,) for name in names],
                )
            database.close()
            paths = [f"/api/v1/streams/{name}/chat" for name in names * GUESTS_EACH]
            return _measure(Plan(program.http_port, paths, seconds, WINDOW), pid_of(program))


def _measure(plan: Plan, pid: int) -> Measured:
    with loading("bench.chat_writers", plan) as go:
        told, cpu = go(pid)
    outcome = Outcome(**told)
    return Measured(outcome, cpu / outcome.seconds)


def _alone(seconds: float) -> float:
    with tempfile.TemporaryDirectory(prefix="ghostlive-bench-") as folder, pinned(SERVER_CORE):
        done = subprocess.run(
            [sys.executable, "-c", _ALONE, f"{folder}/alone.db", str(seconds)],
            check=True,
            capture_output=True,
            timeout=seconds + 30,
        )
    return float(done.stdout)


if __name__ == "__main__":
    main()
