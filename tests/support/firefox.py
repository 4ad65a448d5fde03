"""A real Firefox, spoken to by WebDriver BiDi, which it understands itself: no driver program between."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.program import wait_for
from websockets.sync.client import ClientConnection, connect

_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """One tab of a running Firefox."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0
        self.errors: list[str] = []
        """Errors that pages wrote to the console, and exceptions that nobody caught."""
        self.requests: list[str] = []
        """Addresses that pages asked for."""
        self._call("session.new", capabilities={})
        self._call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self._tab = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression is, as JSON."""
        answer = self._call(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self._tab},
            awaitPromise=True,
        )
        if answer["type"] != "success":
            raise AssertionError(f"{expression}: {answer['exceptionDetails']['text']}")
        return json.loads(answer["result"].get("value", "null"))

    def type(self, text: str) -> None:
        """Press keys, where the focus is. `\n` is Enter, `\t` is Tab."""
        keys = [{"\n": "\ue007", "\t": "\ue004"}.get(key, key) for key in text]
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call(
            "input.performActions", context=self._tab, actions=[{"type": "key", "id": "keys", "actions": actions}]
        )

    def focus(self, testid: str) -> None:
        """Wait for an element with this `data-testid` and put the focus into it."""
        self.until(testid, f"(e => e && (e.focus(), document.activeElement === e))({_by_testid(testid)})")

    def until(self, what: str, expression: str, timeout: float = 60.0) -> Any:
        """Wait until JavaScript says so; its answer."""
        return wait_for(what, lambda: self.evaluate(expression), timeout)

    def _call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        end = time.monotonic() + 60
        while True:
            message = json.loads(self._socket.recv(timeout=max(0.1, end - time.monotonic())))
            if message.get("id") == self._count:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        if message.get("method") == "log.entryAdded" and about["level"] == "error":
            self.errors.append(str(about["text"]))
        elif message.get("method") == "network.beforeRequestSent":
            self.requests.append(about["request"]["url"])


def _by_testid(testid: str) -> str:
    return f"document.querySelector('[data-testid={testid}]')"


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """A headless Firefox with a new profile in `folder`."""
    profile = folder / "profile"
    profile.mkdir(parents=True)
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    log = folder / "firefox.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "firefox-esr", "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0",
                "about:blank",
            ],
            env={**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        address = wait_for(
            "Firefox", lambda: re.search(r"BiDi listening on (ws://\S+)", log.read_text(errors="replace")), 60
        ).group(1)
        with connect(f"{address}/session", max_size=None, open_timeout=30) as socket:
            yield Firefox(socket)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
