import { type Settings, widthOf } from "./settings";

/** Why a camera, a microphone or a screen cannot be had. */
export type CaptureProblem =
  /** The page did not come over HTTPS, so the browser has none to give. */
  | "insecure"
  /** The browser knows no such thing: sharing a screen on a phone. */
  | "unsupported"
  /** The person, or the system's settings, said no. */
  | "denied"
  | "missing"
  /** Another program has it. */
  | "busy"
  | "unknown";

export class CaptureError extends Error {
  constructor(
    readonly problem: CaptureProblem,
    readonly kind: "camera" | "microphone" | "screen",
  ) {
    super(`${kind}: ${problem}`);
    this.name = "CaptureError";
  }
}

export interface Devices {
  cameras: MediaDeviceInfo[];
  microphones: MediaDeviceInfo[];
}

/** What is used of `navigator.mediaDevices`. */
export type MediaSource = Pick<MediaDevices, "getUserMedia" | "enumerateDevices"> &
  Partial<Pick<MediaDevices, "getDisplayMedia">>;

export function mediaSource(): MediaSource | null {
  return (navigator.mediaDevices as MediaSource | undefined) ?? null;
}

/** Names come once the person has allowed one of the kind; until then the list is empty. */
export async function listDevices(media: MediaSource): Promise<Devices> {
  const all = await media.enumerateDevices();
  const named = (kind: MediaDeviceKind) =>
    all.filter((device) => device.kind === kind && device.label !== "");
  return { cameras: named("videoinput"), microphones: named("audioinput") };
}

export function pictureConstraints({ size, rate }: Pick<Settings, "size" | "rate">): MediaTrackConstraints {
  return {
    width: { ideal: widthOf(size) },
    height: { ideal: size },
    frameRate: { ideal: rate, max: rate },
  };
}

/** A screen keeps its shape, so the size is only its limit. */
export function screenConstraints({ size, rate }: Pick<Settings, "size" | "rate">): MediaTrackConstraints {
  return { width: { max: widthOf(size) }, height: { max: size }, frameRate: { max: rate } };
}

export function openCamera(media: MediaSource, settings: Settings): Promise<MediaStreamTrack> {
  return one("camera", settings.camera, async (deviceId) => {
    const stream = await media.getUserMedia({ video: { ...pictureConstraints(settings), ...deviceId } });
    return stream.getVideoTracks()[0];
  });
}

export function openMicrophone(media: MediaSource, settings: Settings): Promise<MediaStreamTrack> {
  const { voice } = settings;
  const treatment = { echoCancellation: voice, noiseSuppression: voice, autoGainControl: voice };
  return one("microphone", settings.microphone, async (deviceId) => {
    const stream = await media.getUserMedia({ audio: { ...treatment, ...deviceId } });
    return stream.getAudioTracks()[0];
  });
}

/** The picture, and the sound where the browser has any and the person gives it. */
export async function openScreen(
  media: MediaSource,
  settings: Settings,
): Promise<{ video: MediaStreamTrack; audio: MediaStreamTrack | null }> {
  if (!media.getDisplayMedia) throw new CaptureError("unsupported", "screen");
  const untouched = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  try {
    const stream = await media.getDisplayMedia({
      video: screenConstraints(settings),
      audio: settings.screenSound ? untouched : false,
      ...({ systemAudio: "include", surfaceSwitching: "include" } as object),
    });
    const [video] = stream.getVideoTracks();
    if (!video) throw new CaptureError("missing", "screen");
    return { video, audio: stream.getAudioTracks()[0] ?? null };
  } catch (error) {
    throw captureError(error, "screen");
  }
}

/** A device that was chosen earlier may be unplugged: then the browser's default has to do. */
async function one(
  kind: "camera" | "microphone",
  chosen: string,
  open: (deviceId: { deviceId?: ConstrainDOMString }) => Promise<MediaStreamTrack | undefined>,
): Promise<MediaStreamTrack> {
  try {
    const track = await open(chosen ? { deviceId: { exact: chosen } } : {}).catch((error: unknown) => {
      if (!chosen || !isOverconstrained(error)) throw error;
      return open({});
    });
    if (!track) throw new CaptureError("missing", kind);
    return track;
  } catch (error) {
    throw captureError(error, kind);
  }
}

function isOverconstrained(error: unknown): boolean {
  return nameOf(error) === "OverconstrainedError" || nameOf(error) === "NotFoundError";
}

export function captureError(error: unknown, kind: CaptureError["kind"]): CaptureError {
  if (error instanceof CaptureError) return error;
  const problems: Record<string, CaptureProblem> = {
    NotAllowedError: "denied",
    SecurityError: "denied",
    NotFoundError: "missing",
    OverconstrainedError: "missing",
    NotReadableError: "busy",
    AbortError: "busy",
    TypeError: "unsupported",
  };
  return new CaptureError(problems[nameOf(error)] ?? "unknown", kind);
}

function nameOf(error: unknown): string {
  return typeof error === "object" && error !== null && "name" in error ? String(error.name) : "";
}
