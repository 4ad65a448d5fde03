"""Which encoders work on this machine, found out with real pictures in child processes.

That a driver is installed says little: cards are missing, too old, busy, or not given to the container. So each encoder
encodes something, in a process whose crash or hang is an answer as well. What does not work says why, in words.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import structlog

_log = structlog.get_logger("transcode")

ENCODERS: Final = {
    "nvenc": ("h264_nvenc", "av1_nvenc"),
    "qsv": ("h264_qsv", "av1_qsv"),
    "vaapi": ("h264_vaapi", "av1_vaapi"),
    "amf": ("h264_amf", "av1_amf"),
    "v4l2m2m": ("h264_v4l2m2m",),
    "software": ("libx264", "libsvtav1", "libvpx", "aac", "libopus"),
}
"""FFmpeg's encoders of each name in `transcode.encoders`; the first is the one that counts."""

_WITHIN: Final = 20.0
"""Seconds for all encoders of a kind. The first use of a card by CUDA takes some."""
_AT_ONCE: Final = 2
_MEMORY: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class EncoderProbe:
    """What was found of one encoder."""

    name: str
    """As in `transcode.encoders`: `nvenc`."""
    ffmpeg_name: str
    """`h264_nvenc`."""
    works: bool
    reason: str = ""
    """Why it does not, in plain words."""
    milliseconds: int = 0
    """From opening it to the last picture."""


Prober = Callable[[Sequence[str]], Awaitable[list[EncoderProbe]]]


async def probe_encoders(order: Sequence[str]) -> list[EncoderProbe]:
    """Try the encoders of these kinds, in that order; two kinds at once. When cancelled, no process is left."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(kind: str) -> list[EncoderProbe]:
        async with room:
            return await _probe_kind(kind)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(kind)) for kind in dict.fromkeys(order)]
    return list(chain.from_iterable(task.result() for task in tasks))


@dataclass
class WorkingEncoders:
    """The encoders that work on this machine; what is not known yet is taken to be software.

    One for a process: what works is found out once.
    """

    order: Sequence[str]
    """`transcode.encoders`."""
    probe: Prober = probe_encoders
    found: tuple[EncoderProbe, ...] | None = field(default=None, init=False)
    """None until it is known."""

    def __call__(self) -> tuple[str, ...]:
        """FFmpeg's names, in the order to try them."""
        if self.found is None:
            return ENCODERS["software"] if "software" in self.order else ()
        return tuple(result.ffmpeg_name for result in self.found if result.works)

    async def find(self) -> bool:
        """Find out, and log what was found; answers whether what `__call__` says has changed by it."""
        before = self()
        self.found = tuple(await self.probe(self.order))
        after = self()
        _log.info("encoders", works=list(after))
        for result in self.found:
            if not result.works and result.name == "software":
                _log.error("an encoder does not work", encoder=result.ffmpeg_name, reason=result.reason)
        return before != after


async def _probe_kind(kind: str) -> list[EncoderProbe]:
    names = ENCODERS[kind]
    command = [sys.executable, "-P", "-m", "ghostlive.transcode.probing", str(_MEMORY), *names]
    return read_answers(kind, await run_child(command, _WITHIN))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child process ended."""

    code: int | None
    """Exit status, a signal's number negated, None when it was killed because its time was up."""
    output: str
    log: str


async def run_child(command: Sequence[str], within: float) -> Ended:
    """Run a program for at most `within` seconds, without blocking the event loop; when cancelled it is killed."""
    child = _Child(command, within)
    running = asyncio.ensure_future(asyncio.to_thread(child.run))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        child.kill()
        await running
        raise


class _Child:
    """A program that runs in a thread's care."""

    def __init__(self, command: Sequence[str], within: float) -> None:
        self._command = command
        self._within = within
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False

    def run(self) -> Ended:
        with self._lock:
            if self._unwanted:
                return Ended(None, "", "")
            try:
                process = subprocess.Popen(  # noqa: S603 - our own programs
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    # As workers have it: without the server's settings, unreached by signals of a terminal.
                    env={name: value for name, value in os.environ.items() if not name.startswith("GHOSTLIVE_")},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                return Ended(127, "", str(error))
            self._process = process
        late = False
        try:
            output, log = process.communicate(timeout=self._within)
        except subprocess.TimeoutExpired:
            late = True
            process.kill()
            output, log = process.communicate()
        code = None if late else process.returncode
        return Ended(code, output.decode(errors="replace"), log.decode(errors="replace"))

    def kill(self) -> None:
        with self._lock:
            self._unwanted = True
            if self._process is not None:
                self._process.kill()


def read_answers(kind: str, ended: Ended) -> list[EncoderProbe]:
    """What a probing child said of each encoder of a kind. Where it ended early, its end is the answer. Pure."""
    told: dict[str, dict[str, Any]] = {}
    begun = ""
    for line in ended.output.splitlines():
        said = _answer(line)
        name = said.get("encoder", "")
        begun = name or begun
        if "works" in said:
            told[name] = said
    first = ENCODERS[kind][0]
    found: list[EncoderProbe] = []
    for name in ENCODERS[kind]:
        if (answer := told.get(name)) is not None:
            log = ended.log.partition(f"probing {name}\n")[2].partition("\nprobing ")[0]
            reason = "" if answer["works"] else explain(name, answer["reason"], log)
            found.append(EncoderProbe(kind, name, answer["works"], reason, answer["milliseconds"]))
        elif not begun or name == begun:
            found.append(EncoderProbe(kind, name, works=False, reason=_end(ended)))
        else:
            found.append(EncoderProbe(kind, name, works=False, reason=f"not tried, since {begun} ended the test"))
    # The card or driver that is missing for H.264 is missing for the others too, and need not be told again.
    same = found[0].reason
    return [result for result in found if result.ffmpeg_name == first or kind == "software" or result.reason != same]


def _answer(line: str) -> dict[str, Any]:
    """A line of a child's output; drivers print things there too."""
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _end(ended: Ended) -> str:
    """How a test ended that gave no answer."""
    if ended.code is None:
        return f"it gave no answer within {_WITHIN:g} seconds"
    if ended.code < 0:
        return f"its driver crashed ({signal.Signals(-ended.code).name})"
    lines = [line.strip() for line in ended.log.splitlines() if line.strip()] or ["no reason given"]
    return f"PyAV cannot be used: {lines[-1][:200]}"


_WORDS: Final = (
    ("not in this build", "this build of FFmpeg (PyAV's wheel) does not have it"),
    ("Cannot load libcuda", "there is no NVIDIA driver (libcuda.so.1); a container needs the NVIDIA runtime"),
    (
        "Cannot load libnvidia-encode",
        "the NVIDIA driver here has no encoding library (libnvidia-encode.so.1); a container needs "
        "NVIDIA_DRIVER_CAPABILITIES=video",
    ),
    ("CUDA_ERROR_NO_DEVICE", "there is no NVIDIA card, or it is not given to this container"),
    ("No capable devices found", "no NVIDIA card here can encode this codec"),
    ("minimum required Nvidia driver", "the NVIDIA driver is too old: "),
    ("required nvenc API version", "the NVIDIA driver is too old: "),
    ("OpenEncodeSessionEx failed: out of memory", "the NVIDIA card has no room for one more encoder"),
    ("Permission denied", "this user may not use the device; it has to be in the groups `video` and `render`: "),
    ("Error creating a MFX session", "there is no Intel graphics that encodes, or no driver for it (oneVPL runtime)"),
    ("libamfrt64", "there is no AMD driver that encodes (libamfrt64.so.1, from the AMF runtime)"),
    ("Could not find a valid device", "there is no device (/dev/video*) that encodes"),
    ("No VA display found", "there is no device (/dev/dri/renderD*) with a VA-API driver"),
    ("Failed to initialise VAAPI", "the VA-API driver cannot be started"),
    ("hardware frames reference is required", "pictures cannot be handed to it through PyAV"),
)
"""What FFmpeg's log has, and what it means; a text that ends with a colon is followed by FFmpeg's own."""


def explain(name: str, said: str, log: str) -> str:
    """Why an encoder does not work, in plain words where its log is one that is known. Pure."""
    lines = [_without_address(line) for line in [said, *log.splitlines()]]
    for mark, words in _WORDS:
        for line in lines:
            if mark in line:
                return f"{words}{line}" if words.endswith(": ") else words
    own = [line for line in _spoken(name, log) if "unloaded" not in line]
    return ": ".join(dict.fromkeys([said, *own[-1:]])) if own else said


def _spoken(name: str, log: str) -> list[str]:
    """The lines of a log that the encoder itself wrote."""
    return [_without_address(line) for line in log.splitlines() if line.startswith(f"[{name} ")]


def _without_address(line: str) -> str:
    """A line of FFmpeg's log without `[h264_nvenc @ 0x40896b00]`."""
    return line.partition("] ")[2].strip() if line.startswith("[") and " @ 0x" in line else line.strip()
