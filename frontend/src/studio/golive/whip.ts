import { HttpError, problem } from "../../lib/http";

/** A session at the server (RFC 9725). */
export interface WhipSession {
  /** Absolute address of the session, to end it. */
  resource: string;
  answer: string;
  iceServers: RTCIceServer[];
}

/** A server that says nothing for so long is as good as gone. */
const TIMEOUT_MS = 10_000;

export function whipUrl(stream: string): string {
  return `/app/${encodeURIComponent(stream)}/whip`;
}

/** @throws {HttpError} as the server refuses; with status 0 when it does not answer. */
export async function openWhip(
  url: string,
  offer: string,
  headers: Record<string, string>,
  signal: AbortSignal,
  fetcher: typeof fetch = (...args) => fetch(...args),
): Promise<WhipSession> {
  let response: Response;
  try {
    response = await fetcher(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/sdp", accept: "application/sdp" },
      body: offer,
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new HttpError(0, "");
  }
  if (response.status !== 201) throw await problem(response);
  const location = response.headers.get("location");
  if (!location) throw new HttpError(response.status, "");
  return {
    resource: new URL(location, response.url || window.location.href).href,
    answer: await response.text(),
    iceServers: parseIceServers(response.headers.get("link") ?? ""),
  };
}

/** Ends a session, also while the page goes. True when the server no longer has it. */
export async function closeWhip(
  resource: string,
  headers: Record<string, string>,
  fetcher: typeof fetch = (...args) => fetch(...args),
): Promise<boolean> {
  try {
    const response = await fetcher(resource, {
      method: "DELETE",
      headers,
      cache: "no-store",
      credentials: "same-origin",
      keepalive: true,
    });
    return response.ok || response.status === 404;
  } catch {
    return false;
  }
}

/** `Link: <turn:…>; rel="ice-server"; username="…"; credential="…"` (RFC 9725 §4.6), several by commas. */
export function parseIceServers(link: string): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const [, url = "", rest = ""] of link.matchAll(
    /<([^>]*)>((?:\s*;\s*[\w-]+=(?:"[^"]*"|[^;,"]*))*)/gu,
  )) {
    const values = new Map(
      [...rest.matchAll(/([\w-]+)=(?:"([^"]*)"|([^;,"\s]*))/gu)].map(([, name = "", quoted, plain]) => [
        name.toLowerCase(),
        quoted ?? plain ?? "",
      ]),
    );
    if (values.get("rel") !== "ice-server") continue;
    const [username, credential] = [values.get("username"), values.get("credential")];
    servers.push({
      urls: url,
      ...(username !== undefined && { username }),
      ...(credential !== undefined && { credential }),
    });
  }
  return servers;
}
