interface Connection {
  saveData?: boolean;
  effectiveType?: string;
  downlink?: number;
}

/** Enough to see what happens, and a quarter of what full HD needs. */
const SAVING_LINES = 480;

/** What the browser says of the connection (Network Information API; Chromium only). */
export function connectionLimits(
  connection: Connection | undefined = (navigator as { connection?: Connection }).connection,
): { limit: number; carries: number | null } {
  const limit = connection?.saveData ? SAVING_LINES : Number.POSITIVE_INFINITY;
  // Of a good connection it is only a guess, rounded and capped; a bad one it knows.
  const slow = connection?.effectiveType !== undefined && connection.effectiveType !== "4g";
  return { limit, carries: slow && connection?.downlink ? connection.downlink * 1_000_000 : null };
}
