import { describe, expect, test } from "vitest";
import { DARK, LIGHT, nameColours } from "../src/chat/colour";
import { banText, refusalText, saidAt } from "../src/chat/words";
import { durationText } from "../src/lib/format/time";

const NOW = new Date(2026, 5, 1, 15, 0);

test.each([
  [0, "1 second"],
  [1, "1 second"],
  [4.2, "5 seconds"],
  [59.5, "60 seconds"],
  [60, "1 minute"],
  [61, "2 minutes"],
  [3_600, "1 hour"],
  [86_400, "1 day"],
  [200_000, "3 days"],
])("%d seconds in words: %s", (seconds, text) => {
  expect(durationText(seconds)).toBe(text);
});

test("refusals say what to do, also those of a newer server", () => {
  const refusal = { type: "error", code: "too_fast", text: "", retryAfter: 3, txn: null } as const;
  expect(refusalText(refusal)).toContain("3 seconds");
  expect(refusalText({ ...refusal, retryAfter: null })).not.toContain("null");
  expect(refusalText({ ...refusal, code: "name_refused", text: "That name is reserved." })).toBe(
    "That name is reserved.",
  );
  expect(refusalText({ ...refusal, code: "new_thing" })).not.toBe("");
});

test("a ban says when it ends", () => {
  expect(banText({ reason: "", until: null }, NOW)).toBe("You are banned from this chat.");
  expect(banText({ reason: "", until: "nonsense" }, NOW)).toBe("You are banned from this chat.");
  const today = new Date(2026, 5, 1, 16, 30).toISOString();
  expect(banText({ reason: "", until: today }, NOW, "en-GB")).toContain("16:30");
  const later = new Date(2026, 5, 3, 16, 30).toISOString();
  expect(banText({ reason: "", until: later }, NOW, "en-GB")).toContain("3 Jun");
});

test("the time of a message is short, and whole on demand", () => {
  const at = new Date(2026, 5, 1, 14, 5).toISOString();
  expect(saidAt(at, NOW, "en-GB").short).toBe("14:05");
  expect(saidAt(at, NOW, "en-US").short).toBe("2:05");
  expect(saidAt(at, NOW, "en-US").long).toContain("PM");
  expect(saidAt(new Date(2026, 4, 30, 14, 5).toISOString(), NOW, "en-GB").short).toContain("30 May");
  // The same moment once more, a day later.
  const later = new Date(NOW.getTime() + 86_400_000);
  expect(saidAt(at, later, "en-GB").short).not.toBe(saidAt(at, NOW, "en-GB").short);
  expect(saidAt(at, NOW, "en-GB").short).toBe("14:05");
  expect(saidAt("nonsense", NOW)).toEqual({ short: "", long: "" });
});

describe("every name can be read", () => {
  // The backgrounds that a name can stand on: page, surface, a message that is pointed at, a mention.
  const dark = ["#161b22", "#1f2630", mix("#7fe3c6", "#161b22", 0.13)];
  const light = ["#ffffff", "#edf1ef", mix("#0a6b55", "#ffffff", 0.13)];

  test.each([
    ["dark", DARK, dark],
    ["light", LIGHT, light],
  ] as const)("%s", (_, { lightness, chroma }, backgrounds) => {
    for (let hue = 0; hue < 360; hue += 1) {
      const colour = luminance(fromOklch(lightness, chroma, hue));
      for (const background of backgrounds) {
        expect(contrast(colour, luminance(fromHex(background))), `${hue} on ${background}`).toBeGreaterThan(
          4.5,
        );
      }
    }
  });

  test("a hue outside the circle is taken around it", () => {
    expect(nameColours(-10)).toBe(nameColours(350));
    expect(nameColours(370)).toBe(nameColours(10));
  });
});

type Rgb = [number, number, number];

/** Linear sRGB, cut off where the screen ends. */
function fromOklch(lightness: number, chroma: number, hue: number): Rgb {
  const [a, b] = [chroma * Math.cos((hue * Math.PI) / 180), chroma * Math.sin((hue * Math.PI) / 180)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clip = (value: number) => Math.min(Math.max(value, 0), 1);
  return [
    clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function fromHex(hex: string): Rgb {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
  const linear = (value: number) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return [linear(r), linear(g), linear(b)];
}

function mix(one: string, other: string, share: number): string {
  const parts = [1, 3, 5].map((at) => {
    const [a, b] = [one, other].map((hex) => Number.parseInt(hex.slice(at, at + 2), 16)) as [number, number];
    return Math.round(a * share + b * (1 - share))
      .toString(16)
      .padStart(2, "0");
  });
  return `#${parts.join("")}`;
}

function luminance([r, g, b]: Rgb): number {
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: number, other: number): number {
  const [high, low] = one > other ? [one, other] : [other, one];
  return (high + 0.05) / (low + 0.05);
}
