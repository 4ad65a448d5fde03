"""A page that broadcasts by WHIP: Chromium's false camera, or flashes and beeps that belong together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright
from tests.support.browser import ENGINE

PAGE = r"""<!doctype html><title>WHIP</title><canvas id="canvas" width="320" height="180"></canvas><script>
const canvas = document.getElementById("canvas");

async function camera(width, height, frameRate) {
  return navigator.mediaDevices.getUserMedia({
    video: {width, height, frameRate},
    audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false},
  });
}

// White picture and beep at each full second of the audio clock, both for a tenth of it.
function flashes() {
  const context = new AudioContext({sampleRate: 48000, latencyHint: "interactive"});
  const destination = context.createMediaStreamDestination();
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  gain.gain.value = 0;
  oscillator.frequency.value = 1000;
  oscillator.connect(gain).connect(destination);
  for (let second = 1; second < 120; second++) {
    gain.gain.setValueAtTime(0.5, second);
    gain.gain.setValueAtTime(0, second + 0.1);
  }
  oscillator.start();
  const paint = canvas.getContext("2d");
  let frame = 0, before = true;
  window.late = [];  // seconds by which flashes were drawn after their beep: the machine has other things to do
  const draw = () => {
    const white = context.currentTime > 1 && context.currentTime % 1 < 0.1;
    if (white && !before) late.push(context.currentTime % 1);
    before = white;
    paint.fillStyle = white ? "white" : "black";
    paint.fillRect(0, 0, 320, 180);
    paint.fillStyle = frame++ % 2 ? "#222" : "#444";  // so that each picture is another one
    paint.fillRect(0, 0, 4, 4);
    requestAnimationFrame(draw);
  };
  draw();
  return new MediaStream([...canvas.captureStream(30).getVideoTracks(), ...destination.stream.getAudioTracks()]);
}

async function publish(
  url, key, {source = "camera", width = 1280, height = 720, rate = 30, codec, encodings, startKbps},
) {
  const stream = source === "flashes" ? flashes() : await camera(width, height, rate);
  const pc = window.pc = new RTCPeerConnection();
  pc.addTrack(stream.getAudioTracks()[0], stream);
  const options = {direction: "sendonly", streams: [stream], sendEncodings: encodings ?? [{}]};
  const transceiver = pc.addTransceiver(stream.getVideoTracks()[0], options);
  window.sender = transceiver.sender;
  const parameters = sender.getParameters();
  parameters.degradationPreference = "maintain-resolution";  // however busy the machine is
  await sender.setParameters(parameters);
  if (codec) {
    const known = RTCRtpSender.getCapabilities("video").codecs;
    const wanted = known.filter(one => one.mimeType.toLowerCase() === `video/${codec}`);
    transceiver.setCodecPreferences([...wanted, ...known.filter(one => one.mimeType === "video/rtx")]);
  }
  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(url, {
    method: "POST",
    headers: {"content-type": "application/sdp", authorization: `Bearer ${key}`},
    body: pc.localDescription.sdp,
  });
  const sdp = await answer.text();
  if (answer.status !== 201) throw new Error(`${answer.status}: ${sdp}`);
  window.resource = new URL(answer.headers.get("location"), url).href;
  const told = startKbps ? sdp.replace(/x-google-start-bitrate=\d+/g, `x-google-start-bitrate=${startKbps}`) : sdp;
  await pc.setRemoteDescription({type: "answer", sdp: told});
}

async function scale(factor) {
  const parameters = sender.getParameters();
  parameters.encodings[0].scaleResolutionDownBy = factor;
  await sender.setParameters(parameters);
}

async function activate(rid, active) {
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) if (encoding.rid === rid) encoding.active = active;
  await sender.setParameters(parameters);
}

async function sent() {
  const found = {};
  (await pc.getStats()).forEach(one => {
    if (one.type === "outbound-rtp" && one.kind === "video") {
      found[one.rid ?? ""] = {width: one.frameWidth, frames: one.framesSent, target: one.targetBitrate};
    }
    if (one.type === "candidate-pair" && one.nominated) found.bandwidth = one.availableOutgoingBitrate;
  });
  return found;
}

async function leave() {
  await fetch(resource, {method: "DELETE"});
  pc.close();
}
</script>"""

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream=fps=30",
    "--use-fake-ui-for-media-stream",
]


@asynccontextmanager
async def broadcasting_chromium() -> AsyncIterator[Browser]:
    """A headless Chromium with a false camera and microphone that nobody has to allow."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=ENGINE, args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def publish(page: Page, endpoint: str, key: str, **options: Any) -> None:
    """Broadcast from a page that shows `PAGE`."""
    await page.evaluate("([url, key, options]) => publish(url, key, options)", [endpoint, key, options])
