"""Pages of another site that use WebRTC: plain `RTCPeerConnection` with fetch, OvenPlayer, OvenLiveKit.

Each keeps what went wrong in `window.failures`, and its connection in `window.pc` where it makes one itself.
"""

from playwright.async_api import Page
from tests.support.browser import expect_moving_picture, until
from tests.support.site import Site

_HEAD = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<video autoplay playsinline muted></video>
<script>window.failures = [];</script>
"""

# A picture that moves and a tone that sounds, so that a test needs no camera.
_SOURCE = """
async function source(width, height, rate) {
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d");
  let count = 0;
  setInterval(() => {
    count += 1;
    context.fillStyle = `hsl(${(count * 7) % 360} 80% 50%)`;
    context.fillRect(0, 0, width, height);
    context.fillStyle = "white";
    context.fillRect((count * 9) % width, (count * 5) % height, width / 4, height / 4);
  }, 1000 / rate);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const out = audio.createMediaStreamDestination();
  tone.connect(out); tone.start();
  return new MediaStream([...canvas.captureStream(rate).getTracks(), ...out.stream.getTracks()]);
}
"""

_WHEP = """<script>
window.play = async (url, config = {}) => {
  const pc = window.pc = new RTCPeerConnection(config);
  const stream = new MediaStream();
  document.querySelector("video").srcObject = stream;
  pc.ontrack = (event) => stream.addTrack(event.track);
  for (const kind of ["video", "audio"]) pc.addTransceiver(kind, {direction: "recvonly"});
  await pc.setLocalDescription();
  const answer = await fetch(url, {
    method: "POST", body: pc.localDescription.sdp, headers: {"content-type": "application/sdp"}});
  const text = await answer.text();
  const told = Object.fromEntries(["location", "etag", "link", "retry-after"].map((name) =>
    [name, answer.headers.get(name)]));
  if (answer.status !== 201) return {status: answer.status, text, ...told};
  window.resource = new URL(told.location, url).href;
  window.etag = told.etag;
  await pc.setRemoteDescription({type: "answer", sdp: text});
  return {status: 201, ...told};
};
window.restart = async () => {
  const offer = await pc.createOffer({iceRestart: true});
  await pc.setLocalDescription(offer);
  const line = (name) => offer.sdp.match(new RegExp(`a=${name}:(.*)`))[1].trim();
  const media = offer.sdp.match(/m=.*/)[0].trim();
  const body = `a=ice-ufrag:${line("ice-ufrag")}\\r\\na=ice-pwd:${line("ice-pwd")}\\r\\n${media}\\r\\n` +
    `a=mid:${line("mid")}\\r\\n`;
  const answer = await fetch(window.resource, {method: "PATCH", body,
    headers: {"content-type": "application/trickle-ice-sdpfrag", "if-match": "*"}});
  const fragment = await answer.text();
  if (answer.status !== 200) return {status: answer.status, text: fragment};
  const theirs = (name) => fragment.match(new RegExp(`a=${name}:(.*)`))[1].trim();
  const sdp = pc.remoteDescription.sdp.replace(/a=ice-ufrag:.*/g, `a=ice-ufrag:${theirs("ice-ufrag")}`)
    .replace(/a=ice-pwd:.*/g, `a=ice-pwd:${theirs("ice-pwd")}`);
  await pc.setRemoteDescription({type: "answer", sdp});
  return {status: 200};
};
window.way = async () => {
  const stats = [...(await pc.getStats()).values()];
  const transport = stats.find((one) => one.type === "transport");
  const pair = stats.find((one) => one.id === transport?.selectedCandidatePairId);
  const local = stats.find((one) => one.id === pair?.localCandidateId);
  const remote = stats.find((one) => one.id === pair?.remoteCandidateId);
  if (!local || !remote) return null;
  return {protocol: remote.protocol, local: local.candidateType, relay: local.relayProtocol ?? null,
    port: remote.port, address: remote.address, cipher: transport.srtpCipher, state: pc.connectionState};
};
</script>
"""

_WHIP = (
    "<script>"
    + _SOURCE
    + """
window.publish = async (url, key, {width = 640, height = 360, rate = 30, codec = "", encodings} = {}) => {
  const pc = window.pc = new RTCPeerConnection();
  const stream = await source(width, height, rate);
  const [video] = stream.getVideoTracks(), [audio] = stream.getAudioTracks();
  const sender = pc.addTransceiver(video, {direction: "sendonly", streams: [stream], sendEncodings: encodings});
  pc.addTransceiver(audio, {direction: "sendonly", streams: [stream]});
  if (codec) {
    const known = RTCRtpSender.getCapabilities("video").codecs;
    sender.setCodecPreferences(known.filter((one) => one.mimeType === codec));
  }
  await pc.setLocalDescription();
  const answer = await fetch(url, {method: "POST", body: pc.localDescription.sdp, headers: {
    "content-type": "application/sdp", ...(key ? {authorization: `Bearer ${key}`} : {})}});
  const text = await answer.text();
  if (answer.status !== 201) return {status: answer.status, text};
  window.resource = new URL(answer.headers.get("location"), url).href;
  await pc.setRemoteDescription({type: "answer", sdp: text});
  return {status: 201};
};
window.finish = async () => { pc.close(); return (await fetch(resource, {method: "DELETE"})).status; };
</script>
"""
)

_OVEN_PLAYER = """<div id="player"></div>
<script src="/packages/ovenplayer/dist/ovenplayer.js"></script>
<script>
window.play = (url, options = {}) => new Promise((resolve) => {
  document.querySelector("video").remove();
  const player = window.player = OvenPlayer.create("player", {
    sources: [{type: "webrtc", file: url}], autoStart: true, mute: true, ...options});
  window.changes = [];
  player.on("error", (error) => { failures.push(`${error.code} ${error.error ?? error.message}`); resolve("error"); });
  player.on("qualityLevelChanged", (change) => window.changes.push(change));
  player.on("stateChanged", (state) => { if (state.newstate === "playing") resolve("playing"); });
});
</script>
"""

_OVEN_LIVE_KIT = (
    """<script src="/packages/ovenlivekit/dist/OvenLiveKit.min.js"></script>
<script>"""
    + _SOURCE
    + """
window.publish = async (url, options = {}) => {
  const kit = window.kit = OvenLiveKit.create({callbacks: {
    error: (error) => failures.push(String(error?.message ?? error?.error ?? error)),
    connected: () => { window.connected = true; },
    connectionClosed: (kind) => { window.ended = kind; },
  }});
  await kit.setMediaStream(await source(640, 360, 30));
  kit.startStreaming(url, options);
};
</script>
"""
)


def whep(site: Site) -> str:
    """`play(url, config)`, `restart()`, `way()`."""
    return site.add("whep", _HEAD.format(title="WHEP") + _WHEP)


def whip(site: Site) -> str:
    """`publish(url, key, options)`, `finish()`."""
    return site.add("whip", _HEAD.format(title="WHIP") + _WHIP)


def oven_player(site: Site) -> str:
    """`play(url, options)`, `player`, `changes`."""
    return site.add("ovenplayer", _HEAD.format(title="OvenPlayer") + _OVEN_PLAYER)


def oven_live_kit(site: Site) -> str:
    """`publish(url, options)`, `kit`, `connected`, `ended`."""
    return site.add("ovenlivekit", _HEAD.format(title="OvenLiveKit") + _OVEN_LIVE_KIT)


HEARD = """(async () => [...(await pc.getStats()).values()].some((one) =>
  one.type === "inbound-rtp" && one.kind === "audio" &&
  one.totalSamplesReceived - one.concealedSamples > 24000))()"""
"""Whether `pc` has decoded half a second of sound."""


async def expect_playing(tab: Page, *, frames: int = 30, sound: bool = True) -> None:
    """Wait for a picture that moves, and sound."""
    await expect_moving_picture(tab, sound=False, frames=frames)
    if sound:
        await until(tab, "sound", HEARD)
