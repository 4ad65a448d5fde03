type Watched = Pick<RTCPeerConnection, "getTransceivers" | "signalingState" | "remoteDescription"> &
  EventTarget;

/**
 * Calls when the browser takes no picture of those that the server offers, as Firefox without its H.264 plug-in: it would
 * play the sound alone, and call that a success, or never come to an end of its answer.
 *
 * @param known types such as `video/H264` that the browser decodes; null when it does not say
 */
export function onPictureRefused(
  connection: Watched,
  call: () => void,
  known: readonly string[] | null = decodable(),
): void {
  connection.addEventListener("signalingstatechange", () => {
    const { signalingState: state, remoteDescription } = connection;
    if (state === "have-remote-offer" && known) {
      const offered = offeredPictures(remoteDescription?.sdp ?? "");
      const types = known.map((type) => type.toLowerCase());
      if (offered.length > 0 && !offered.some((codec) => types.includes(`video/${codec}`))) call();
    }
    if (state === "stable") {
      const pictures = connection.getTransceivers().filter(({ receiver }) => receiver.track.kind === "video");
      const taken = pictures.some(({ currentDirection }) => currentDirection === "recvonly");
      if (pictures.length > 0 && !taken) call();
    }
  });
}

function decodable(): string[] | null {
  const found = globalThis.RTCRtpReceiver?.getCapabilities?.("video");
  return found ? found.codecs.map(({ mimeType }) => mimeType) : null;
}

/** The codecs of a description's pictures, in small letters, without what only repairs losses. */
export function offeredPictures(sdp: string): string[] {
  const sections = sdp.split(/^m=/mu).filter((section) => section.startsWith("video "));
  const names = sections.flatMap((section) => [...section.matchAll(/^a=rtpmap:\d+ ([^/\s]+)/gmu)]);
  const codecs = names.map(([, name = ""]) => name.toLowerCase());
  return [...new Set(codecs)].filter((name) => !["rtx", "red", "ulpfec", "flexfec-03"].includes(name));
}
