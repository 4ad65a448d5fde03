/**
 * SHA-256 (FIPS 180-4) of short texts, for the proof of work: the browser's own is asynchronous, and absent on pages
 * without HTTPS.
 */

const K = new Uint32Array(64);
const START = new Uint32Array(8);
{
  // The fractional parts of the roots of the first primes, as the standard defines its constants.
  let found = 0;
  for (let candidate = 2; found < 64; candidate += 1) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor += 1) prime &&= candidate % divisor !== 0;
    if (!prime) continue;
    if (found < 8) START[found] = (candidate ** (1 / 2) % 1) * 2 ** 32;
    K[found] = (candidate ** (1 / 3) % 1) * 2 ** 32;
    found += 1;
  }
}

const W = new Uint32Array(64);

/** The hash as eight words. */
export function sha256(bytes: Uint8Array): Uint32Array {
  const blocks = ((bytes.length + 8) >> 6) + 1;
  const padded = new Uint8Array(blocks * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = START.slice();
  for (let block = 0; block < blocks; block += 1) compress(state, view, block * 64);
  return state;
}

function compress(state: Uint32Array, view: DataView, offset: number): void {
  for (let i = 0; i < 16; i += 1) W[i] = view.getUint32(offset + i * 4);
  for (let i = 16; i < 64; i += 1) {
    const [x, y] = [W[i - 15] as number, W[i - 2] as number];
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    W[i] = (W[i - 16] as number) + s0 + (W[i - 7] as number) + s1;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let i = 0; i < 64; i += 1) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (K[i] as number) + (W[i] as number)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  const sum = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i += 1) state[i] = (state[i] as number) + (sum[i] as number);
}

function rotate(value: number, by: number): number {
  return (value >>> by) | (value << (32 - by));
}

/** How many zero bits a hash begins with. */
export function zeroBits(hash: Uint32Array): number {
  let bits = 0;
  for (const word of hash) {
    bits += Math.clz32(word);
    if (word !== 0) break;
  }
  return bits;
}

/** Tries `count` numbers from `from` on; null when none of them is the answer. */
export function search(nonce: string, bits: number, from: number, count: number): string | null {
  const encoder = new TextEncoder();
  for (let number = from; number < from + count; number += 1) {
    if (zeroBits(sha256(encoder.encode(nonce + number))) >= bits) return String(number);
  }
  return null;
}
