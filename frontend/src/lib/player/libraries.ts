import type { OvenPlayerStatic } from "./ovenplayer-api";
import type { Protocol } from "./sources";

/**
 * OvenPlayer looks for `window.Hls` and `window.dashjs`. Each is a few hundred kilobytes, so each is fetched
 * when a source first needs it, from this server like everything else.
 */
export async function loadLibraries(type: Protocol): Promise<OvenPlayerStatic> {
  const [oven] = await Promise.all([import("ovenplayer"), MEDIA_LIBRARIES[type]()]);
  return oven.default;
}

const MEDIA_LIBRARIES: Record<Protocol, () => Promise<void>> = {
  // Is in OvenPlayer, and in the browser.
  webrtc: async () => {},
  llhls: async () => {
    window.Hls ??= (await import("hls.js")).default;
  },
  dash: async () => {
    if (window.dashjs && dashReady) return;
    const { default: dashjs } = await import("dashjs/dist/dash.mediaplayer.min.js");
    window.dashjs = dashjs;
    tameDash(dashjs);
    dashReady = true;
  },
};

let dashReady = false;

/**
 * Two things that dash.js and OvenPlayer cannot be told by options:
 * - dash.js asks a public time server for the time on its own account. The manifest names ours.
 * - OvenPlayer sets two options that dash.js 3 had; dash.js 4 reports each as an error on the console.
 */
function tameDash(dashjs: DashStatic): void {
  const original = dashjs.MediaPlayer;
  const tamed: DashStatic["MediaPlayer"] = Object.assign(
    () => ({
      create: () => {
        const player = original().create();
        const { initialize, updateSettings } = player;
        player.initialize = (...args) => {
          initialize.apply(player, args);
          player.clearDefaultUTCTimingSources();
        };
        player.updateSettings = (settings) => updateSettings.call(player, withoutOldOptions(settings));
        return player;
      },
    }),
    original,
  );
  dashjs.MediaPlayer = tamed;
}

function withoutOldOptions(settings: DashSettings): DashSettings {
  const { lowLatencyEnabled: _a, liveDelay: _b, ...streaming } = settings.streaming ?? {};
  return { ...settings, streaming };
}
