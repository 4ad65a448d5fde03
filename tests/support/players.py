"""Pages of another site with players as people put them there: Shaka, dash.js, hls.js."""

from tests.support.site import Site

PLAYERS = {
    "shaka": (
        "shaka-player/dist/shaka-player.compiled.js",
        """
        const player = new shaka.Player();
        player.addEventListener("error", (event) => window.failures.push(`${event.detail.code} ${event.detail.data}`));
        player.configure({streaming: {lowLatencyMode: LOW}});
        const failed = (error) => window.failures.push(String(error.code ?? error.stack));
        player.attach(video).then(() => player.load(ADDRESS)).catch(failed);
        window.latency = () => player.getStats().liveLatency;
        """,
    ),
    "dash.js": (
        "dashjs/dist/dash.all.min.js",
        """
        const player = dashjs.MediaPlayer().create();
        player.on("error", (event) => window.failures.push(JSON.stringify(event.error)));
        player.initialize(video, null, true);
        player.clearDefaultUTCTimingSources();
        if (LOW) player.updateSettings({streaming: {delay: {liveDelay: 1.5}, liveCatchup: {enabled: true}}});
        player.attachSource(ADDRESS);
        window.latency = () => player.getCurrentLiveLatency();
        """,
    ),
    "hls.js": (
        "hls.js/dist/hls.min.js",
        """
        // By itself it does not make up for what a busy machine costs it; the other two do.
        const player = new Hls({lowLatencyMode: LOW, maxLiveSyncPlaybackRate: LOW ? 1.5 : 1});
        player.on("hlsError", (name, data) => { if (data.fatal) window.failures.push(data.details); });
        player.loadSource(ADDRESS);
        player.attachMedia(video);
        window.latency = () => player.latency;
        """,
    ),
}
"""Script and what the page does with it, by player. ADDRESS and LOW (latency) are put in."""


def page_with(outside: Site, player: str, address: str, *, low: bool, more: str = "") -> str:
    """A page of another site with this player, and `more` that it is to do at once; its address.

    `window.failures` says what went wrong.
    """
    script, code = PLAYERS[player]
    code = (code + more).replace("ADDRESS", f'"{address}"').replace("LOW", str(low).lower())
    return outside.add(
        player,
        f"""<!doctype html><title>{player}</title><video muted autoplay width="640"></video>
        <script src="/packages/{script}"></script>
        <script>window.failures = []; const video = document.querySelector("video"); {code}</script>""",
    )
