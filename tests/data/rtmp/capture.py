"""Record what an encoder sends: `python -m tests.data.rtmp.capture FILE [PORT]`, then publish to rtmp://localhost:PORT.

Answers like the server, lets everybody publish, and writes every byte of the first connection to FILE.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from ghostlive.protocols.rtmp.config import RtmpConfig
from ghostlive.protocols.rtmp.events import PublishRequested
from ghostlive.protocols.rtmp.session import Session, State


async def _record(file: Path, port: int) -> None:
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(RtmpConfig(), random=os.urandom, now=time.monotonic())
        with file.open("wb") as output:
            while data := await reader.read(65536):
                output.write(data)
                events = session.receive_data(data, time.monotonic())
                if any(isinstance(event, PublishRequested) for event in events):
                    session.accept_publish(time.monotonic())
                writer.write(session.data_to_send())
                if session.state is State.CLOSED:
                    print(session.error)
                    break
        writer.close()
        done.set()

    async with await asyncio.start_server(talk, "127.0.0.1", port):
        await done.wait()


if __name__ == "__main__":
    asyncio.run(_record(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 19350))
