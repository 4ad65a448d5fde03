"""Which kernel this installation has. `GHOSTLIVE_PYTHON_KERNEL=1` in the environment forces the one in Python."""

import os
from collections.abc import Callable
from typing import Final

from ghostlive.protocols.webrtc.fanout.twin import PythonKernel
from ghostlive.protocols.webrtc.fanout.types import Kernel

SWITCH: Final = "GHOSTLIVE_PYTHON_KERNEL"

reason: str
"""Why the kernel is the one in Python; empty for the native one."""
make_native: Callable[[int], Kernel] | None = None

try:
    from ghostlive.protocols.webrtc.fanout._kernel import NativeKernel
except ImportError as error:
    reason = f"the native kernel is not there: {error}"
else:
    make_native = NativeKernel
    reason = f"{SWITCH} is set" if os.environ.get(SWITCH) else ""


def make_kernel(fd: int) -> Kernel:
    """A kernel that sends through the UDP socket `fd`, or only protects when that is -1."""
    return PythonKernel(fd) if reason or make_native is None else make_native(fd)
