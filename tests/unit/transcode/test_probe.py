"""Which encoders work: what is made of a child's answers, and of its crash, its hang and its absence."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ghostlive.transcode.probe import (
    ENCODERS,
    EncoderProbe,
    Ended,
    WorkingEncoders,
    explain,
    probe_encoders,
    read_answers,
    run_child,
)


def _answer(name: str, *, works: bool, reason: str = "") -> str:
    return json.dumps({"encoder": name}) + "\n" + json.dumps(
        {"encoder": name, "works": works, "reason": reason, "milliseconds": 12}
    )  # fmt: skip


def test_answers_and_their_logs() -> None:
    output = f"{_answer('h264_nvenc', works=True)}\nva_openDriver() returns 0\n{{}}\n3\n"
    output += _answer("av1_nvenc", works=False, reason="Generic error in an external library") + "\n"
    log = (
        "probing h264_nvenc\n[h264_nvenc @ 0x1] Cannot load libcuda.so.1, says nobody\n"
        "probing av1_nvenc\n[av1_nvenc @ 0x1] No capable devices found\n"
    )
    reason = "no NVIDIA card here can encode this codec"
    assert read_answers("nvenc", Ended(0, output, log)) == [
        EncoderProbe("nvenc", "h264_nvenc", works=True, milliseconds=12),
        EncoderProbe("nvenc", "av1_nvenc", works=False, reason=reason, milliseconds=12),
    ]


def test_what_is_missing_for_one_codec_is_missing_for_the_other_and_said_once() -> None:
    output = "\n".join(_answer(name, works=False, reason="?") for name in ENCODERS["nvenc"])
    log = "".join(f"probing {name}\n[{name} @ 0x1] Cannot load libcuda.so.1\n" for name in ENCODERS["nvenc"])
    (only,) = read_answers("nvenc", Ended(0, output, log))
    assert (only.ffmpeg_name, only.works) == ("h264_nvenc", False)
    assert "no NVIDIA driver" in only.reason


def test_a_crash_and_a_hang_are_answers() -> None:
    begun = json.dumps({"encoder": "h264_qsv"}) + "\n"
    crashed, other = read_answers("qsv", Ended(-signal.SIGSEGV, begun, ""))
    assert (crashed.works, crashed.reason) == (False, "its driver crashed (SIGSEGV)")
    assert (other.works, other.reason) == (False, "not tried, since h264_qsv ended the test")
    hung = read_answers("qsv", Ended(None, _answer("h264_qsv", works=True) + '\n{"encoder": "av1_qsv"}', ""))
    assert [(result.works, result.reason) for result in hung] == [
        (True, ""),
        (False, "it gave no answer within 20 seconds"),
    ]


def test_a_child_that_cannot_start() -> None:
    (only,) = read_answers("v4l2m2m", Ended(1, "", "Traceback:\n  x\nImportError: libavcodec is gone\n"))
    assert only.reason == "PyAV cannot be used: ImportError: libavcodec is gone"
    everything = read_answers("software", Ended(127, "", ""))
    assert len(everything) == len(ENCODERS["software"])
    assert everything[0].reason == "PyAV cannot be used: no reason given"


@pytest.mark.parametrize(
    ("said", "log", "reason"),
    [
        ("not in this build", "", "this build of FFmpeg (PyAV's wheel) does not have it"),
        ("?", "[h264_nvenc @ 0x1] Cannot load libnvidia-encode.so.1", "NVIDIA_DRIVER_CAPABILITIES=video"),
        ("?", "[h264_nvenc @ 0x1] cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no device", "no NVIDIA card, or it is not"),
        (
            "?",
            "[h264_nvenc @ 0x1] The minimum required Nvidia driver for nvenc is 570.0 or newer",
            "the NVIDIA driver is too old: The minimum required Nvidia driver for nvenc is 570.0 or newer",
        ),
        ("?", "[AMF @ 0x1] DLL libamfrt64.so.1 failed to open", "no AMD driver that encodes"),
        ("Permission denied", "", "groups `video` and `render`: Permission denied"),
        ("External library", "[h264_nvenc @ 0x9f] Something new\n[x @ 0x1] y", "External library: Something new"),
        ("External library", "", "External library"),
    ],
)
def test_reasons_in_plain_words(said: str, log: str, reason: str) -> None:
    assert explain("h264_nvenc", said, log).endswith(reason) or reason in explain("h264_nvenc", said, log)


async def test_every_encoder_here_gives_its_answer() -> None:
    found = await probe_encoders([*ENCODERS, "software"])
    assert list(dict.fromkeys(result.name for result in found)) == list(ENCODERS)
    for result in found:
        assert result.works != bool(result.reason)
        assert not result.reason.startswith(("PyAV cannot", "not tried"))
    software = [result for result in found if result.name == "software"]
    assert {result.ffmpeg_name: result.reason for result in software} == dict.fromkeys(ENCODERS["software"], "")
    if not any(path.name.startswith(("nvidia", "dri", "video")) for path in Path("/dev").iterdir()):
        assert not any(result.works for result in found if result.name != "software")


async def test_a_child_that_hangs_is_ended_in_time() -> None:
    ended = await run_child([sys.executable, "-c", "print('x', flush=True); import time; time.sleep(600)"], 0.5)
    assert ended.code is None


async def test_a_child_that_crashes_and_one_that_is_not_there() -> None:
    ended = await run_child([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], 30)
    assert ended.code == -signal.SIGSEGV
    assert (await run_child(["/nowhere/python"], 30)).code == 127


async def test_when_nobody_waits_any_more_no_process_is_left(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"import os, time; open({str(file)!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(600)"
    waiting = asyncio.ensure_future(run_child([sys.executable, "-c", code], 600))
    while not file.exists() or not file.read_text().endswith(" "):
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


class _Probes:
    def __init__(self, found: list[EncoderProbe]) -> None:
        self.found = found
        self.asked: list[Sequence[str]] = []

    async def __call__(self, order: Sequence[str]) -> list[EncoderProbe]:
        self.asked.append(order)
        return self.found


CARD = EncoderProbe("nvenc", "h264_nvenc", works=True)
NO_CARD = EncoderProbe("nvenc", "h264_nvenc", works=False, reason="there is none")
SOFTWARE = [EncoderProbe("software", name, works=True) for name in ENCODERS["software"]]


async def test_until_it_is_known_software_encodes() -> None:
    probes = _Probes([CARD, *SOFTWARE])
    encoders = WorkingEncoders(("nvenc", "software"), probes)
    assert encoders() == ENCODERS["software"]
    assert await encoders.find()
    assert encoders() == ("h264_nvenc", *ENCODERS["software"])
    assert probes.asked == [("nvenc", "software")]
    assert WorkingEncoders(("nvenc",), probes)() == ()


async def test_where_there_is_nothing_but_software_nothing_changes() -> None:
    encoders = WorkingEncoders(("nvenc", "software"), _Probes([NO_CARD, *SOFTWARE]))
    assert not await encoders.find()
    assert encoders() == ENCODERS["software"]
