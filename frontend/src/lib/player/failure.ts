/** Why a source does not play. */
export type Reason =
  /** No way through the network: neither UDP nor TCP reaches the server's media port. */
  | "network"
  /** The server's address did not answer, or closed at once. */
  | "signalling"
  /** The server said no; `detail` is its sentence. */
  | "refused"
  /** Browser and server have no format in common, or do not understand each other. */
  | "negotiation"
  /** It was set up, and nothing was to be seen. */
  | "picture"
  /** It had played, and broke off. */
  | "lost"
  /** An error of a player library; `detail` is what it says. */
  | "error";

export interface Failure {
  reason: Reason;
  /** In the words of who noticed it; may be empty. */
  detail: string;
}

const MINUTE_MS = 60_000;

/**
 * For how long a source is not the first to be tried again: long enough for a reload or a second visit, short enough to
 * get the best source back soon. What the browser itself cannot do changes only with the browser.
 */
export const KEEP_MS: Record<Reason, number> = {
  network: 10 * MINUTE_MS,
  signalling: 10 * MINUTE_MS,
  refused: 2 * MINUTE_MS,
  negotiation: 60 * MINUTE_MS,
  picture: 10 * MINUTE_MS,
  lost: 5 * MINUTE_MS,
  error: 10 * MINUTE_MS,
};

/** Whether it is the network's doing, so that other streams of this server would meet the same. */
export function isOfNetwork({ reason }: Failure): boolean {
  return reason === "network" || reason === "signalling";
}

/** OvenPlayer's errors 501 to 512 are about WebRTC; `played` is whether there had been a picture. */
export function failureOf(code: number | undefined, detail: string, played: boolean): Failure {
  if (code === undefined || code < 500) return { reason: "error", detail: `${code ?? "?"} ${detail}`.trim() };
  // What the server says comes with 501, as does a socket that never opened, which says nothing.
  if (code === 501) return { reason: detail ? "refused" : played ? "lost" : "signalling", detail };
  if (code === 510 || code === 511) return { reason: played ? "lost" : "network", detail };
  if (code === 512) return { reason: "network", detail };
  return { reason: "negotiation", detail };
}
