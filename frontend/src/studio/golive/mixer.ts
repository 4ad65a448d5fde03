/** Amplitudes below this are silence, on the meter and to the ear. */
const FLOOR_DB = -60;

/**
 * Microphone and the sound of a screen, as one track that stays the same whatever comes and goes behind it, and how loud
 * it is. Without either it is silence, so that sound can be added on the air.
 */
export class Mixer {
  readonly #context: AudioContext;
  readonly #output: MediaStreamAudioDestinationNode;
  readonly #analyser: AnalyserNode;
  readonly #samples: Float32Array<ArrayBuffer>;
  readonly #inputs = new Map<string, { node: MediaStreamAudioSourceNode; gain: GainNode }>();
  #muted = false;

  constructor(context: AudioContext = new AudioContext({ latencyHint: "interactive" })) {
    this.#context = context;
    this.#output = context.createMediaStreamDestination();
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.connect(this.#output);
  }

  get track(): MediaStreamTrack {
    return this.#output.stream.getAudioTracks()[0] as MediaStreamTrack;
  }

  /** Browsers keep it still until the page is touched. */
  async wake(): Promise<void> {
    if (this.#context.state === "suspended") await this.#context.resume();
  }

  set(name: "microphone" | "screen", track: MediaStreamTrack | null): void {
    const before = this.#inputs.get(name);
    before?.node.disconnect();
    before?.gain.disconnect();
    this.#inputs.delete(name);
    if (!track) return;
    const node = this.#context.createMediaStreamSource(new MediaStream([track]));
    const gain = this.#context.createGain();
    node.connect(gain).connect(this.#analyser);
    this.#inputs.set(name, { node, gain });
    this.mute(this.#muted);
  }

  /** The microphone alone; what is shared is still heard. */
  mute(muted: boolean): void {
    this.#muted = muted;
    const gain = this.#inputs.get("microphone")?.gain;
    if (gain) gain.gain.value = muted ? 0 : 1;
  }

  /** The loudest moment of the last 20 ms, from 0 (silence) to 1 (as loud as can be). */
  level(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let peak = 0;
    for (const sample of this.#samples) peak = Math.max(peak, Math.abs(sample));
    return levelOf(peak);
  }

  close(): void {
    for (const name of ["microphone", "screen"] as const) this.set(name, null);
    this.track.stop();
    void this.#context.close();
  }
}

/** An amplitude as the ear counts: even steps are even factors. */
export function levelOf(peak: number): number {
  if (peak <= 0) return 0;
  const decibels = 20 * Math.log10(peak);
  return Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
}
