/** Answers a proof of work beside the page: in a worker, or in slices where there are none. */

/** Between two breaths of the page, where there is no worker. */
const SLICE = 2_000;

/** The answer: the number that, written behind the nonce, gives a SHA-256 that begins with `bits` zero bits. */
export async function solve(nonce: string, bits: number): Promise<string> {
  const { search } = await import("./sha256");
  try {
    return await inWorker(nonce, bits);
  } catch {
    for (let from = 0; ; from += SLICE) {
      const found = search(nonce, bits, from, SLICE);
      if (found !== null) return found;
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
}

function inWorker(nonce: string, bits: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./work.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<string>) => {
      worker.terminate();
      resolve(event.data);
    };
    worker.onerror = () => {
      worker.terminate();
      reject(new Error("the worker did not start"));
    };
    worker.postMessage({ nonce, bits });
  });
}
