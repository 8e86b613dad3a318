/**
 * kdump-compressed dumps, as makedumpfile and QEMU write them: which pages a file holds, and where.
 *
 * Facts: makedumpfile's IMPLEMENTATION file, "The kdump-compressed format", and its diskdump_mod.h (1.7.4): the header, the
 * sub header, two bitmaps with a bit for each page frame (which exist, which are in the file), a descriptor for each page
 * in the file, page data.
 */
import { type ByteSource, readUpTo } from './byte-source.ts';
import { firstBytes, ImageError } from './errors.ts';
import { KdumpPages, PAGE_DESCRIPTOR_BYTES } from './kdump-pages.ts';
import type { SourcedSegment } from './segments.ts';

const SIGNATURE = 'KDUMP   ';
/** More runs of pages than this reader accepts; bounds the memory that a hostile file can ask for. */
const MAX_RUNS = 1 << 20;
/** Bits of 16 TiB in pages of 4 KiB. */
const MAX_BITMAP = 1 << 29;
/** From this version on the sub header has 64-bit frame numbers. */
const WIDE_FRAMES = 6;

/** Whether bytes begin like a kdump-compressed dump. */
export function isKdump(bytes: Uint8Array): boolean {
  return bytes.length >= 8 && bytes.subarray(0, 8).every((byte, i) => byte === SIGNATURE.charCodeAt(i));
}

/** What the headers say. */
interface Header {
  readonly pageBytes: number;
  /** The frames that may be in the file, half-open: all, or those of one part of a split dump. */
  readonly first: number;
  readonly end: number;
  readonly bitmapAt: number;
  readonly bitmapBytes: number;
  readonly descriptorsAt: number;
}

/**
 * Reads the header as a machine of 32 or 64 bits has it; `undefined` if it makes no sense so. The time stamp before the
 * other fields is as wide as the machine's words.
 */
function headerAs(bits: 32 | 64, source: ByteSource): Header | undefined {
  const at = bits === 64 ? 424 : 412;
  const head = readUpTo(source, 0, 464);
  if (head.length < 464) return undefined;
  const view = new DataView(head.buffer, head.byteOffset);
  const field = (index: number): number => view.getUint32(at + index * 4, true);
  const version = view.getUint32(8, true);
  const [pageBytes, subBlocks, bitmapBlocks, mapped] = [field(1), field(2), field(3), field(4)];
  const sane = pageBytes >= 0x1000 && pageBytes <= 0x1_0000 && (pageBytes & (pageBytes - 1)) === 0;
  if (!sane || subBlocks < 1 || subBlocks > 0x1_0000 || bitmapBlocks < 2 || bitmapBlocks % 2 !== 0) return undefined;
  const bitmapBytes = (bitmapBlocks / 2) * pageBytes;
  const bitmapAt = (1 + subBlocks) * pageBytes + bitmapBytes;
  const sub = readUpTo(source, pageBytes, 104);
  if (sub.length < 104) return undefined;
  const fields = new DataView(sub.buffer, sub.byteOffset);
  const wide = bits === 64 && version >= WIDE_FRAMES;
  const frames = wide ? Number(fields.getBigUint64(96, true)) : mapped;
  const split = version >= 2 && fields.getInt32(bits === 64 ? 12 : 8, true) !== 0;
  let [first, end] = [0, frames];
  if (split && wide) [first, end] = [Number(fields.getBigUint64(80, true)), Number(fields.getBigUint64(88, true))];
  else if (split && bits === 64) {
    [first, end] = [Number(fields.getBigUint64(16, true)), Number(fields.getBigUint64(24, true))];
  } else if (split) [first, end] = [fields.getUint32(12, true), fields.getUint32(16, true)];
  if (frames > bitmapBytes * 8 || first > end || end > frames) return undefined;
  const descriptorsAt = bitmapAt + bitmapBytes;
  return { pageBytes, first, end, bitmapAt, bitmapBytes, descriptorsAt };
}

/** Runs of set bits, as half-open ranges of frames. */
function* runsOf(bitmap: Uint8Array, first: number, end: number): Generator<{ first: number; end: number }> {
  const isSet = (frame: number): boolean => (((bitmap[frame >> 3] ?? 0) >> (frame & 7)) & 1) === 1;
  for (let at = first; at < end; ) {
    // Eight frames at once where all of them are alike.
    while (at < end && (at & 7) === 0 && bitmap[at >> 3] === 0) at += 8;
    while (at < end && !isSet(at)) at++;
    if (at >= end) return;
    const start = at;
    while (at < end && isSet(at)) at += (at & 7) === 0 && bitmap[at >> 3] === 0xff ? 8 : 1;
    at = Math.min(at, end);
    yield { first: start, end: at };
  }
}

/**
 * Reads the headers and bitmaps of a dump. Pages that were left out when it was written are no memory; pages of zeros are
 * in the file. Nothing is inflated yet.
 * @param name the image's name, for messages and `Segment.origin`
 * @throws ImageError `kdump-header`, `kdump-truncated`, and what reading throws
 */
export function kdumpSegments(source: ByteSource, name: string): readonly SourcedSegment[] {
  const header = headerAs(64, source) ?? headerAs(32, source);
  if (header === undefined) {
    const values = { origin: name, size: source.size, bytes: firstBytes(readUpTo(source, 408, 24), 24) };
    throw new ImageError('kdump-header', 'a dump whose header makes no sense', values);
  }
  const { pageBytes, first, end, bitmapAt, bitmapBytes, descriptorsAt } = header;
  if (bitmapBytes > MAX_BITMAP) {
    const values = { origin: name, bitmapBytes, limit: MAX_BITMAP };
    throw new ImageError('kdump-header', 'a dump of more memory than can be read', values);
  }
  const bitmap = readUpTo(source, bitmapAt, bitmapBytes);
  if (bitmap.length < bitmapBytes) {
    throw new ImageError('kdump-truncated', 'a dump ends in its bitmaps', { origin: name, size: source.size });
  }
  const pages = new KdumpPages(source, { name, pageBytes, bitmap, first, end, descriptorsAt });
  const segments: SourcedSegment[] = [];
  let held = 0;
  for (const run of runsOf(bitmap, first, end)) {
    if (segments.length >= MAX_RUNS) {
      throw new ImageError('kdump-header', 'a dump of more pieces than can be read', { origin: name, limit: MAX_RUNS });
    }
    const start = BigInt(run.first) * BigInt(pageBytes);
    const stored = BigInt(run.end - run.first) * BigInt(pageBytes);
    const offset = run.first * pageBytes;
    segments.push({
      start,
      end: start + stored,
      stored,
      origin: `${name}, run ${segments.length}`,
      source: pages,
      offset,
    });
    held += run.end - run.first;
  }
  if (descriptorsAt + held * PAGE_DESCRIPTOR_BYTES > source.size) {
    const values = { origin: name, pages: held, size: source.size };
    throw new ImageError('kdump-truncated', 'a dump ends in its page descriptors', values);
  }
  if (held === 0) throw new ImageError('empty-image', 'a dump holds no pages', { origin: name });
  return segments;
}
