import { t } from "../lib/i18n";
import type { FieldError } from "../lib/ui/forms";
import type { RenditionCodec, RenditionMode, RenditionSetting } from "./api";

/** A row of the form: numbers as they are written, so that what is wrong stays in sight. */
export interface Row {
  /** Tells rows apart while they come and go. */
  key: number;
  height: string;
  /** Empty: as many as are sent. */
  rate: string;
  /** Kilobits per second; empty: the server chooses. */
  bitrate: string;
  codec: RenditionCodec;
  mode: RenditionMode;
  name: string;
}

export const CODECS: Record<RenditionCodec, string> = { h264: "H.264", av1: "AV1", vp8: "VP8" };
export const MODES = ["demand", "always", "never"] as const;
/** As the server has them (`transcode/config.py`). */
export const MAX_ROWS = 32;
const HEIGHTS = { least: 16, most: 8640 };
const RATES = { least: 1, most: 240 };
const KILOBITS = { least: 10, most: 200_000 };

let keys = 0;

export function toRow(setting: RenditionSetting): Row {
  const { height, frame_rate: rate, bitrate, codec, mode, name } = setting;
  keys += 1;
  return {
    key: keys,
    height: height ? String(height) : "",
    rate: rate ? String(rate) : "",
    bitrate: bitrate ? String(bitrate / 1000) : "",
    codec,
    mode,
    name,
  };
}

/** One that most would add next. */
export function newRow(): Row {
  return toRow({ height: 480, frame_rate: 30, bitrate: 0, codec: "h264", mode: "demand", name: "" });
}

export function toSetting({ height, rate, bitrate, codec, mode, name }: Row): RenditionSetting {
  return {
    height: numberIn(height),
    frame_rate: numberIn(rate),
    bitrate: Math.round(numberIn(bitrate) * 1000),
    codec,
    mode,
    name,
  };
}

/** What menus will call it. */
export function rowName({ name, height, rate }: Row): string {
  return name || `${height.trim() || t("studio.unknown")}p${rate.trim()}`;
}

/** "720p60", "360p30, AV1, always": a row in a line. */
export function settingText(setting: RenditionSetting): string {
  const parts = [setting.name || `${setting.height}p${setting.frame_rate || ""}`];
  if (setting.codec !== "h264") parts.push(CODECS[setting.codec]);
  if (setting.mode === "always") parts.push(t("studio.rendition.always"));
  return parts.join(", ");
}

export function fieldId(index: number, field: string): string {
  return `ladder-${index}-${field}`;
}

/** What the server would refuse, before it is asked. */
export function checkRows(rows: readonly Row[]): FieldError[] {
  return rows.flatMap((row, index) => {
    const found: FieldError[] = [];
    const check = (field: "height" | "rate" | "bitrate", good: boolean, text: string) => {
      if (good) return;
      const number = index + 1;
      found.push({ field: fieldId(index, field), text: t("studio.ladder.error", { number, text }) });
    };
    const height = numberIn(row.height);
    check(
      "height",
      Number.isInteger(height) && within(height, HEIGHTS),
      t("studio.ladder.heightRule", HEIGHTS),
    );
    const rate = row.rate.trim();
    check("rate", rate === "" || within(numberIn(rate), RATES), t("studio.ladder.rateRule", RATES));
    const bitrate = row.bitrate.trim();
    const kilobits = within(numberIn(bitrate), KILOBITS);
    check("bitrate", bitrate === "" || kilobits, t("studio.ladder.bitrateRule", KILOBITS));
    return found;
  });
}

const FIELDS: Record<string, string> = { frame_rate: "rate" };

/** The server's refusal, at the field that it names: `renditions.1.height: 5 is not accepted; …`. */
export function serverErrors(detail: string, rows: number): FieldError[] {
  const found = /renditions\D*(\d+)\W+(height|frame_rate|bitrate|codec|mode|name)\b\W*(.*)$/su.exec(detail);
  const index = Number(found?.[1] ?? Number.NaN);
  if (!found?.[2] || !(index < rows)) return [{ text: detail }];
  const field = fieldId(index, FIELDS[found[2]] ?? found[2]);
  return [{ field, text: t("studio.ladder.error", { number: index + 1, text: found[3] || detail }) }];
}

/** Also with a comma, as many write it; NaN when it is no number. */
function numberIn(text: string): number {
  const plain = text.trim().replace(",", ".");
  return plain === "" ? 0 : Number(plain);
}

function within(value: number, { least, most }: { least: number; most: number }): boolean {
  return value >= least && value <= most;
}
