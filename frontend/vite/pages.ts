import type { Plugin } from "vite";
import { en } from "../src/lib/i18n/en.ts";

/** Fills `{{key}}` in the HTML pages from the catalogue, so that no page keeps strings of its own. */
export function catalogueInHtml(): Plugin {
  return {
    name: "ghostlive-catalogue-in-html",
    transformIndexHtml: {
      order: "pre",
      handler: (html) =>
        html.replace(/\{\{([\w.]+)\}\}/g, (_, key: string) => {
          const text = (en as Record<string, string>)[key];
          if (text === undefined) throw new Error(`no string named ${key} in the catalogue`);
          return text;
        }),
    },
  };
}

/** Serves the pages under the addresses that the real server gives them, for `npm run dev`. */
export function serverAddresses(): Plugin {
  return {
    name: "ghostlive-server-addresses",
    configureServer(server) {
      server.middlewares.use((request, _response, next) => {
        const path = (request.url ?? "/").split("?")[0] ?? "/";
        if (/^\/(studio(\/[^/.]+(\/chat)?)?|setup|login)\/?$/.test(path)) request.url = "/studio.html";
        else if (/^\/embed\/[^/.]+$/.test(path))
          request.url = /[?&]chat=only/.test(request.url ?? "") ? "/chat.html" : "/embed.html";
        else if (/^\/overlay\/[^/.]+$/.test(path)) request.url = "/overlay.html";
        else if (/^\/[^/.@]+$/.test(path)) request.url = "/watch.html";
        next();
      });
    },
  };
}
