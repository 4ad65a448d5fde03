import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { catalogueInHtml, serverAddresses } from "./vite/pages.ts";

/** Where `npm run dev` finds a running `ghostlive serve`. */
const SERVER = process.env.GHOSTLIVE_DEV_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/",
  plugins: [svelte(), catalogueInHtml(), serverAddresses()],
  build: {
    outDir: "../src/ghostlive/web/static",
    emptyOutDir: true,
    target: "es2022",
    // Everything under assets/ has a hashed name and may be cached for ever; inlined files could not be.
    assetsInlineLimit: 0,
    // The two media libraries are large by nature and are loaded only when a source needs them.
    chunkSizeWarningLimit: 1800,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { home: "index.html", watch: "watch.html", embed: "embed.html", docs: "docs.html" },
    },
  },
  server: { proxy: { "/api": SERVER, "/app": { target: SERVER, ws: true } } },
  test: { environment: "jsdom", include: ["test/**/*.test.ts"] },
});
