"""Clients made of matrix-js-sdk, the library of which Element is made, in a tab of a page of another site.

    page = await open_sdk(tab, outside, folder)
    ann = await Client.sign_in(page, server.url, "ann", "a password")
    await ann.enter("#live_demo:localhost")
    await ann.run("me.sendTextMessage(room.roomId, text)", text="hello")

What a client is asked to do is JavaScript: in it `me` is the SDK's `MatrixClient`, `room` the client's room, and
`said(text)` the event of the room's timeline that says that now.
"""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from playwright.async_api import Page
from tests.support.browser import eventually
from tests.support.site import PACKAGES, Site

_ROOT = Path(__file__).parents[2]

_CODE = """
window.clients = {};
window.signIn = async (base, name, password) => {
  // As clients do with what somebody types as their homeserver.
  const known = await (await fetch(`${base}/.well-known/matrix/client`)).json();
  const found = await sdk.AutoDiscovery.fromDiscoveryConfig(known);
  if (found["m.homeserver"].state !== sdk.AutoDiscovery.SUCCESS) throw new Error(JSON.stringify(found));
  const baseUrl = found["m.homeserver"].base_url;
  const login = await sdk.createClient({ baseUrl }).loginRequest({
    type: "m.login.password", identifier: { type: "m.id.user", user: name }, password,
  });
  const me = sdk.createClient({
    baseUrl, accessToken: login.access_token, userId: login.user_id, deviceId: login.device_id,
    timelineSupport: true,
  });
  await me.startClient({ lazyLoadMembers: true });
  await new Promise((done) => me.on("sync", (state) => state === "PREPARED" && done()));
  window.clients[name] = { me };
  return login.user_id;
};
window.run = async ([name, code, given]) => {
  const client = window.clients[name];
  const room = client.roomId && client.me.getRoom(client.roomId);
  const events = () => room.getLiveTimeline().getEvents();
  const said = (text) => events().find((event) => event.getContent().body === text);
  const tools = { me: client.me, client, room, events, said, ...given };
  const body = `return (async () => (${code}))()`;
  return new Function(...Object.keys(tools), body)(...Object.values(tools));
};
"""


def bundle(folder: Path) -> str:
    """The SDK as one script that makes `sdk`. Blocks for a second."""
    entry, script = folder / "entry.js", folder / "sdk.js"
    entry.write_text(f'export * from "{PACKAGES}/matrix-js-sdk/lib/browser-index.js";')
    command = [
        *(str(_ROOT / "scripts" / "node"), str(PACKAGES / ".bin" / "rolldown"), str(entry), "--file", str(script)),
        *("--format", "iife", "--name", "sdk", "--platform", "browser"),
        *("--transform.define", "import.meta.url:document.baseURI"),
    ]
    done = subprocess.run(command, cwd=PACKAGES.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return script.read_text()


async def open_sdk(tab: Page, outside: Site, folder: Path) -> Page:
    """A page of another site that has the SDK."""
    await tab.goto(outside.add("matrix", "<!doctype html><title>A Matrix client</title>"))
    await tab.add_script_tag(content=await asyncio.to_thread(bundle, folder))
    await tab.add_script_tag(content=_CODE)
    return tab


class Client:
    """Somebody's client, which is signed in and follows what happens."""

    def __init__(self, page: Page, name: str, mxid: str) -> None:
        self._page = page
        self._name = name
        self.mxid = mxid

    @classmethod
    async def sign_in(cls, page: Page, base: str, name: str, password: str) -> "Client":
        """Find the homeserver of a server, and sign in there."""
        mxid = await page.evaluate("([base, name, password]) => signIn(base, name, password)", [base, name, password])
        return cls(page, name, mxid)

    async def run(self, code: str, /, **given: Any) -> Any:
        """What an expression comes to, awaited; `given` are names in it."""
        return await self._page.evaluate("run", [self._name, code, given])

    async def until(self, what: str, code: str, /, **given: Any) -> Any:
        """Wait until it is true; its answer."""

        async def ask() -> Any:
            return await self.run(code, **given)

        return await eventually(what, ask)

    async def enter(self, alias: str) -> str:
        """Join a room, wait for it, and be in it from now on; its ID."""
        await self.run("me.joinRoom(alias).then((room) => { client.roomId = room.roomId; })", alias=alias)
        await self.until("the room", "room?.getMyMembership() === 'join'")
        room: str = await self.run("room.roomId")
        return room

    async def said(self, text: str) -> str:
        """Wait until a message says that; its event's ID."""
        event: str = await self.until(f"{text!r} in the room", "said(text)?.getId()", text=text)
        return event
