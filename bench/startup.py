"""Start and rest: from `exec` to the first healthy answer, and the memory of an idle server, against nginx.

Once with a fresh data directory (the database and a certificate are made) and once with an existing one. nginx has
the RTMP module and one worker; it is no equal (no database, no pages, no packager), but what people have running now.
"""

import http.client
import subprocess
import time
from functools import partial
from pathlib import Path

from tests.support.program import START_WITHIN, Program, command

from bench.harness import (
    Report,
    Row,
    alternate,
    arguments,
    cpu_seconds,
    free_port,
    in_memory,
    median,
    memory_mb,
    need,
    nginx,
    pid_of,
    ratio,
)

SECONDS_AIM = 1.5
MEMORY_AIM = 120


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=1, runs=7)
    need("nginx")
    report = Report("Start and rest", "nginx-rtmp")
    with in_memory() as folder:
        fresh, again, theirs = alternate(
            options.runs,
            partial(_ghostlive, folder, None, options.seconds),
            partial(_ghostlive, folder, folder / "data", options.seconds),
            partial(_nginx, folder, options.seconds),
        )
        peer = median(run[0] for run in theirs)
        for what, runs in (("start, fresh data directory", fresh), ("start, existing data directory", again)):
            mine = median(run[0] for run in runs)
            figures = f"{mine:.2f} s", f"{peer:.2f} s", ratio(mine, peer)
            report.add(Row(what, *figures, f"≤ {SECONDS_AIM:g} s", mine <= SECONDS_AIM))
        mine, peer = median(run[3] for run in again), median(run[3] for run in theirs)
        report.add(Row("  of which CPU time", f"{mine:.2f} s", f"{peer:.2f} s"))
        for index, what in ((1, "resident"), (2, "proportional (PSS)")):
            mine, peer = median(run[index] for run in again), median(run[index] for run in theirs)
            figures = f"{mine:.0f} MB", f"{peer:.0f} MB", ratio(mine, peer)
            report.add(Row(f"idle memory, {what}", *figures, f"≤ {MEMORY_AIM} MB", mine <= MEMORY_AIM))
    report.notes.append(
        f"Median of {options.runs} starts; memory {options.seconds:g} s later; nginx: master and worker."
    )
    report.show()


def _ghostlive(folder: Path, data: Path | None, rest: float) -> tuple[float, float, float, float]:
    """Seconds to healthy, MB resident and proportional, CPU seconds to healthy."""
    program = Program(data or folder / f"fresh-{time.monotonic_ns()}")
    if data is not None and not data.exists():
        program.start()
        program.stop()
    program.data.mkdir(exist_ok=True)
    with (program.data / "test.log").open("ab") as log:
        begin = time.monotonic()
        program.process = subprocess.Popen(
            [command(), "serve", "--data", str(program.data)], env=program.environ(), stdout=log, stderr=log
        )
    try:
        _wait_healthy(program.http_port, "/healthz", begin)
        seconds, used = time.monotonic() - begin, cpu_seconds(pid_of(program))
        time.sleep(rest)
        return (seconds, *memory_mb(pid_of(program)), used)
    finally:
        program.stop()


def _nginx(folder: Path, rest: float) -> tuple[float, float, float, float]:
    http_port, rtmp_port = free_port(), free_port()
    site = f"server {{ listen 127.0.0.1:{http_port}; location / {{ return 200 ok; }} }}"
    application = f"application app {{ live on; hls on; hls_path {folder}; }}"
    rtmp = f"rtmp {{ server {{ listen 127.0.0.1:{rtmp_port}; {application} }} }}"
    begin = time.monotonic()
    with nginx(folder / "nginx", site, rtmp) as server:
        _wait_healthy(http_port, "/", begin)
        seconds, used = time.monotonic() - begin, cpu_seconds(*server.pids)
        time.sleep(rest)
        sizes = [memory_mb(pid) for pid in server.pids]
        return seconds, sum(size[0] for size in sizes), sum(size[1] for size in sizes), used


def _wait_healthy(port: int, path: str, begin: float) -> None:
    while time.monotonic() - begin < START_WITHIN:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise RuntimeError(f"port {port} did not become healthy")


if __name__ == "__main__":
    main()
