import { type ComponentProps, flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, expect, test } from "vitest";
import QualityMenu from "../src/lib/player/QualityMenu.svelte";
import { AUTO, type Choice } from "../src/lib/player/quality/choice";
import type { QualityView } from "../src/lib/player/quality/controller";
import type { Level } from "../src/lib/player/quality/levels";
import { LEVELS, level } from "./quality-support";
import { reactive } from "./quality-support.svelte";

type Props = ComponentProps<typeof QualityMenu>;

let shown: ReturnType<typeof mount>;
let props: Props;
let chosen: Choice[];

const texts = () => items().map(({ textContent }) => textContent?.replaceAll(/\s+/g, " ").trim());
const items = () => [...document.querySelectorAll<HTMLElement>("[role=menuitemradio]")];

function view(levels: readonly Level[], change: Partial<QualityView> = {}): QualityView {
  return { levels, choice: AUTO, pending: null, playing: levels[0]?.name ?? null, notice: null, ...change };
}

function show(quality: QualityView, audio = true): void {
  const bar = document.createElement("div");
  document.body.append(bar);
  props = reactive<Props>({ quality, audio, bar, onchoose: (choice: Choice) => chosen.push(choice) });
  shown = mount(QualityMenu, { target: document.body, props });
  flushSync();
}

/** As the browser does it; jsdom has no popovers. */
function open(): void {
  const event = Object.assign(new Event("toggle"), { newState: "open" });
  document.querySelector("[role=menu]")?.dispatchEvent(event);
  flushSync();
}

function button(): HTMLButtonElement | null {
  return document.querySelector("[data-testid=quality]");
}

beforeEach(() => {
  chosen = [];
  Object.assign(HTMLElement.prototype, { hidePopover: () => {} });
});

afterEach(async () => {
  await unmount(shown);
  document.body.replaceChildren();
});

test("Auto, the source, what is made of it, and sound alone", () => {
  show(view(LEVELS));
  expect(texts()).toEqual([
    "✓Auto (1080p60)",
    "1080p60 (source)",
    "720p60",
    "720p30",
    "480p30",
    "360p30",
    "Audio only",
  ]);
  items()[2]?.click();
  expect(chosen).toEqual([{ kind: "level", name: "720p60" }]);
});

test("one picture and its sound: what holds is marked", () => {
  show(view(LEVELS.slice(0, 1)));
  expect(texts()).toEqual(["✓Auto (1080p60)", "1080p60 (source)", "Audio only"]);
});

test("nothing to choose gives no button", () => {
  show(view(LEVELS.slice(0, 1)), false);
  expect(button()?.hidden).toBe(true);
});

test("a rendition with a name that the menu has itself", () => {
  show(view([...LEVELS.slice(0, 1), level("Audio only", 1), level("Auto", 1)]));
  expect(texts()).toEqual(["✓Auto (1080p60)", "1080p60 (source)", "Audio only", "Auto", "Audio only"]);
});

test("the focus stays while what plays changes", () => {
  show(view(LEVELS));
  open();
  const [auto] = items();
  expect(document.activeElement).toBe(auto);
  props.quality = view(LEVELS, { playing: "720p60" });
  flushSync();
  expect(texts()[0]).toBe("✓Auto (720p60)");
  expect(document.activeElement).toBe(auto);
});

test("the focus goes to what holds when its quality is offered no longer", () => {
  show(view(LEVELS));
  open();
  items()[5]?.focus();
  props.quality = view(LEVELS.slice(0, 3));
  flushSync();
  expect(document.activeElement).toBe(items()[0]);
});

test("the menu goes with its button when the broadcast ends", () => {
  show(view(LEVELS));
  open();
  props.bar = null;
  flushSync();
  expect(document.querySelector("[role=menu]")).toBeNull();
  expect(button()).toBeNull();
});
