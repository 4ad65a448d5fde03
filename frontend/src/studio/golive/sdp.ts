/** The few things about a session description (RFC 8866) that browsers have no other switch for. */

/** H.264 first, as every player has it and the server passes it on as it is; then what the browser prefers. */
export function h264First<T extends { mimeType: string; sdpFmtpLine?: string }>(codecs: readonly T[]): T[] {
  const rank = ({ mimeType, sdpFmtpLine = "" }: T) => {
    if (mimeType.toLowerCase() !== "video/h264") return 2;
    // Packets of the other mode carry one small piece each.
    return sdpFmtpLine.includes("packetization-mode=1") ? 0 : 1;
  };
  return codecs
    .map((codec, index) => ({ codec, index }))
    .sort((a, b) => rank(a.codec) - rank(b.codec) || a.index - b.index)
    .map(({ codec }) => codec);
}

/**
 * What the server says that it takes: sound in stereo (RFC 7587 §6.1), which browsers send only where the other side asks
 * for it, and a picture that begins near its bit rate rather than with a blur (Chromium's own parameter).
 */
export function tuneAnswer(answer: string, { startKbps }: { startKbps: number }): string {
  const lines = answer.split(/\r?\n/u);
  const types = new Map<string, string>();
  for (const line of lines) {
    const [, type, codec] = /^a=rtpmap:(\d+) ([^/]+)/u.exec(line) ?? [];
    if (type && codec) types.set(type, codec.toLowerCase());
  }
  const wanted = new Map<string, string>();
  for (const [type, codec] of types) {
    if (codec === "opus") wanted.set(type, "stereo=1;sprop-stereo=1;maxaveragebitrate=128000");
    else if (["h264", "vp8", "vp9", "av1"].includes(codec)) {
      wanted.set(type, `x-google-start-bitrate=${startKbps}`);
    }
  }
  const tuned: string[] = [];
  const done = new Set<string>();
  for (const line of lines) {
    const [, type = ""] = /^a=fmtp:(\d+) /u.exec(line) ?? [];
    const more = wanted.get(type);
    tuned.push(more && !done.has(type) ? merge(line, more) : line);
    if (more) done.add(type);
  }
  return tuned.flatMap((line) => [line, ...missing(line, wanted, done)]).join("\r\n");
}

/** A parameter line for a format that has none. */
function missing(line: string, wanted: ReadonlyMap<string, string>, done: ReadonlySet<string>): string[] {
  const [, type = ""] = /^a=rtpmap:(\d+) /u.exec(line) ?? [];
  const more = wanted.get(type);
  return more && !done.has(type) ? [`a=fmtp:${type} ${more}`] : [];
}

function merge(line: string, more: string): string {
  const names = new Set(more.split(";").map((part) => part.split("=")[0]));
  const [head = "", ...rest] = line.split(" ");
  const kept = rest
    .join(" ")
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part && !names.has(part.split("=")[0]));
  return `${head} ${[...kept, more].join(";")}`;
}
