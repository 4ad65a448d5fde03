"""The peer of `bench.chat_fanout`: the simplest chat gateway that the `websockets` library makes, on uvloop.

It keeps nothing, checks nothing and stores nothing: every message goes to everybody through the library's `broadcast`.
"""

import asyncio
import resource
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

_viewers: set[ServerConnection] = set()


async def _viewer(connection: ServerConnection) -> None:
    _viewers.add(connection)
    try:
        async for message in connection:
            broadcast(_viewers, message)
    finally:
        _viewers.discard(connection)


async def _main(port: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # The load generator parses no frames, so it would not answer the library's pings.
    async with serve(_viewer, "127.0.0.1", port, backlog=2048, ping_interval=None):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
