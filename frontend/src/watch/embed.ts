export interface EmbedOptions {
  chat: boolean;
  muted: boolean;
}

/** The address of the player alone, for a frame on somebody's page. */
export function embedUrl(origin: string, stream: string, options: EmbedOptions): string {
  const url = new URL(`/embed/${encodeURIComponent(stream)}`, origin);
  if (options.chat) url.searchParams.set("chat", "1");
  if (options.muted) url.searchParams.set("muted", "1");
  return url.href;
}

/** HTML that keeps the shape of the picture at any width; beside a chat the frame is higher on its own account. */
export function embedCode(origin: string, stream: string, title: string, options: EmbedOptions): string {
  const style = `border: 0; width: 100%; ${options.chat ? "height: 36rem" : "aspect-ratio: 16 / 9"}`;
  const attributes = {
    src: embedUrl(origin, stream, options),
    title,
    style,
    allow: "autoplay; fullscreen; picture-in-picture; clipboard-write",
  };
  const written = Object.entries(attributes).map(([name, value]) => `${name}="${escapeText(value)}"`);
  return `<iframe ${written.join(" ")} allowfullscreen></iframe>`;
}

/** What the embedded page is asked for in its address. */
export function embedOptions(search: string): EmbedOptions {
  const query = new URLSearchParams(search);
  return { chat: query.get("chat") === "1", muted: query.get("muted") === "1" };
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;" };

function escapeText(value: string): string {
  return value.replace(/[&"<>]/gu, (character) => ENTITIES[character] ?? character);
}
