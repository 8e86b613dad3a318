/**
 * Inflating gzip (RFC 1952) with the web's DecompressionStream.
 */
import { firstBytes, ImageError } from './errors.ts';

/** Default limit of inflated bytes: 1 GiB. */
export const INFLATE_BYTES = 0x4000_0000;

/** A wrong guess costs an inflation; nobody's file has this many headers by chance. */
const MAX_WRONG_GUESSES = 64;

/** Bytes given to the inflater at a time, so that it can stop early. */
const SLICE_BYTES = 0x4_0000;

/** A smallest member: ten bytes of header, an empty block, eight bytes of trailer. */
const MIN_MEMBER_BYTES = 20;

/** Whether bytes begin like a gzip member that deflates (RFC 1952 section 2.3.1). */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8;
}

/** Offsets behind `from` where a further member may begin: magic, method 8, no reserved flag. */
function* memberStarts(bytes: Uint8Array, from: number): Generator<number, void, undefined> {
  let at = from + MIN_MEMBER_BYTES;
  while (true) {
    at = bytes.indexOf(0x1f, at);
    if (at < 0 || at + MIN_MEMBER_BYTES > bytes.length) return;
    if (isGzip(bytes.subarray(at, at + 3)) && ((bytes[at + 3] as number) & 0xe0) === 0) yield at;
    at++;
  }
}

/** Feeds a stream. A stream that refuses shows it to its reader too, so the failure is reported there. */
async function feed(stream: DecompressionStream, bytes: Uint8Array): Promise<void> {
  const writer = stream.writable.getWriter();
  try {
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) await writer.write(bytes.subarray(at, at + SLICE_BYTES));
    await writer.close();
  } catch {
    await writer.abort().catch(() => undefined);
  }
}

/** Inflates; chunks of at most `limit` bytes in all, or the error. Nothing is left running. */
async function inflate(bytes: Uint8Array, limit: number): Promise<Uint8Array[] | { readonly cause: unknown }> {
  const stream = new DecompressionStream('gzip');
  const fed = feed(stream, bytes);
  const reader = stream.readable.getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return chunks;
      const chunk = value as Uint8Array;
      total += chunk.byteLength;
      if (total > limit) {
        throw new ImageError('gzip-limit', 'the gzip data inflate to more than the limit', { limit });
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    await reader.cancel().catch(() => undefined);
    if (cause instanceof ImageError) throw cause;
    return { cause };
  } finally {
    await fed;
  }
}

function join(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const joined = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.byteLength;
  }
  return joined;
}

/**
 * Inflates gzip data, also several members one behind the other.
 *
 * A DecompressionStream must refuse a second member (and newer hosts do), and does not say where the first one ended.
 * So the end is guessed: at the next bytes that look like a header. A wrong guess cuts a member short, and a member
 * cut short never inflates; the result is therefore never wrong, only slower.
 * @param bytes the whole file
 * @param limit most inflated bytes, default 1 GiB
 * @throws ImageError `gzip-corrupt` (also for truncated data and for bytes behind the last member), `gzip-limit`,
 *   `gzip-unsupported`
 */
export async function gunzip(bytes: Uint8Array, limit: number = INFLATE_BYTES): Promise<Uint8Array> {
  if (typeof DecompressionStream === 'undefined') {
    throw new ImageError('gzip-unsupported', 'this host has no DecompressionStream');
  }
  const chunks: Uint8Array[] = [];
  let total = 0;
  let wrong = 0;
  let start = 0;
  let cause: unknown;
  const attempt = async (end: number): Promise<boolean> => {
    const inflated = await inflate(bytes.subarray(start, end), limit - total);
    if (!Array.isArray(inflated)) {
      cause = inflated.cause;
      wrong++;
      return false;
    }
    for (const chunk of inflated) {
      chunks.push(chunk);
      total += chunk.byteLength;
    }
    start = end;
    wrong = 0;
    return true;
  };
  // Nearly every file is one member: take all of it first.
  if (isGzip(bytes) && (await attempt(bytes.length))) return join(chunks, total);
  while (start < bytes.length && isGzip(bytes.subarray(start, start + 3))) {
    let found = false;
    for (const end of memberStarts(bytes, start)) {
      found = await attempt(end);
      if (found || wrong > MAX_WRONG_GUESSES) break;
    }
    if (found) continue;
    if (start === 0 || wrong > MAX_WRONG_GUESSES || !(await attempt(bytes.length))) break;
  }
  if (start === bytes.length && start > 0) return join(chunks, total);
  const values = { member: start, size: bytes.length, bytes: firstBytes(bytes.subarray(start)) };
  throw new ImageError('gzip-corrupt', 'the gzip data are damaged or truncated', values, cause);
}
