"""The broadcast that benchmarks send: some seconds of H.264 and AAC, made once by ffmpeg, sent again and again.

Messages are written once; sending them again costs a sender nothing but the system call. Their timestamps are
differences, so that one loop's bytes go on where the last one's ended.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, cast

from ghostlive.protocols.rtmp.parser import amf0
from ghostlive.protocols.rtmp.parser.amf import Writable
from ghostlive.protocols.rtmp.parser.chunk import ChunkReader, ChunkWriter
from ghostlive.protocols.rtmp.parser.handshake import ClientHandshake
from ghostlive.protocols.rtmp.parser.message import Message, MessageType, set_chunk_size

RATE: Final = 30
CHUNK_SIZE: Final = 4096
_VIDEO, _AUDIO = 9, 8
_CHUNK_STREAMS: Final = {_VIDEO: 6, _AUDIO: 4}
CELL: Final = 32
"""Pixels of one bit in the picture, see `numbered`."""
BITS: Final = 9


@dataclass(frozen=True)
class Clip:
    """Messages as an encoder would send them, by time."""

    headers: tuple[Message, ...]
    """The codecs' configurations."""
    messages: tuple[Message, ...]
    duration_ms: int

    @property
    def bitrate(self) -> float:
        """Bits per second."""
        return sum(len(message.payload) for message in self.messages) * 8000 / self.duration_ms


def make_clip(
    folder: Path, *, width: int, height: int, video: int, audio: int = 128_000, seconds: int = 8, numbered: bool = False
) -> Clip:
    """Encode a moving picture with noise, to these bits per second. `seconds` is a multiple of 8.

    With `numbered` every picture has its number (modulo 2⁹) in the upper left corner: a cell of `CELL` pixels for
    each bit, lowest first, white for 1.
    """
    picture = f"testsrc2=size={width}x{height}:rate={RATE},noise=alls=12:allf=t"
    if numbered:
        picture += f",drawbox=x=0:y=0:w={BITS * CELL}:h={CELL}:color=black:t=fill"
        for bit in range(BITS):
            on = f"gte(mod(n\\,{2 << bit})\\,{1 << bit})"
            picture += f",drawbox=x={bit * CELL}:y=0:w={CELL}:h={CELL}:color=white:t=fill:enable='{on}'"
    file = folder / f"clip-{width}x{height}.flv"
    subprocess.run(
        [
            "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y",
            "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
            "-t", str(seconds + 1), "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main",
            "-pix_fmt", "yuv420p",
            "-g", str(2 * RATE), "-sc_threshold", "0", "-bf", "0", "-b:v", str(video), "-maxrate", str(video),
            "-bufsize", str(video), "-c:a", "aac", "-b:a", str(audio), "-ac", "2", "-f", "flv", str(file),
        ],
        check=True,
    )  # fmt: skip
    return _cut(file.read_bytes(), seconds)


def _cut(flv: bytes, seconds: int) -> Clip:
    """The first `seconds` of an FLV file, with even timestamps: 30 pictures and 46.875 AAC frames a second."""
    headers: list[Message] = []
    found: dict[int, list[bytes]] = {_VIDEO: [], _AUDIO: []}
    at = 13
    while at + 11 <= len(flv):
        kind, size = flv[at], int.from_bytes(flv[at + 1 : at + 4], "big")
        body = flv[at + 11 : at + 11 + size]
        at += size + 15
        if kind in found:
            if body[1] == 0:
                headers.append(Message(kind, 1, 0, body))
            elif body[1] == 1:
                found[kind].append(body)
    pictures, sounds = found[_VIDEO][: seconds * RATE], found[_AUDIO][: seconds * 375 // 8]
    messages = [Message(_VIDEO, 1, round(index * 1000 / RATE), body) for index, body in enumerate(pictures)]
    messages += [Message(_AUDIO, 1, round(index * 64 / 3), body) for index, body in enumerate(sounds)]
    messages.sort(key=lambda message: (message.timestamp, message.type))
    return Clip(tuple(headers), tuple(messages), seconds * 1000)


class Encoder(asyncio.Protocol):
    """Publishes a clip for ever, at the pace of its timestamps."""

    def __init__(
        self, clip: Clip, url: str, key: str, *, on_sent: Callable[[int, Message], None] | None = None
    ) -> None:
        """`url` is `rtmp://host:port/app`. `on_sent(n, message)` is told of each picture before it leaves."""
        self._clip = clip
        self._url = url
        self._key = key
        self._on_sent = on_sent
        self._handshake = ClientHandshake(bytes)
        self._connected = False
        self._reader = ChunkReader(max_message=1 << 20, max_streams=64)
        self._writer = ChunkWriter()
        self._transport: asyncio.WriteTransport | None = None
        self.published = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._handshake.data_to_send())

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        assert self._transport is not None
        if not self._connected:
            self._handshake.receive(data)
            self._transport.write(self._handshake.data_to_send())
            if not self._handshake.done:
                return
            self._connected = True
            data = self._handshake.rest
            self._connect()
        for message in self._reader.receive(data):
            if message.type == MessageType.COMMAND_AMF0:
                name, _, *values = amf0.decode(message.payload)
                status = values[-1] if values else None
                if name == "onStatus" and isinstance(status, dict) and not self.published.done():
                    if status.get("code") == "NetStream.Publish.Start":
                        self.published.set_result(None)
                    else:
                        self.published.set_exception(RuntimeError(f"refused: {status}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        lost = RuntimeError(f"the server closed the connection: {exc}")
        if not self.published.done():
            self.published.set_exception(lost)
        if not self.closed.done():
            self.closed.set_result(lost)

    def _send(self, message: Message, csid: int) -> None:
        assert self._transport is not None
        self._transport.write(self._writer.write(message, csid))

    def _connect(self) -> None:
        self._send(set_chunk_size(CHUNK_SIZE), 2)
        self._writer.chunk_size = CHUNK_SIZE
        settings: Writable = {"app": "app", "tcUrl": self._url, "flashVer": "FMLE/3.0 (bench)", "type": "nonprivate"}
        calls: list[tuple[str, int, list[Writable]]] = [
            ("connect", 0, [settings]),
            ("releaseStream", 0, [None, self._key]),
            ("FCPublish", 0, [None, self._key]),
            ("createStream", 0, [None]),
            ("publish", 1, [None, self._key, "live"]),
        ]
        for number, (name, stream, values) in enumerate(calls, 1):
            self._send(Message(MessageType.COMMAND_AMF0, stream, 0, amf0.encode(name, number, *values)), 3)

    async def run(self, offset: float = 0.0) -> None:
        """Send until the connection closes; `offset` seconds later than the others, so that not all send at once."""
        await self.published
        assert self._transport is not None
        values = {"videocodecid": 7.0, "audiocodecid": 10.0, "width": 0.0, "height": 0.0}
        metadata = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))
        self._send(Message(MessageType.DATA_AMF0, 1, 0, metadata), 4)
        for header in self._clip.headers:
            self._send(header, _CHUNK_STREAMS[header.type])
        first, later = _serialize(self._clip)
        loop = asyncio.get_running_loop()
        begin = loop.time() + offset
        pictures = 0
        pieces = first
        while not self.closed.done():
            for message, piece in zip(self._clip.messages, pieces, strict=True):
                wait = begin + message.timestamp / 1000 - loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                if self.closed.done():
                    return
                if message.type == _VIDEO:
                    if self._on_sent is not None:
                        self._on_sent(pictures, message)
                    pictures += 1
                self._transport.write(piece)
            begin += self._clip.duration_ms / 1000
            pieces = later

    def abort(self) -> None:
        """Close without a goodbye."""
        if self._transport is not None:
            self._transport.abort()


@cache
def _serialize(clip: Clip) -> tuple[list[bytes], list[bytes]]:
    """The chunks of each message, for the first time and for all later ones."""
    pieces: list[bytes] = []
    last: dict[int, int] = {}
    for turn in range(2):
        for message in clip.messages:
            timed = replace(message, timestamp=message.timestamp + turn * clip.duration_ms)
            pieces.append(_chunks(timed, last.get(message.type)))
            last[message.type] = timed.timestamp
    count = len(clip.messages)
    return pieces[:count], pieces[count:]


def _chunks(message: Message, last: int | None) -> bytes:
    """A message with an absolute time at first, and the difference to the one before later."""
    csid = _CHUNK_STREAMS[message.type]
    kind, time = (0, message.timestamp) if last is None else (1, message.timestamp - last)
    out = bytearray([kind << 6 | csid])
    out += time.to_bytes(3, "big") + len(message.payload).to_bytes(3, "big") + bytes([message.type])
    if kind == 0:
        out += message.stream.to_bytes(4, "little")
    for start in range(0, len(message.payload), CHUNK_SIZE):
        if start:
            out.append(0xC0 | csid)
        out += message.payload[start : start + CHUNK_SIZE]
    return bytes(out)


async def connect(clip: Clip, port: int, key: str, **more: Callable[[int, Message], None]) -> Encoder:
    """Connect to an RTMP server on this machine and begin to publish."""
    loop = asyncio.get_running_loop()
    _, encoder = await loop.create_connection(
        lambda: Encoder(clip, f"rtmp://127.0.0.1:{port}/app", key, **more), "127.0.0.1", port
    )
    await asyncio.wait_for(encoder.published, 15)
    return encoder


@asynccontextmanager
async def broadcasting(clip: Clip, port: int, key: str) -> AsyncIterator[None]:
    """Publish `clip` from this process; ended as a power cut would."""
    encoder = await connect(clip, port, key)
    run = asyncio.ensure_future(encoder.run())
    try:
        yield
    finally:
        encoder.abort()
        await run
