import type { AudioTrack, Track, VideoTrack } from "../api";
import { t } from "../i18n";
import { codecName } from "./codecs";

/** The tracks that a line about the stream speaks of: the largest picture, the first sound. */
export function mainTracks(tracks: readonly Track[]): { video?: VideoTrack; audio?: AudioTrack } {
  const area = (track: VideoTrack) => (track.width ?? 0) * (track.height ?? 0);
  const video = tracks
    .filter((track) => track.kind === "video")
    .reduce<VideoTrack | undefined>(
      (best, track) => (best && area(best) >= area(track) ? best : track),
      undefined,
    );
  const audio = tracks.find((track) => track.kind === "audio");
  return { ...(video && { video }), ...(audio && { audio }) };
}

/** Broadcast rates are fractions: 30000/1001 reads "29.97", 30 reads "30". */
export function frameRate(rate: number): string {
  return String(Number(rate.toFixed(2)));
}

/** "1280×720", "30 fps": what a card has room for. */
export function pictureFacts(tracks: readonly Track[]): string[] {
  const { video } = mainTracks(tracks);
  if (!video) return [];
  const facts: string[] = [];
  if (video.width && video.height) {
    facts.push(t("tracks.size", { width: video.width, height: video.height }));
  }
  if (video.frame_rate) facts.push(t("tracks.fps", { rate: frameRate(video.frame_rate) }));
  return facts;
}

/** "H.264 + AAC", or the one that there is. */
export function codecFacts(tracks: readonly Track[]): string[] {
  const { video, audio } = mainTracks(tracks);
  if (video && audio) {
    return [t("tracks.codecs", { video: codecName(video.codec), audio: codecName(audio.codec) })];
  }
  const only = video ?? audio;
  return only ? [codecName(only.codec)] : [];
}

/** Everything worth a line under the picture, in order of interest. */
export function streamFacts(tracks: readonly Track[]): string[] {
  const { video, audio } = mainTracks(tracks);
  const facts = [...pictureFacts(tracks), ...codecFacts(tracks)];
  const bitrate = (video?.bitrate ?? 0) + (audio?.bitrate ?? 0);
  if (bitrate > 0) facts.push(t("tracks.bitrate", { rate: megabits(bitrate) }));
  if (audio?.channels) facts.push(channels(audio.channels));
  return facts;
}

function megabits(bitrate: number): string {
  const value = bitrate / 1_000_000;
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

function channels(count: number): string {
  if (count === 1) return t("tracks.mono");
  if (count === 2) return t("tracks.stereo");
  return t("tracks.channels", { count });
}
