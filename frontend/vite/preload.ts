import type { Plugin } from "vite";

/** What every viewer needs, by the package that brings it; what LL-HLS needs too comes when WebRTC takes long. */
const NEEDED = ["/node_modules/ovenplayer/"];
const PAGES = ["watch.html", "embed.html"];

/**
 * Pages with a player ask for the player's libraries at once, beside their own script. Their chunks are imported
 * lazily, so otherwise the browser would learn of them only after the page's script ran and the stream was known:
 * a quarter of a second on a phone.
 */
export function preloadPlayer(): Plugin {
  return {
    name: "ghostlive-preload-player",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler: (_, { bundle, filename }) => {
        if (!bundle || !PAGES.some((page) => filename.endsWith(page))) return [];
        const chunks = Object.values(bundle).filter(
          (chunk) =>
            chunk.type === "chunk" && chunk.moduleIds.some((id) => NEEDED.some((name) => id.includes(name))),
        );
        if (chunks.length !== NEEDED.length)
          throw new Error("the player's libraries are not where they were");
        return chunks.map((chunk) => ({
          tag: "link",
          attrs: { rel: "modulepreload", href: `/${chunk.fileName}`, crossorigin: true },
          injectTo: "head",
        }));
      },
    },
  };
}
