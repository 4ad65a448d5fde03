import { t } from "../i18n";

const LABELS = {
  ".op-play-button": "player.control.play",
  ".op-volume-button": "player.control.mute",
  ".op-setting-button": "player.control.settings",
  ".op-fullscreen-button": "player.control.fullscreen",
} as const;

/** OvenPlayer's buttons are icons without a name; a screen reader would say only "button". */
export function labelControls(root: HTMLElement): void {
  for (const [selector, key] of Object.entries(LABELS)) {
    for (const button of root.querySelectorAll(selector)) {
      button.setAttribute("aria-label", t(key));
      button.setAttribute("title", t(key));
    }
  }
  // No name, no role and no keys of its own: the arrow keys wind from every other control.
  for (const bar of root.querySelectorAll(".op-progressbar")) bar.setAttribute("tabindex", "-1");
}
