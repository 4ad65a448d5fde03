import { search } from "./sha256";

self.onmessage = (event: MessageEvent<{ nonce: string; bits: number }>) => {
  const { nonce, bits } = event.data;
  self.postMessage(search(nonce, bits, 0, Number.POSITIVE_INFINITY));
};
