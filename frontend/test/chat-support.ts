import type { Socket } from "../src/chat/connection";
import type { Author, ChatMessage } from "../src/chat/protocol";

export const ADA: Author = { id: "g1", name: "Ada", hue: 210, role: "guest" };
export const BO: Author = { id: "g2", name: "Bo", hue: 40, role: "guest" };

export function message(id: number, author: Author, text = `message ${id}`): ChatMessage {
  return { id, at: "2026-01-01T12:00:00Z", author, text, reply: null };
}

type Sent = Record<string, unknown> & { type: string };

/** A WebSocket that the test holds the other end of. */
export class FakeSocket implements Socket {
  static all: FakeSocket[] = [];
  readyState = 0;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  readonly sent: Sent[] = [];
  closed = false;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  static get last(): FakeSocket {
    return FakeSocket.all.at(-1) as FakeSocket;
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.closed = true;
    this.readyState = 3;
  }

  /** What was sent since the last look, without pings. */
  take(): Sent[] {
    return this.sent.splice(0).filter((sent) => sent.type !== "ping");
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.call(this as unknown as WebSocket, new Event("open"));
  }

  tell(type: string, members: object = {}): void {
    const data = JSON.stringify({ type, ...members });
    this.onmessage?.call(this as unknown as WebSocket, new MessageEvent("message", { data }));
  }

  /** Opens, and the server says welcome. */
  welcome(members: object = {}): void {
    this.open();
    this.tell("welcome", {
      you: null,
      seq: 0,
      reset: true,
      messages: [],
      deleted: [],
      people: 1,
      ...members,
    });
  }

  fail(code = 1006): void {
    this.readyState = 3;
    this.onclose?.call(this as unknown as WebSocket, { code } as CloseEvent);
  }
}
