import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { catalogueInHtml, serverAddresses } from "./vite/pages.ts";
import { preloadPlayer } from "./vite/preload.ts";

/** Where `npm run dev` finds a running `ghostlive serve`. */
const SERVER = process.env.GHOSTLIVE_DEV_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/",
  plugins: [svelte(), catalogueInHtml(), serverAddresses(), preloadPlayer()],
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
      // Advice about slow builds, which a busy machine makes.
      checks: { pluginTimings: false },
      input: {
        home: "index.html",
        watch: "watch.html",
        embed: "embed.html",
        chat: "chat.html",
        overlay: "overlay.html",
        studio: "studio.html",
        docs: "docs.html",
      },
    },
  },
  server: { proxy: { "/api": { target: SERVER, ws: true }, "/app": { target: SERVER, ws: true } } },
  // Tests mount components as a browser does.
  ...(process.env.VITEST && { resolve: { conditions: ["browser"] } }),
  test: {
    environment: "jsdom",
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/strings.ts"],
    // One document and one load of the modules for all files: making them anew for each was three quarters of the work.
    isolate: false,
  },
});
