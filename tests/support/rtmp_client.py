"""An RTMP encoder without IO: what it says, byte for byte, and what it is told.

Two peers in memory: `connect_pair(session, encoder)` carries bytes until both are silent.
"""

import random
from collections.abc import Iterable

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.flv import Packet, PacketKind, build_audio, build_video
from ghostlive.protocols.rtmp.events import Event
from ghostlive.protocols.rtmp.parser import amf0
from ghostlive.protocols.rtmp.parser.amf import Value, Writable
from ghostlive.protocols.rtmp.parser.chunk import ChunkReader, ChunkWriter
from ghostlive.protocols.rtmp.parser.handshake import ClientHandshake
from ghostlive.protocols.rtmp.parser.message import Message, MessageType, set_chunk_size
from ghostlive.protocols.rtmp.session import Session


class RtmpClient:
    """Speaks like an encoder. Methods queue bytes, `receive` takes the server's."""

    def __init__(self, *, scheme: int | None = None, seed: int = 1) -> None:
        self.handshake = ClientHandshake(random.Random(seed).randbytes, scheme=scheme)
        self.reader = ChunkReader(max_message=1 << 20, max_streams=64)
        self.writer = ChunkWriter()
        self.output = bytearray()
        self.messages: list[Message] = []
        self.commands: list[list[Value]] = []
        self._transaction = 0

    def receive(self, data: bytes) -> None:
        """Take the server's bytes."""
        if not self.handshake.done:
            self.handshake.receive(data)
            data = self.handshake.rest
        for message in self.reader.receive(data):
            self.messages.append(message)
            if message.type == MessageType.COMMAND_AMF0:
                self.commands.append(amf0.decode(message.payload))

    def data_to_send(self) -> bytes:
        """Bytes for the server; what was queued during the handshake comes behind it."""
        data = self.handshake.data_to_send()
        if self.handshake.done:
            data += bytes(self.output)
            self.output.clear()
        return data

    def send(self, message: Message, csid: int = 3) -> None:
        """Queue a message."""
        self.output += self.writer.write(message, csid)

    def set_chunk_size(self, size: int) -> None:
        self.send(set_chunk_size(size), 2)
        self.writer.chunk_size = size

    def command(self, name: str, *arguments: Writable, stream: int = 0, amf3: bool = False) -> None:
        """Queue a command, with the next transaction id."""
        self._transaction += 1
        body = amf0.encode(name, self._transaction, *arguments)
        kind = MessageType.COMMAND_AMF3 if amf3 else MessageType.COMMAND_AMF0
        self.send(Message(kind, stream, 0, b"\x00" + body if amf3 else body))

    def connect(self, app: str = "app", tc_url: str = "rtmp://host/app", **more: Writable) -> None:
        self.command("connect", {"app": app, "tcUrl": tc_url, "flashVer": "FMLE/3.0 (test)", **more})

    def publish(self, name: str, stream: int = 1) -> None:
        """As OBS does: releaseStream, FCPublish, createStream, publish."""
        self.command("releaseStream", None, name)
        self.command("FCPublish", None, name)
        self.command("createStream", None)
        self.command("publish", None, name, "live", stream=stream)

    def unpublish(self, name: str) -> None:
        self.command("FCUnpublish", None, name)
        self.command("deleteStream", None, 1.0)

    def metadata(self, values: dict[str, Writable]) -> None:
        body = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))
        self.send(Message(MessageType.DATA_AMF0, 1, 0, body), 4)

    def packet(self, packet: Packet, timestamp: int, *, enhanced: bool = False, multitrack: bool = False) -> None:
        """Queue a packet of audio or video."""
        video = packet.codec.kind is TrackKind.VIDEO
        build = build_video if video else build_audio
        body = build(packet, enhanced=enhanced, multitrack=multitrack)
        kind = MessageType.VIDEO if video else MessageType.AUDIO
        self.send(Message(kind, 1, timestamp & 0xFFFFFFFF, body), 6 if video else 4)

    def config(self, codec: Codec, data: bytes, timestamp: int = 0, *, enhanced: bool = False) -> None:
        """Queue a sequence header."""
        self.packet(Packet(PacketKind.CONFIG, codec, data), timestamp, enhanced=enhanced)

    def statuses(self) -> list[tuple[str, str]]:
        """Code and description of every `onStatus`, and of every refused call."""
        refused = [values[-1] for values in self.commands if values[0] in ("onStatus", "_error")]
        return [(str(info["code"]), str(info["description"])) for info in refused if isinstance(info, dict)]


def exchange(session: Session, client: RtmpClient, now: float) -> list[Event]:
    """Carry bytes to and fro until both are silent; the session's events."""
    events: list[Event] = []
    while True:
        up = client.data_to_send()
        events += session.receive_data(up, now) if up else []
        down = session.data_to_send()
        if not up and not down:
            return events
        client.receive(down)


def split(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut bytes into pieces of these sizes, and a rest."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]
