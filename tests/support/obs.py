"""OBS Studio on a virtual screen, set up as its users do: a server, a key, and everything else by default."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import free_port, wait_for
from websockets.sync.client import connect

_PROFILE = "Test"
_GLOBAL = f"""\
[General]
FirstRun=true
LastVersion=486539266
Pre19Defaults=false
Pre21Defaults=false
Pre23Defaults=false
Pre24.1Defaults=false
EnableAutoUpdates=false
InfoIncrement=100
[Basic]
Profile={_PROFILE}
ProfileDir={_PROFILE}
SceneCollection={_PROFILE}
SceneCollectionFile={_PROFILE}
ConfigOnNewProfile=false
[BasicWindow]
SysTrayEnabled=false
WarnBeforeStartingStream=false
PreviewEnabled=false
[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
ServerPort={{port}}
AlertsEnabled=false
AuthRequired=false
"""
# Only the size is not OBS's default: software rendering of 1920x1080 takes more than this machine has.
_BASIC = f"""\
[General]
Name={_PROFILE}
[Video]
BaseCX=640
BaseCY=360
OutputCX=640
OutputCY=360
FPSCommon=30
[Output]
Mode=Simple
[SimpleOutput]
VBitrate=1500
StreamEncoder=x264
"""


class Obs:
    """A running OBS that streams a film over and over."""

    def __init__(self, folder: Path, server: str, key: str, film: Path) -> None:
        """`folder` takes its configuration and logs; `film` is what it plays."""
        self._folder = folder
        self._port = free_port()
        self._write(server, key, film)
        self._screen, display = _virtual_screen()
        self._output = (folder / "obs.log").open("wb")
        self.process = subprocess.Popen(
            [
                "obs", "--startstreaming", "--minimize-to-tray", "--multi", "--disable-missing-files-check",
                "--collection", _PROFILE, "--profile", _PROFILE,
            ],
            env={
                **os.environ,
                "DISPLAY": display,
                "HOME": str(folder),
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "QT_QPA_PLATFORM": "xcb",
                "XDG_CONFIG_HOME": str(folder / "config"),
                "XDG_RUNTIME_DIR": str(folder),
            },
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self._folder / "obs.log").read_text(errors="replace")

    def press(self, request: str) -> None:
        """Do what a button does: `StopStream`, `StartStream` (obs-websocket's requests)."""
        with connect(f"ws://127.0.0.1:{self._port}", open_timeout=20) as socket:
            socket.recv(timeout=20)
            socket.send(json.dumps({"op": 1, "d": {"rpcVersion": 1, "eventSubscriptions": 0}}))
            socket.recv(timeout=20)
            socket.send(json.dumps({"op": 6, "d": {"requestType": request, "requestId": request}}))
            answer = json.loads(socket.recv(timeout=20))
            if not answer["d"]["requestStatus"]["result"]:
                raise RuntimeError(f"OBS refused {request}: {answer['d']['requestStatus']}")

    def close(self) -> None:
        """End it at once, and take its screen away."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._screen.terminate()
        self._screen.wait()
        self._output.close()

    def _write(self, server: str, key: str, film: Path) -> None:
        home = self._folder / "config" / "obs-studio"
        profile = home / "basic" / "profiles" / _PROFILE
        scenes = home / "basic" / "scenes"
        profile.mkdir(parents=True)
        scenes.mkdir(parents=True)
        (home / "global.ini").write_text(_GLOBAL.format(port=self._port))
        (profile / "basic.ini").write_text(_BASIC)
        service = {"type": "rtmp_custom", "settings": {"server": server, "key": key, "use_auth": False}}
        (profile / "service.json").write_text(json.dumps(service))
        (scenes / f"{_PROFILE}.json").write_text(json.dumps(_scenes(film)))


@contextmanager
def streaming(folder: Path, server: str, key: str, film: Path) -> Iterator[Obs]:
    """OBS that is ended afterwards, whatever happens."""
    obs = Obs(folder, server, key, film)
    try:
        yield obs
    finally:
        obs.close()


def make_film(path: Path, seconds: int = 10) -> Path:
    """A short film with moving picture and beeps."""
    subprocess.run(
        [
            "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y",
            "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=30:duration={seconds}",
            "-f", "lavfi", "-i", f"sine=frequency=440:beep_factor=2:sample_rate=48000:duration={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", str(path),
        ],
        check=True,
        timeout=60,
    )  # fmt: skip
    return path


def _scenes(film: Path) -> dict[str, object]:
    source = {
        "id": "ffmpeg_source",
        "name": "Film",
        "settings": {"local_file": str(film), "looping": True, "restart_on_activate": False},
        "volume": 1.0,
        "mixers": 255,
        "enabled": True,
    }
    scene = {
        "id": "scene",
        "name": "Scene",
        "settings": {"id_counter": 1, "items": [{"id": 1, "name": "Film", "visible": True}]},
        "mixers": 0,
        "enabled": True,
    }
    return {
        "name": _PROFILE,
        "current_scene": "Scene",
        "current_program_scene": "Scene",
        "scene_order": [{"name": "Scene"}],
        "sources": [source, scene],
    }


def _virtual_screen() -> tuple["subprocess.Popen[bytes]", str]:
    """An X server on a number that is free, which it chooses itself."""
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = wait_for("a virtual screen", lambda: pipe.readline().strip())
    return screen, f":{number}"
