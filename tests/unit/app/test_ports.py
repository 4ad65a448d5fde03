"""Who holds a port."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ghostlive.app.ports import describe_port_owner

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc here")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_our_own_port(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((address, 0))
        except OSError:
            pytest.skip(f"{address} is not there")
        listener.listen()
        assert describe_port_owner(listener.getsockname()[1]).endswith(f"(process {os.getpid()})")


def test_the_port_of_another_process(tmp_path: Path) -> None:
    script = tmp_path / "nightowl.py"
    script.write_text(
        "import socket, sys\nlistener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert describe_port_owner(port) == f"nightowl.py (process {process.pid})"
        process.communicate()


def test_a_port_that_is_bound_but_not_listening_is_nobodys() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert describe_port_owner(bound.getsockname()[1]) == "another program"


def test_a_program_that_hides(tmp_path: Path) -> None:
    """As seen without root: the table shows the socket, the process's files do not open."""
    (tmp_path / "net").mkdir()
    line = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4242 1 x 100 0 0 10 0\n"
    (tmp_path / "net" / "tcp").write_text("  sl  local_address …\n" + line)
    assert describe_port_owner(80, proc=tmp_path) == "another program"
    assert describe_port_owner(81, proc=tmp_path) == "another program"
    process = tmp_path / "7" / "fd"
    process.mkdir(parents=True)
    (process / "3").symlink_to("socket:[4242]")
    (tmp_path / "7" / "cmdline").write_bytes(b"/usr/sbin/nginx\0-g\0")
    assert describe_port_owner(80, proc=tmp_path) == "nginx (process 7)"
    (tmp_path / "7" / "cmdline").write_bytes(b"")
    (tmp_path / "7" / "comm").write_text("kworker\n")
    assert describe_port_owner(80, proc=tmp_path) == "kworker (process 7)"
    (tmp_path / "nobody").mkdir()
    assert describe_port_owner(80, proc=tmp_path / "nobody") == "another program"
