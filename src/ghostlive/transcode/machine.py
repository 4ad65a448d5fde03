"""What this process may use of the machine: processors and memory, as a container's limits leave them."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> float:
    """Processor cores that this process may use: those of the machine that it may run on, less a container's quota."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        return max(min(count, int(quota) / int(period)), 0.1)
    return count


def usable_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes of memory that this process may use: the machine's, less a container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(cgroup / "memory.max")
    return min(total, int(limit)) if limit.isdecimal() else total


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
