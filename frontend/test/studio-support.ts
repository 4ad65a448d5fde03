import type { Http, Method } from "../src/lib/http";
import { createHttp } from "../src/lib/http";
import type { Key } from "../src/studio/api";

export interface Asked {
  method: string;
  url: string;
  body: unknown;
  headers: Headers;
}

type Answer = Response | Error | (() => Response | Promise<Response>);

/** A server that answers as it is told: `fetch` without a network. */
export class FakeServer {
  readonly asked: Asked[] = [];
  readonly #answers = new Map<string, Answer>();

  on(method: Method, url: string, answer: Answer): void {
    this.#answers.set(`${method} ${url}`, answer);
  }

  readonly fetch = async (url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const method = init.method ?? "GET";
    const body = typeof init.body === "string" ? JSON.parse(init.body) : null;
    this.asked.push({ method, url: String(url), body, headers: new Headers(init.headers) });
    const answer = this.#answers.get(`${method} ${url}`);
    if (answer === undefined) return problem(404, `Nothing is served at ${url}.`);
    if (answer instanceof Error) throw answer;
    return answer instanceof Response ? answer.clone() : answer();
  };

  readonly http: Http = createHttp(this.fetch);
}

export function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } });
}

export function nothing(): Response {
  return new Response(null, { status: 204 });
}

export function problem(status: number, detail: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ type: "about:blank", title: "", status, detail }), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}

export function key(id: number, change: Partial<Key> = {}): Key {
  return {
    id,
    hint: `h${id}`,
    label: "",
    created_at: "2026-01-01T12:00:00Z",
    last_used_at: null,
    ...change,
  };
}
