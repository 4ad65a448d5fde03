/**
 * Options for the two media libraries, which OvenPlayer passes on. Both keep close to the live edge by
 * playing up to a tenth faster, which nobody hears, rather than by jumping, which everybody sees.
 */

/** A broken playlist is given up after about two seconds, because there is another source to try. */
const PLAYLIST_POLICY = {
  default: {
    maxTimeToFirstByteMs: 6_000,
    maxLoadTimeMs: 10_000,
    timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 1_000 },
  },
};

/** A lost part is worth a few more tries: the playlist works, so the stream is there. */
const FRAGMENT_POLICY = {
  default: {
    maxTimeToFirstByteMs: 6_000,
    maxLoadTimeMs: 20_000,
    timeoutRetry: { maxNumRetry: 2, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 3, retryDelayMs: 250, maxRetryDelayMs: 1_000 },
  },
};

export const hlsConfig = {
  lowLatencyMode: true,
  // No liveSyncDuration: in low-latency mode hls.js then follows the playlist's PART-HOLD-BACK.
  liveSyncOnStallIncrease: 0.25,
  maxLiveSyncPlaybackRate: 1.1,
  backBufferLength: 30,
  maxBufferLength: 20,
  manifestLoadPolicy: PLAYLIST_POLICY,
  playlistLoadPolicy: PLAYLIST_POLICY,
  fragLoadPolicy: FRAGMENT_POLICY,
};

export const dashConfig = {
  streaming: {
    delay: { liveDelay: 3, useSuggestedPresentationDelay: false },
    // No jump from any drift (0 would be a default of dash.js): it would bring everybody back who goes back. After a
    // stall the page jumps by itself, and `catchup.ts` says how far behind somebody is chased.
    liveCatchup: { enabled: true, maxDrift: 86_400, playbackRate: { min: -0.1, max: 0.1 } },
    buffer: { bufferToKeep: 30 },
    retryAttempts: { MPD: 2 },
    // Which level plays is decided by `quality/controller.ts`, for this visit as for the last.
    abr: { autoSwitchBitrate: { video: false } },
    lastBitrateCachingInfo: { enabled: false },
    // Clocks are compared with this server only; see also `libraries.ts`.
    utcSynchronization: { useManifestDateHeaderTimeSource: true },
  },
};
