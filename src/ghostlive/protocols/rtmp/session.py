"""The state of one encoder, without IO: bytes and `now` in, events and bytes out.

HANDSHAKE → CONNECTING → CONNECTED ⇄ DECIDING → PUBLISHING → CONNECTED, and CLOSED from everywhere.

1. After each call the driver handles the events, sends `data_to_send()`, closes the connection if the state is
   CLOSED, and looks at `next_timeout()`.
2. No byte of the peer's raises anything here: what is wrong with them closes the session, with the reason in `error`
   and in words to the peer, as far as it can hear them.

Specification: Adobe RTMP 1.0; Enhanced RTMP v2 for `connect`. Media is handed on unread, see `ingest`.
"""

from collections.abc import Callable
from enum import Enum, auto

from ghostlive.core.errors import MediaError
from ghostlive.formats.flv import split_aggregate
from ghostlive.protocols.rtmp.address import parse_target
from ghostlive.protocols.rtmp.config import RtmpConfig
from ghostlive.protocols.rtmp.errors import (
    CONNECT_REJECTED,
    PUBLISH_BAD_NAME,
    CommandError,
    LimitError,
    PeerTimeoutError,
    PublishError,
    RtmpError,
    UnusableMediaError,
)
from ghostlive.protocols.rtmp.events import (
    AudioReceived,
    Event,
    MetadataReceived,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from ghostlive.protocols.rtmp.parser import command as commands
from ghostlive.protocols.rtmp.parser.amf import Writable
from ghostlive.protocols.rtmp.parser.chunk import ChunkReader, ChunkWriter
from ghostlive.protocols.rtmp.parser.command import Command
from ghostlive.protocols.rtmp.parser.handshake import RandomBytes, ServerHandshake
from ghostlive.protocols.rtmp.parser.message import (
    Message,
    MessageType,
    UserControl,
    acknowledgement,
    number,
    peer_bandwidth,
    set_chunk_size,
    user_control,
    window_size,
)

_WINDOW = 2_500_000
_CHUNK_SIZE = 4096
_CONTROL_CHUNKS = 2
_COMMAND_CHUNKS = 3
_AVERAGED_SECONDS = 10
_COMMAND_BURST = 5
"""Seconds' worth of commands that may come at once: encoders send all of theirs at the start."""
_MESSAGE_OVERHEAD = 64
"""Bytes that a message counts for beyond its own, so that empty ones are not free."""
_MAX_MESSAGE_STREAMS = 64
_MAX_TEXT = 200


class State(Enum):
    """Where a session is."""

    HANDSHAKE = auto()
    CONNECTING = auto()
    """The handshake is done, `connect` is awaited."""
    CONNECTED = auto()
    DECIDING = auto()
    """A `publish` waits for the driver's answer."""
    PUBLISHING = auto()
    CLOSED = auto()


class Session:
    """The server's side of one RTMP connection."""

    def __init__(self, config: RtmpConfig, *, random: RandomBytes, now: float, refusal: str = "") -> None:
        """`random` gives random bytes. With a `refusal` the peer is told so when it connects, and let go."""
        self._config = config
        self._refusal = refusal
        self._handshake = ServerHandshake(random)
        self._reader = ChunkReader(max_message=config.max_message_bytes, max_streams=config.max_chunk_streams)
        self._writer = ChunkWriter()
        self._output = bytearray()
        self._events: list[Event] = []
        self._state = State.HANDSHAKE
        self._error: RtmpError | None = None
        self._deadline = now + config.handshake_timeout
        self._last_data = now
        self._now = now
        self._bytes = _Allowance(config.max_bitrate / 8, _AVERAGED_SECONDS, now)
        self._commands = _Allowance(config.max_commands_per_second, _COMMAND_BURST, now)
        self._received = 0
        self._acknowledged = 0
        self._window = _WINDOW
        self._app = ""
        self._tc_url = ""
        self._agent = ""
        self._message_streams = 0
        self._stream = 0
        self._publish_name = ""
        self._answers: dict[str, Callable[[Command], None]] = {
            "createStream": self._on_create_stream,
            "releaseStream": self._on_tolerated,
            "FCPublish": self._on_fc_publish,
            "publish": self._on_publish,
            "FCUnpublish": self._on_goodbye,
            "closeStream": self._on_goodbye,
            "deleteStream": self._on_goodbye,
            "getStreamLength": self._on_get_stream_length,
            "play": self._on_play,
            "play2": self._on_play,
        }

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._state

    @property
    def error(self) -> RtmpError | None:
        """Why the session is closed."""
        return self._error

    @property
    def agent(self) -> str:
        """What the encoder calls itself, once it has connected."""
        return self._agent

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer."""
        events = self._events = []
        if self._state is State.CLOSED:
            return events
        self._now = self._last_data = now
        self._received += len(data)
        try:
            if self._state is State.HANDSHAKE:
                data = self._receive_handshake(data)
            messages = self._reader.receive(data) if data else []
            self._bytes.spend(len(data) + _MESSAGE_OVERHEAD * len(messages), now, self._describe_bitrate)
            for message in messages:
                self._receive_message(message)
        except (RtmpError, MediaError) as error:
            self.close(error if isinstance(error, RtmpError) else UnusableMediaError(str(error)))
        if self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self._send(acknowledgement(self._received))
        return events

    def data_to_send(self) -> bytes:
        """Bytes for the peer."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout`; it moves with every byte, so look again then before believing it."""
        if self._state in (State.CLOSED, State.DECIDING):
            return None
        if self._state is State.PUBLISHING:
            return self._last_data + self._config.idle_timeout
        return self._deadline

    def handle_timeout(self, now: float) -> list[Event]:
        """Act on a timeout that has come; before that it does nothing."""
        events = self._events = []
        timeout = self.next_timeout()
        if timeout is None or now < timeout:
            return events
        limit = self._config.handshake_timeout
        if self._state is State.PUBLISHING:
            self.close(PeerTimeoutError(f"nothing came for {self._config.idle_timeout:g} s"))
        elif self._state is State.HANDSHAKE:
            self.close(PeerTimeoutError(f"the RTMP handshake took longer than {limit:g} s"))
        else:
            self.close(PeerTimeoutError(f"nothing was published within {limit:g} s"))
        return events

    def accept_publish(self, now: float) -> None:
        """Let the peer publish."""
        if self._state is not State.DECIDING:
            return
        self._state = State.PUBLISHING
        self._last_data = now
        self._send(user_control(UserControl.STREAM_BEGIN, self._stream))
        self._send_status("status", "NetStream.Publish.Start", "publishing")

    def reject_publish(self, reason: str, *, code: str = PUBLISH_BAD_NAME) -> None:
        """Tell the peer why it may not publish, and close."""
        if self._state is not State.DECIDING:
            return
        self._send_status("error", code, reason)
        self._finish(PublishError(reason))

    def close(self, error: RtmpError) -> None:
        """End the session from our side; `error` is why, in words for the encoder's log."""
        if self._state is State.CLOSED:
            return
        if self._state in (State.DECIDING, State.PUBLISHING):
            self._send_status("error", error.code, str(error))
            self._send(user_control(UserControl.STREAM_EOF, self._stream))
        elif self._state is State.CONNECTED:
            self._send(commands.on_status(0, "error", error.code, str(error)))
        self._finish(error)

    def _finish(self, error: RtmpError) -> None:
        self._state = State.CLOSED
        self._error = error

    def _receive_handshake(self, data: bytes) -> bytes:
        self._handshake.receive(data)
        self._output += self._handshake.data_to_send()
        if not self._handshake.done:
            return b""
        self._state = State.CONNECTING
        return self._handshake.rest

    def _receive_message(self, message: Message) -> None:
        if self._state is State.CLOSED:
            return
        kind = message.type
        if kind == MessageType.VIDEO:
            if self._state is State.PUBLISHING:
                self._events.append(VideoReceived(message.timestamp, message.payload))
        elif kind == MessageType.AUDIO:
            if self._state is State.PUBLISHING:
                self._events.append(AudioReceived(message.timestamp, message.payload))
        elif kind in (MessageType.COMMAND_AMF0, MessageType.COMMAND_AMF3):
            self._receive_command(message)
        elif kind in (MessageType.DATA_AMF0, MessageType.DATA_AMF3):
            self._receive_metadata(message)
        elif kind == MessageType.AGGREGATE:
            for inner, timestamp, body in split_aggregate(message.payload, message.timestamp):
                if inner in (MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA_AMF0):
                    self._receive_message(Message(inner, message.stream, timestamp, body))
        elif kind == MessageType.WINDOW_SIZE:
            self._window = max(number(message.payload), 1)
        elif kind == MessageType.USER_CONTROL and message.payload[:2] == b"\x00\x06":
            self._send(user_control(UserControl.PING_RESPONSE, message.payload[2:6]))
        # Acknowledgements and bandwidth limits: we send too little for them to matter. The rest is not for us.

    def _receive_metadata(self, message: Message) -> None:
        if self._state is not State.PUBLISHING:
            return
        metadata = commands.parse_metadata(message)
        if metadata is not None:
            self._commands.spend(1, self._now, self._describe_commands)
            self._events.append(MetadataReceived(metadata))

    def _receive_command(self, message: Message) -> None:
        self._commands.spend(1, self._now, self._describe_commands)
        command = commands.parse_command(message)
        if self._state is State.CONNECTING:
            if command.name != "connect":
                raise CommandError(f"the command {command.name[:40]!r} came before `connect`")
            self._on_connect(command)
            return
        answer = self._answers.get(command.name)
        if answer is not None:
            answer(command)
        elif command.name == "connect":
            raise CommandError("`connect` came twice")
        elif command.transaction:
            # `_checkbw`, `FCSubscribe` and other things that some encoders try and none depends on.
            self._on_tolerated(command)

    def _on_connect(self, command: Command) -> None:
        settings = command.arguments[0] if command.arguments else None
        if not isinstance(settings, dict):
            raise CommandError("`connect` has no command object")
        texts = {name: value for name, value in settings.items() if isinstance(value, str)}
        self._app, self._tc_url = texts.get("app", ""), texts.get("tcUrl", "")
        self._agent = _printable(texts.get("flashVer", ""))
        if self._refusal:
            rejected = commands.status("error", CONNECT_REJECTED, self._refusal)
            self._send(commands.command("_error", command.transaction, None, rejected))
            self._finish(LimitError(self._refusal))
            return
        self._state = State.CONNECTED
        encoding = settings.get("objectEncoding")
        self._send(window_size(_WINDOW))
        self._send(peer_bandwidth(_WINDOW))
        self._send(set_chunk_size(_CHUNK_SIZE))
        self._writer.chunk_size = _CHUNK_SIZE
        self._send(commands.connect_result(command.transaction, encoding if isinstance(encoding, float) else 0.0))

    def _on_create_stream(self, command: Command) -> None:
        self._message_streams += 1
        if self._message_streams > _MAX_MESSAGE_STREAMS:
            raise LimitError(f"more than {_MAX_MESSAGE_STREAMS} message streams")
        self._reply(command, float(self._message_streams))

    def _on_tolerated(self, command: Command) -> None:
        self._reply(command, None)

    def _on_get_stream_length(self, command: Command) -> None:
        self._reply(command, 0.0)

    def _on_fc_publish(self, command: Command) -> None:
        information = commands.status("status", "NetStream.Publish.Start", _printable(command.text(0)))
        self._send(commands.command("onFCPublish", 0, None, information))
        self._reply(command, None)

    def _on_publish(self, command: Command) -> None:
        if self._state is not State.CONNECTED:
            raise CommandError("one connection can publish one stream only")
        self._stream = command.stream
        self._publish_name = command.text(0)
        self._state = State.DECIDING
        target = parse_target(self._app, self._tc_url, self._publish_name)
        self._events.append(PublishRequested(target.stream, target.key, self._agent))

    def _on_goodbye(self, command: Command) -> None:
        if self._state in (State.DECIDING, State.PUBLISHING):
            if self._state is State.PUBLISHING:
                self._events.append(PublishEnded("the encoder stopped"))
            self._send_status("status", "NetStream.Unpublish.Success", "unpublished")
            self._state = State.CONNECTED
            self._deadline = self._now + self._config.handshake_timeout
        if command.name == "FCUnpublish":
            information = commands.status("status", "NetStream.Unpublish.Success", _printable(command.text(0)))
            self._send(commands.command("onFCUnpublish", 0, None, information))
            self._reply(command, None)

    def _on_play(self, command: Command) -> None:
        reason = "RTMP playback is not offered here; watch the stream on its web page"
        self._send(commands.on_status(command.stream, "error", "NetStream.Play.Failed", reason))

    def _reply(self, command: Command, value: Writable) -> None:
        if command.transaction:
            self._send(commands.command("_result", command.transaction, None, value))

    def _send_status(self, level: str, code: str, description: str) -> None:
        self._send(commands.on_status(self._stream, level, code, description))

    def _send(self, message: Message) -> None:
        csid = _COMMAND_CHUNKS if message.type == MessageType.COMMAND_AMF0 else _CONTROL_CHUNKS
        self._output += self._writer.write(message, csid)

    def _describe_bitrate(self) -> str:
        megabits = self._config.max_bitrate / 1e6
        return f"more than {megabits:g} Mb/s over {_AVERAGED_SECONDS} s; lower the encoder's bit rate"

    def _describe_commands(self) -> str:
        return f"more than {self._config.max_commands_per_second} commands per second"


class _Allowance:
    """A token bucket: `rate` a second, and up to `seconds` of that at once."""

    def __init__(self, rate: float, seconds: float, now: float) -> None:
        self._rate = rate
        self._most = self._left = rate * seconds
        self._last = now

    def spend(self, amount: float, now: float, describe: Callable[[], str]) -> None:
        """Take `amount`, or raise `LimitError` with what `describe` says."""
        self._left = min(self._most, self._left + (now - self._last) * self._rate) - amount
        self._last = now
        if self._left < 0:
            raise LimitError(describe())


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:_MAX_TEXT])
