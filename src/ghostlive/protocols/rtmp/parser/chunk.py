"""The chunk stream: messages cut in pieces and interleaved (RTMP §5.3).

`ChunkReader` obeys Set Chunk Size and Abort by itself and hands out every other message; `ChunkWriter` writes with
the smallest header that says the same.

Cost matters here, this is the first thing that happens to every byte. Input is appended to one buffer, headers are
read in place, a chunk is taken only when it is there whole, and a run of equal continuation headers (what 128-byte
chunks mostly are) is cut out in one slice.

Invariant: at most `max_message` + `max_held` bytes and `max_streams` chunk streams are held for a peer.
"""

from ghostlive.protocols.rtmp.errors import ChunkError, LimitError
from ghostlive.protocols.rtmp.parser.message import Message, MessageType, number

DEFAULT_CHUNK_SIZE = 128
_EXTENDED = 0xFFFFFF
_HEADER_SIZES = (11, 7, 3, 0)
_RUN = 64
"""Longest run of chunks taken at once: bounds what an interleaving peer can make us look at in vain."""


class _Inbound:
    """The last header of one chunk stream, and the message that is coming in on it."""

    __slots__ = ("delta", "extended", "length", "payload", "stream", "timestamp", "type")

    def __init__(self) -> None:
        self.timestamp = 0
        self.delta = 0
        self.extended = False
        self.length = 0
        self.type = 0
        self.stream = 0
        self.payload: bytearray | None = None


class ChunkReader:
    """Chunks to messages."""

    def __init__(self, *, max_message: int, max_streams: int) -> None:
        """`max_message` limits the bytes of a message, `max_streams` the number of chunk streams."""
        self._max_message = max_message
        self._max_streams = max_streams
        self._max_held = 2 * max_message
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._buffer = bytearray()
        self._streams: dict[int, _Inbound] = {}
        self._held = 0
        self._messages: list[Message] = []

    def receive(self, data: bytes) -> list[Message]:
        """Take bytes, in any split; return the messages that are complete now."""
        buffer = self._buffer
        buffer += data
        messages = self._messages = []
        position, end = 0, len(buffer)
        while position < end:
            behind = self._take(position, end)
            if not behind:
                break
            position = behind
        del buffer[:position]
        return messages

    def _take(self, start: int, end: int) -> int:
        """Take one chunk (or a run of them) at `start`; return where the next begins, or 0 when it is not all there.

        Nothing may be changed before all of the chunk is there: it will be looked at again.
        """
        # Basic header, §5.3.1.1.
        buffer = self._buffer
        first = buffer[start]
        kind = first >> 6
        csid = first & 0x3F
        at = start + 1
        if csid < 2:
            at += csid + 1
            if at > end:
                return 0
            csid = 64 + buffer[start + 1] + (buffer[start + 2] << 8 if csid else 0)
        if end - at < _HEADER_SIZES[kind]:
            return 0
        stream = self._streams.get(csid)
        if stream is None:
            stream = self._open(csid, kind)
        if kind < 3:
            if stream.payload is not None:
                raise ChunkError(f"a message begins on chunk stream {csid} before the last one ended")
            return self._take_first(stream, kind, at, end)
        if stream.payload is None:
            return self._take_repeated(stream, at, end)
        return self._take_continuation(stream, stream.payload, start, at, end)

    def _open(self, csid: int, kind: int) -> _Inbound:
        # Strictly only type 0 may open a chunk stream; librtmp opens some with type 1.
        if kind > 1:
            raise ChunkError(f"chunk stream {csid} begins with a type {kind} header, which needs one before it")
        if len(self._streams) >= self._max_streams:
            raise LimitError(f"more than {self._max_streams} chunk streams")
        stream = self._streams[csid] = _Inbound()
        return stream

    def _take_first(self, stream: _Inbound, kind: int, at: int, end: int) -> int:
        """A chunk with a header of type 0, 1 or 2 (§5.3.1.2.1 to 3), which begins a message."""
        buffer = self._buffer
        time = int.from_bytes(buffer[at : at + 3], "big")
        length, type_, stream_id = stream.length, stream.type, stream.stream
        if kind < 2:
            length = int.from_bytes(buffer[at + 3 : at + 6], "big")
            type_ = buffer[at + 6]
            if length > self._max_message:
                raise LimitError(f"a message of {length} bytes; at most {self._max_message} are accepted")
        if kind == 0:
            stream_id = int.from_bytes(buffer[at + 7 : at + 11], "little")
        at += _HEADER_SIZES[kind]
        extended = time == _EXTENDED
        if extended:
            if end - at < 4:
                return 0
            time = int.from_bytes(buffer[at : at + 4], "big")
            at += 4
        size = min(length, self._chunk_size)
        if end - at < size:
            return 0
        stream.timestamp = time if kind == 0 else (stream.timestamp + time) & 0xFFFFFFFF
        # §5.3.1.2.4: a type 3 header behind a type 0 header repeats its timestamp as the delta.
        stream.delta = time
        stream.extended = extended
        stream.length = length
        stream.type = type_
        stream.stream = stream_id
        return self._begin(stream, at, size)

    def _take_repeated(self, stream: _Inbound, at: int, end: int) -> int:
        """A type 3 chunk that begins a message: everything is as before."""
        if stream.extended:
            at += 4
        size = min(stream.length, self._chunk_size)
        if end - at < size:
            return 0
        stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
        return self._begin(stream, at, size)

    def _take_continuation(self, stream: _Inbound, payload: bytearray, start: int, at: int, end: int) -> int:
        """A type 3 chunk that goes on with a message."""
        buffer, chunk_size = self._buffer, self._chunk_size
        left = stream.length - len(payload)
        if stream.extended:
            # §5.3.1.3 repeats the extended timestamp here. Some encoders do not: look whether it is one.
            if end - at < 4:
                return 0
            if int.from_bytes(buffer[at : at + 4], "big") == stream.delta:
                at += 4
        elif left > chunk_size and at - start == 1:
            stride = chunk_size + 1
            count = min((end - start) // stride, left // chunk_size, _RUN)
            if count > 1:
                headers = buffer[start : start + count * stride : stride]
                count -= len(headers.lstrip(headers[:1]))
                run = buffer[start : start + count * stride]
                del run[::stride]
                self._append(stream, payload, run)
                return start + count * stride
        size = min(left, chunk_size)
        if end - at < size:
            return 0
        self._append(stream, payload, buffer[at : at + size])
        return at + size

    def _begin(self, stream: _Inbound, at: int, size: int) -> int:
        behind = at + size
        if size == stream.length:
            self._complete(stream, bytes(self._buffer[at:behind]))
        else:
            stream.payload = self._buffer[at:behind]
            self._hold(size)
        return behind

    def _append(self, stream: _Inbound, payload: bytearray, piece: bytearray) -> None:
        payload += piece
        if len(payload) < stream.length:
            self._hold(len(piece))
            return
        self._held -= len(payload) - len(piece)
        stream.payload = None
        self._complete(stream, bytes(payload))

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._max_held:
            raise LimitError(f"more than {self._max_held} bytes in unfinished messages")

    def _complete(self, stream: _Inbound, payload: bytes) -> None:
        if stream.type == MessageType.SET_CHUNK_SIZE:
            size = number(payload)
            if not 1 <= size <= 0x7FFFFFFF:
                raise ChunkError(f"a chunk size of {size}; it must be 1 to 2147483647")
            self._chunk_size = size
        elif stream.type == MessageType.ABORT:
            aborted = self._streams.get(number(payload))
            if aborted is not None and aborted.payload is not None:
                self._held -= len(aborted.payload)
                aborted.payload = None
        else:
            self._messages.append(Message(stream.type, stream.stream, stream.timestamp, payload))


class ChunkWriter:
    """Messages to chunks."""

    def __init__(self) -> None:
        """Chunks have 128 bytes until `chunk_size` is set, which the peer must be told before."""
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._last: dict[int, tuple[Message, int | None]] = {}

    def write(self, message: Message, csid: int) -> bytes:
        """The chunks of `message` on chunk stream `csid`, of 2 to 63 for a short header."""
        kind, time = self._choose(message, csid)
        output = bytearray(_basic_header(kind, csid))
        extended = b""
        if time >= _EXTENDED:
            extended = time.to_bytes(4, "big")
        if kind < 3:
            output += min(time, _EXTENDED).to_bytes(3, "big")
        if kind < 2:
            output += len(message.payload).to_bytes(3, "big")
            output.append(message.type)
        if kind == 0:
            output += message.stream.to_bytes(4, "little")
        output += extended
        payload, size = message.payload, self.chunk_size
        output += payload[:size]
        continuation = _basic_header(3, csid) + extended
        for start in range(size, len(payload), size):
            output += continuation
            output += payload[start : start + size]
        return bytes(output)

    def _choose(self, message: Message, csid: int) -> tuple[int, int]:
        """Header type and timestamp field for `message`, and remember it."""
        last, last_delta = self._last.get(csid, (None, None))
        if last is None or last.stream != message.stream or message.timestamp < last.timestamp:
            # No type 3 behind a type 0 header: receivers disagree on what its delta would be.
            self._last[csid] = (message, None)
            return 0, message.timestamp
        delta = message.timestamp - last.timestamp
        self._last[csid] = (message, delta)
        if last.type != message.type or len(last.payload) != len(message.payload):
            return 1, delta
        return (3 if delta == last_delta else 2), delta


def _basic_header(kind: int, csid: int) -> bytes:
    if csid < 64:
        return bytes([kind << 6 | csid])
    if csid < 320:
        return bytes([kind << 6, csid - 64])
    return bytes([kind << 6 | 1, (csid - 64) & 0xFF, (csid - 64) >> 8])
