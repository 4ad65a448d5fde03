/** RFC 6381 codec strings as names that people know. */
const NAMES: ReadonlyArray<[prefix: string, name: string]> = [
  ["avc", "H.264"],
  ["hvc1", "H.265"],
  ["hev1", "H.265"],
  ["av01", "AV1"],
  ["vp09", "VP9"],
  ["vp9", "VP9"],
  ["vp8", "VP8"],
  ["vp08", "VP8"],
  ["mp4a.40.34", "MP3"],
  ["mp4a", "AAC"],
  ["opus", "Opus"],
  ["ac-3", "Dolby Digital"],
  ["ec-3", "Dolby Digital Plus"],
  ["flac", "FLAC"],
];

/** An unknown codec is shown as it is: better an odd word than a wrong one. */
export function codecName(codec: string): string {
  const lower = codec.toLowerCase();
  return NAMES.find(([prefix]) => lower.startsWith(prefix))?.[1] ?? codec;
}
