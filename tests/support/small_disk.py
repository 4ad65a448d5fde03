"""A disk of a few megabytes, for a program that is started on it."""

import os
from pathlib import Path


def small_disk(folder: Path, megabytes: int) -> list[str]:
    """A command whose program sees a disk of that size at `folder`: a mount of its own, gone when the program is."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", *user, "sh", "-c", mount, "sh", f"{megabytes}m", str(folder)]
