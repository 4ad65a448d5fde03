"""What a worker gives up before it loads a decoder, so that a decoder that is taken over can do little.

Nothing here needs a privilege; what a kernel or a container refuses is told, and the worker runs all the same.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

FILES: Final = 256
"""Descriptors: drivers of graphics cards open dozens."""
NICENESS: Final = 10
"""Media that comes in and goes out is more urgent than renditions of it."""

# linux/prctl.h, linux/sched.h, malloc.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1
_ARENAS: Final = 4
_FRAME_BYTES: Final = 32 * 1024 * 1024


def confine(memory: int, *, files: int = FILES, niceness: int = NICENESS) -> list[str]:
    """Limit this process, which must have one thread; `memory` is in bytes.

    The answer names, in words, what could not be had.
    """
    missing: list[str] = []
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_NOFILE, files)
    if sys.platform != "linux":
        _limit(resource.RLIMIT_AS, memory)
        return ["only Linux keeps workers from the network and from gaining privileges"]
    # Written pages, not address space: drivers of graphics cards reserve more addresses than any machine has memory.
    _limit(resource.RLIMIT_DATA, memory)
    libc = ctypes.CDLL(None, use_errno=True)
    # Pictures are allocated and freed all the time: kept, they cost no page faults. An arena per thread would keep
    # as many copies.
    libc.mallopt(_M_ARENA_MAX, _ARENAS)
    libc.mallopt(_M_MMAP_THRESHOLD, _FRAME_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, 4 * _FRAME_BYTES)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        missing.append(f"a worker that can gain no privileges ({_reason()})")
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        missing.append(f"a worker without network ({_reason()})")
    # After `unshare`, which changes credentials and so forgets the signal.
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        missing.append(f"a worker that ends with the server ({_reason()})")
    return missing


def _limit(kind: int, value: int) -> None:
    """Lower a limit, never above the hard one."""
    _, hard = resource.getrlimit(kind)
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowered, lowered))


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
