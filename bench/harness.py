"""What the benchmarks share: programs pinned to a core, their CPU time and memory, medians and the table.

Two things make figures repeatable on a machine that does other things too: rates are given per second of CPU time that
the server used, so that a busy neighbour or a saturated load generator changes nothing, and runs of Ghost Live and
its peer alternate.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.table import Table
from tests.support.program import Program, free_port, wait_for

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
T = TypeVar("T")
_TICKS: Final = os.sysconf("SC_CLK_TCK")

console = Console(width=120, highlight=False)


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Programs started inside run on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder on tmpfs, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="ghostlive-bench-", dir="/dev/shm") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def cpu_seconds(*pids: int) -> float:
    """User and system time that these processes used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident and proportional memory of a process, in MB (10⁶ bytes)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE))
    return int(sizes["Rss"]) * 1024 / 1e6, int(sizes["Pss"]) * 1024 / 1e6


@contextmanager
def ghostlive(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[Program]:
    """A running `ghostlive serve`, pinned to the server's core."""
    program = Program(data, {"GHOSTLIVE_LOG__LEVEL": "warning", **(environment or {})})
    try:
        with pinned(SERVER_CORE):
            program.start()
        yield program
    except BaseException:
        console.print(program.log[-4000:], markup=False)
        raise
    finally:
        if program.process is not None and program.process.poll() is None:
            program.process.kill()
            program.process.wait()


def pid_of(program: Program) -> int:
    """The process id of a running program."""
    assert program.process is not None
    return program.process.pid


@dataclass
class Nginx:
    """A running nginx with one worker, pinned to the server's core."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def pids(self) -> list[int]:
        """The master and its worker."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]


@contextmanager
def nginx(folder: Path, http: str, outside: str = "") -> Iterator[Nginx]:
    """Run nginx on a configuration: `http` goes inside of `http {}`, `outside` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn; {user}
        load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
        events {{ worker_connections 4096; }}
        http {{
            include /etc/nginx/mime.types;
            types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s; video/mp2t ts; }}
            access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
            {temporary}
            {http}
        }}
        {outside}
    """
    file = folder / "nginx.conf"
    file.write_text(configuration)
    with pinned(SERVER_CORE):
        process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(file)], stderr=subprocess.DEVNULL)
    server = Nginx(folder, process)
    try:
        wait_for("nginx's worker", lambda: process.poll() is not None or len(server.pids) > 1)
        if process.poll() is not None:
            log = folder / "error.log"
            raise RuntimeError(f"nginx did not start: {log.read_text() if log.exists() else configuration}")
        yield server
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Load:
    """What wrk saw, and what it cost the server."""

    requests: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Requests per second that were answered."""
        return self.requests / self.seconds

    @property
    def per_core(self) -> float:
        """Requests per second of the server's CPU time."""
        return self.requests / self.cpu


def wrk(url: str, pids: Sequence[int], *, seconds: float, connections: int = 64, headers: Sequence[str] = ()) -> Load:
    """Ask for `url` again and again from the load core. Raises RuntimeError when an answer was no success."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s"]
    for header in headers:
        command += ["-H", header]
    before = cpu_seconds(*pids)
    with pinned(LOAD_CORE):
        text = subprocess.run([*command, url], check=True, capture_output=True, timeout=seconds + 60).stdout.decode()
    cpu = cpu_seconds(*pids) - before
    found = re.search(r"(\d+) requests in ([\d.]+)s", text)
    if found is None or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"wrk met errors at {url}:\n{text}")
    return Load(int(found[1]), float(found[2]), cpu)


@contextmanager
def loading(module: str, plan: Any) -> Iterator[Callable[[int], tuple[dict[str, Any], float]]]:
    """A load generator of ours on the load core, with everything open and nothing measured yet.

    `module` reads its plan (a dataclass) from its arguments, prints `ready`, waits for a line, and prints its outcome.
    What is yielded lets it go: given the server's process id, it answers with the outcome and the CPU time it cost.
    """
    with pinned(LOAD_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(asdict(plan))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def go(pid: int) -> tuple[dict[str, Any], float]:
        assert process.stdin is not None
        assert process.stdout is not None
        before = cpu_seconds(pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline()), cpu_seconds(pid) - before

    with process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the load generator ended early; what it said stands above")
        yield go


def compiled(source: str, folder: Path) -> ctypes.CDLL:
    """A file of this folder that is written in C, compiled into `folder` and loaded."""
    library = folder / Path(source).with_suffix(".so")
    command = ["cc", "-O2", "-shared", "-fPIC", str(Path(__file__).with_name(source)), "-o", str(library)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def alternate(runs: int, *measures: Callable[[], T]) -> list[list[T]]:
    """Do each measurement `runs` times, by turns; the results of each."""
    results: list[list[T]] = [[] for _ in measures]
    for _ in range(runs):
        for measure, into in zip(measures, results, strict=True):
            into.append(measure())
    return results


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


@dataclass(frozen=True)
class Row:
    """One line of a table. `met` is None where there is no aim."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    aim: str = ""
    met: bool | None = None


@dataclass
class Report:
    """The results of one script."""

    title: str
    peer: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add a line."""
        self.rows.append(row)

    def show(self) -> None:
        """Print the table."""
        table = Table(title=self.title, title_justify="left", caption_justify="left")
        for heading in ("", "Ghost Live", self.peer, "ratio", "aim", ""):
            table.add_column(heading, justify="left" if heading in ("", "aim") else "right")
        for row in self.rows:
            verdict = "" if row.met is None else "met" if row.met else "missed"
            table.add_row(row.what, row.ours, row.peer, row.ratio, row.aim, verdict)
        console.print(table)
        for note in self.notes:
            console.print(f"  {note}")
        console.print(f"  {machine()}\n")


def machine() -> str:
    """What this was measured on, in one line."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, load {load}"
    )


def need(*programs: str) -> None:
    """End with a sentence when a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise SystemExit(f"this benchmark needs {', '.join(missing)}; on Debian: apt-get install {' '.join(missing)}")


def arguments(description: str | None, *, seconds: float, runs: int) -> argparse.Namespace:
    """The options that all scripts have."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=seconds, help="length of one run (default %(default)g)")
    parser.add_argument("--runs", type=int, default=runs, help="runs of each, by turns (default %(default)d)")
    return parser.parse_args()


def ratio(ours: float, peer: float) -> str:
    """How many times the peer's figure ours is."""
    return f"{ours / peer:.2f} ×"


__all__ = [
    "LOAD_CORE", "SERVER_CORE", "Load", "Nginx", "Report", "Row", "alternate", "arguments", "compiled", "console",
    "cpu_seconds", "free_port", "ghostlive", "in_memory", "loading", "machine", "median", "memory_mb", "need", "nginx",
    "percentile", "pid_of", "pinned", "ratio", "wait_for", "wrk",
]  # fmt: skip
