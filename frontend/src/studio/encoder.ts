import { t } from "../lib/i18n";
import type { IngestAddress, Key } from "./api";

/** What goes into OBS, and the same for ffmpeg. */
export interface EncoderSettings {
  server: string;
  /** The same over TLS; empty when the server does not listen for it. */
  encrypted: string;
  /** The key, or as much of it as is known. */
  key: string;
  ffmpeg: string;
}

export function encoderSettings(
  addresses: readonly IngestAddress[],
  keys: readonly Key[],
  secret: string | null,
): EncoderSettings {
  const urlOf = (wanted: string) => addresses.find(({ protocol }) => protocol === wanted)?.url ?? "";
  const [plain, encrypted] = [urlOf("rtmp"), urlOf("rtmps")];
  const server = plain || encrypted;
  return {
    server,
    encrypted: plain ? encrypted : "",
    key: secret ?? maskedKey(newest(keys)),
    ffmpeg: ffmpegCommand(server, secret),
  };
}

/** "••••abcd": which key it is, to who has it. */
export function maskedKey(key: Pick<Key, "hint"> | undefined): string {
  return key ? `••••${key.hint}` : "";
}

/** In one line, so that it can be copied into any shell. */
export function ffmpegCommand(server: string, secret: string | null): string {
  const video = "-c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -g 60 -bf 0 -b:v 2500k";
  const audio = "-c:a aac -b:a 128k";
  const target = `${server}/${secret ?? t("studio.encoder.keyPlace")}`;
  return `ffmpeg -re -i film.mp4 ${video} ${audio} -f flv "${target}"`;
}

function newest(keys: readonly Key[]): Key | undefined {
  return keys.reduce<Key | undefined>((best, key) => (best && best.id > key.id ? best : key), undefined);
}
