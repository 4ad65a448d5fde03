"""Whole servers that run their own homeservers, each as on a machine of its own: a network namespace with a name, an
address and port 443 with TLS, so that they find each other as on the internet (`.well-known`, no port in the name).

    with towns(folder, ["alpha.test", "beta.test"]) as (alpha, beta):
        eve = beta.person("eve")

Their addresses are of those that nobody may use (240.0.0.0/4): a homeserver speaks with none of a private network.
"""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
from tests.support.federation import Authority
from tests.support.matrix_house import CHAT_ALONE
from tests.support.program import Program, command, free_port, get
from tests.support.synapse import START_WITHIN, Person

# Room for a bridge and fifteen towns for each process: other tests may run beside this one.
_NETWORK: Final = int(IPv4Address("240.0.0.0")) + os.getpid() % 0x8000 * 16
_PASSWORD: Final = "a password"
_TLS_PORT: Final = 443
_EXEC: Final = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
"""`ip netns exec` gives a program a view of its own of the files, too."""


@dataclass
class Town(Program):
    """A `ghostlive serve` with a managed homeserver, in a namespace."""

    name: str = ""
    """Of the homeserver; where its pages and clients are, with `https://`."""
    address: str = ""
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.http_port}"

    @property
    def room_alias(self) -> str:
        """Of the stream `open`."""
        return f"#live_open:{self.name}"

    def inside(self, *arguments: str) -> str:
        """Run another `ghostlive` command there; what it prints."""
        done = subprocess.run(
            [*self.prefix, command(), *arguments, "--data", str(self.data)],
            env=self.environ(), input=f"{_PASSWORD}\n", capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def person(self, name: str) -> Person:
        """Somebody with an account on its homeserver, signed in."""
        self.inside("matrix", "admin", "--user", name)
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": _PASSWORD}
        made = self.call("POST", "login", body)
        return Person(made["user_id"], made["access_token"])

    def call(self, method: str, path: str, body: Any = None, *, by: Person | None = None, **query: str) -> Any:
        """A request of a Matrix client. Raises `httpx.HTTPStatusError` for a refusal."""
        answer = httpx.request(
            method,
            f"{self.url}/_matrix/client/v3/{path}",
            json=body,
            headers={} if by is None else {"Authorization": f"Bearer {by.token}"},
            params=query,
            timeout=START_WITHIN,
            verify=False,
        )
        return answer.raise_for_status().json()

    def join(self, person: Person, alias: str) -> str:
        """Join a room, also of another town; its ID."""
        via = alias.partition(":")[2]
        return str(self.call("POST", f"join/{quote(alias)}", {}, by=person, server_name=via)["room_id"])

    def say(self, person: Person, room: str, text: str) -> str:
        """Say something; the event's ID."""
        path = f"rooms/{quote(room)}/send/m.room.message/{os.urandom(8).hex()}"
        return str(self.call("PUT", path, {"msgtype": "m.text", "body": text}, by=person)["event_id"])

    def read(self, person: Person, room: str) -> list[dict[str, Any]]:
        """The last messages of a room, oldest first."""
        newest = {"dir": "b", "limit": "50", "filter": json.dumps({"types": ["m.room.message"]})}
        events: list[dict[str, Any]] = self.call("GET", f"rooms/{quote(room)}/messages", by=person, **newest)["chunk"]
        return events[::-1]

    def has_homeserver(self) -> bool:
        """Whether clients get an answer."""
        return get(f"{self.url}/_matrix/client/versions").status_code == 200


@contextmanager
def towns(folder: Path, names: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[list[Town]]:
    """Started servers that know each other's names; they are ended afterwards. For root (`tests.support.line`)."""
    authority = Authority.make(folder)
    addresses = {name: str(IPv4Address(_NETWORK + 2 + at)) for at, name in enumerate(names)}
    hosts = folder / "hosts"
    hosts.write_text(
        "".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **addresses}.items())
    )
    bridge = f"gl{os.getpid()}b"
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{IPv4Address(_NETWORK + 1)}/28", "dev", bridge)
        _ip("link", "set", bridge, "up")
        found = []
        for at, (name, address) in enumerate(addresses.items()):
            prefix = _move_in(stack, at, address, bridge, hosts)
            port = free_port()
            certificate, key = authority.sign(name)
            door = [*prefix, sys.executable, "-m", "tests.support.towns", str(certificate), str(key), str(port)]
            process = subprocess.Popen(door)
            stack.callback(process.wait)
            stack.callback(process.kill)
            settings = {
                **CHAT_ALONE,
                "GHOSTLIVE_HTTP__HOST": "0.0.0.0",
                "GHOSTLIVE_SERVER__PUBLIC_HOST": name,
                "GHOSTLIVE_MATRIX__MODE": "managed",
                "GHOSTLIVE_MATRIX__FEDERATION": "true",
                "GHOSTLIVE_MATRIX__PUBLIC_BASEURL": f"https://{name}",
                "SSL_CERT_FILE": str(authority.file),
                **(environment or {}),
            }
            town = Town(folder / name, settings, prefix, http_port=port, name=name, address=address)
            stack.callback(_end, town)
            town.start()
            found.append(town)
        yield found


def _move_in(stack: ExitStack, number: int, address: str, bridge: str, hosts: Path) -> list[str]:
    """Make a namespace that is joined to the bridge; the command that runs a program in it."""
    namespace, link = f"ghostlive-{os.getpid()}-{number}", f"gl{os.getpid()}{number}"
    _ip("netns", "add", namespace)
    stack.callback(_ip, "netns", "del", namespace)
    _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _ip("link", "set", link, "master", bridge, "up")
    _ip("-n", namespace, "addr", "add", f"{address}/28", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip("-n", namespace, "link", "set", device, "up")
    return ["ip", "netns", "exec", namespace, "sh", "-c", _EXEC, "sh", str(hosts)]


def _end(town: Town) -> None:
    if town.process is not None and town.process.poll() is None:
        town.stop(signal.SIGKILL)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr}")


async def _front(certificate: str, key: str, port: str) -> None:
    """End TLS, as the proxy of an operator does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one side is gone, and so is the other then
        finally:
            writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, there = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:  # it has not started yet
            writer.close()
            return
        await asyncio.gather(pass_on(reader, there), pass_on(back, writer))

    server = await asyncio.start_server(carry, "0.0.0.0", _TLS_PORT, ssl=context)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_front(*sys.argv[1:]))
