/** Every string that a person sees. `{name}` is filled in by `t()`, which checks the names. */
export const en = {
  "site.name": "Ghost Live",
  "site.description": "Live streams, self-hosted.",
  "site.noscript": "Ghost Live needs JavaScript to play live video.",
  "site.skip": "Skip to content",
  "site.home": "Ghost Live, all streams",
  "site.reconnecting": "Reconnecting…",

  "docs.title": "API · Ghost Live",

  "title.stream": "{title} · Ghost Live",
  "title.live": "● {title} · Ghost Live",

  "state.live": "Live",
  "state.interrupted": "Interrupted",
  "state.offline": "Offline",
  "state.since": "since {time}",

  "home.heading": "Live now",
  "home.loading": "Looking for live streams…",
  "home.quiet": "Nothing is live at the moment. This page notices by itself when a stream starts.",
  "home.offline": "Offline",
  "home.empty.heading": "It is quiet in here",
  "home.empty.text": "There are no streams yet. Two steps and your picture is on this page:",
  "home.empty.add": "Make a stream. The command prints its key, once.",
  "home.empty.command": "ghostlive stream add NAME",
  "home.empty.obs":
    "Enter this address and the key in OBS, under Settings → Stream, service “Custom…”, then start streaming.",
  "home.empty.wait": "Nothing to reload: the stream shows up here when it starts.",
  "home.audioOnly": "Audio only",

  "watch.loading": "Loading…",
  "watch.missing.heading": "No such stream",
  "watch.missing.text":
    "There is no stream called “{name}”. The link may be misspelt, or the stream was removed.",
  "watch.missing.link": "See what is live",
  "watch.offline.heading": "The stream is offline",
  "watch.offline.text": "It starts here by itself as soon as the broadcast begins.",
  "watch.sent": "What is being sent",

  "embed.offline": "{title} is offline",
  "embed.open": "Open on Ghost Live",

  "player.label": "Video player: {title}",
  "player.interrupted": "The broadcast is interrupted, it may be back in a moment",
  "player.retrying": "The picture cannot be loaded at the moment. Trying again…",
  "player.sound": "Tap for sound",
  "player.play": "Play",
  "player.control.play": "Play or pause",
  "player.control.mute": "Sound on or off",
  "player.control.settings": "Settings",
  "player.control.fullscreen": "Full screen",

  "tracks.size": "{width}×{height}",
  "tracks.fps": "{rate} fps",
  "tracks.codecs": "{video} + {audio}",
  "tracks.bitrate": "{rate} Mb/s",
  "tracks.mono": "mono",
  "tracks.stereo": "stereo",
  "tracks.channels": "{count} channels",
} as const;
