/**
 * LiME files: pieces of memory one behind the other, each with a header of its own.
 *
 * Facts: the format as the Linux Memory Extractor's documentation gives it, version 1: magic, version, first and last
 * physical address, eight reserved bytes; all little-endian.
 */
import { type ByteSource, readUpTo } from './byte-source.ts';
import { firstBytes, ImageError } from './errors.ts';
import type { SourcedSegment } from './segments.ts';

const MAGIC = 0x4c69_4d45;
const HEADER_BYTES = 32;
/** More pieces than any machine has banks; bounds the memory that a hostile file can ask for. */
const MAX_PIECES = 1 << 20;

/** Whether bytes begin like a LiME file. */
export function isLime(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === MAGIC;
}

/**
 * The pieces of a LiME file.
 * @param name the image's name, for messages and `Segment.origin`
 * @throws ImageError `lime-header` for a header that is none, `lime-truncated` where the file ends too early, and what
 *   reading throws
 */
export function limeSegments(source: ByteSource, name: string): readonly SourcedSegment[] {
  const segments: SourcedSegment[] = [];
  for (let at = 0; at < source.size; ) {
    const head = readUpTo(source, at, HEADER_BYTES);
    const values = { origin: name, offset: at };
    if (head.length < HEADER_BYTES) throw new ImageError('lime-truncated', 'a LiME header is cut off', values);
    const view = new DataView(head.buffer, head.byteOffset);
    const version = view.getUint32(4, true);
    const start = view.getBigUint64(8, true);
    const last = view.getBigUint64(16, true);
    if (!isLime(head)) {
      throw new ImageError('lime-header', 'no LiME header where one must be', { ...values, bytes: firstBytes(head) });
    }
    if (version !== 1 || last < start || segments.length >= MAX_PIECES) {
      throw new ImageError('lime-header', 'a LiME header is none that can be read', {
        ...values,
        version,
        start,
        last,
      });
    }
    const bytes = last - start + 1n;
    const offset = at + HEADER_BYTES;
    if (bytes > BigInt(source.size - offset)) {
      throw new ImageError('lime-truncated', 'a LiME file ends before its memory does', { ...values, start, last });
    }
    const origin = `${name}, piece ${segments.length}`;
    segments.push({ start, end: last + 1n, stored: bytes, origin, source, offset });
    at = offset + Number(bytes);
  }
  if (segments.length === 0) throw new ImageError('empty-image', 'there are no bytes', { origin: name });
  return segments;
}
