"""Who listens on a port, so that "already in use" says by whom. Linux only; elsewhere nobody knows."""

from pathlib import Path

_LISTEN = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
"""States of a socket that takes what comes, by table."""
_PROC = Path("/proc")


def describe_port_owner(port: int, *, proc: Path = _PROC) -> str:
    """Who has `port`, by TCP or UDP, to be read after "in use by": `nginx (process 812)`, or `another program`."""
    sockets = _listening_sockets(port, proc)
    if not sockets:
        return "another program"
    hidden = False
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(_target(file) in sockets for file in (process / "fd").iterdir()):
                return f"{_name(process)} (process {process.name})"
        except PermissionError:
            hidden = True
        except OSError:  # it ended while we looked
            continue
    return "a program of another user" if hidden else "another program"


def _listening_sockets(port: int, proc: Path) -> set[str]:
    """Names of the listening sockets on `port`, as links in `/proc/PID/fd` show them."""
    sockets = set()
    for table, listening in _LISTEN.items():
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()  # sl local_address rem_address st … uid timeout inode
            if columns[3] == listening and int(columns[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{columns[9]}]")
    return sockets


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def _name(process: Path) -> str:
    """The program's name; for an interpreter, its script's name."""
    arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    name = Path(arguments[0]).name
    if name.startswith("python") and len(arguments) > 1 and not arguments[1].startswith("-"):
        name = Path(arguments[1]).name
    return name or (process / "comm").read_text().strip()
