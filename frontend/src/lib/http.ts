/** JSON over HTTP, with the server's problem documents (RFC 9457) as errors. */

/** Why a request failed. `status` is 0 when no answer came at all. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    /** The server's sentence that says what to do; empty when there was none. */
    readonly detail: string,
    /** Seconds after which another try makes sense. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail || `HTTP status ${status}`);
    this.name = "HttpError";
  }
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface RequestOptions {
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal;
}

/** One request and its answer; `undefined` for an answer without content. */
export type Http = <T>(method: Method, url: string, options?: RequestOptions) => Promise<T>;

/** A server that has taken a request and says nothing for so long is as good as gone. */
const TIMEOUT_MS = 20_000;

/** The client. Tests bring a `fetcher` of their own. */
export function createHttp(fetcher: typeof fetch = (...args) => fetch(...args)): Http {
  return async <T>(method: Method, url: string, { body, signal }: RequestOptions = {}): Promise<T> => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let response: Response;
    try {
      response = await fetcher(url, {
        method,
        headers: {
          accept: "application/json",
          // Also without a body: the server tells by it that no form of another site has sent this.
          ...(method !== "GET" && { "content-type": "application/json" }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        cache: "no-store",
        credentials: "same-origin",
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new HttpError(0, "");
    }
    if (!response.ok) throw await problem(response);
    if (response.status === 204) return undefined as T;
    try {
      return (await response.json()) as T;
    } catch (error) {
      if (signal?.aborted) throw error;
      // Cut off in the middle, or a proxy's page instead of the server's answer.
      throw new HttpError(0, "");
    }
  };
}

/** What a refusal says. */
export async function problem(response: Response): Promise<HttpError> {
  return new HttpError(response.status, await detailOf(response), retryAfter(response));
}

async function detailOf(response: Response): Promise<string> {
  try {
    const value: unknown = await response.json();
    if (typeof value !== "object" || value === null || !("detail" in value)) return "";
    return typeof value.detail === "string" ? value.detail : "";
  } catch {
    // An error page of something between here and the server.
    return "";
  }
}

/** RFC 9110 §10.2.3 allows a date too; nothing here sends one. */
function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}
