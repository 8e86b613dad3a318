/**
 * Flattened files: what `makedumpfile -F` and QEMU write to a pipe instead of a dump that needs seeking. Records say where
 * their bytes belong in the real file; a later record goes before an earlier one.
 *
 * Facts: makedumpfile's IMPLEMENTATION file, "The flattened format": a header of 4096 bytes that begins with the
 * signature in 16 bytes, type 1 and version 1; then records of an offset and a size with their bytes, until an offset of
 * -1. All numbers have 64 bits, big-endian.
 */
import { RangeSet } from '@pagefold/core';
import { type ByteSource, readUpTo } from './byte-source.ts';
import { ImageError } from './errors.ts';

const SIGNATURE = 'makedumpfile';
const HEADER_BYTES = 4096;
const RECORD_BYTES = 16;
/** QEMU writes some 64 KiB a record; bounds what a hostile file can ask for. */
const MAX_RECORDS = 1 << 24;

/** Whether bytes begin like a flattened file; 16 bytes suffice. */
export function isFlattened(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 16 &&
    bytes.subarray(0, 16).every((byte, i) => byte === (i < SIGNATURE.length ? SIGNATURE.charCodeAt(i) : 0))
  );
}

/** Bytes of the real file that stand together in the flattened one. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  /** Offset in the flattened file of the first one. */
  readonly at: number;
}

/** The stretches of a flattened file, in rising order. */
function stretchesOf(source: ByteSource, name: string): Stretch[] {
  const head = readUpTo(source, 0, 32);
  const records: Stretch[] = [];
  const truncated = (at: number): never => {
    throw new ImageError('flat-truncated', 'a flattened file ends before its last record', { origin: name, at });
  };
  if (head.length < 32 || source.size < HEADER_BYTES) truncated(source.size);
  const header = new DataView(head.buffer, head.byteOffset);
  const [type, version] = [header.getBigInt64(16), header.getBigInt64(24)];
  if (type !== 1n || version !== 1n) {
    throw new ImageError('flat-header', 'a flattened file of an unknown kind', { origin: name, type, version });
  }
  for (let at = HEADER_BYTES; ; ) {
    const bytes = readUpTo(source, at, RECORD_BYTES);
    if (bytes.length < RECORD_BYTES) truncated(at);
    const record = new DataView(bytes.buffer, bytes.byteOffset);
    const [offset, size] = [record.getBigInt64(0), record.getBigInt64(8)];
    if (offset === -1n) break;
    if (offset < 0n || size < 0n || offset + size > BigInt(Number.MAX_SAFE_INTEGER) || records.length >= MAX_RECORDS) {
      throw new ImageError('flat-header', 'a record of a flattened file is none', { origin: name, at, offset, size });
    }
    at += RECORD_BYTES;
    if (size > BigInt(source.size - at)) truncated(at);
    if (size > 0n) records.push({ start: Number(offset), end: Number(offset + size), at });
    at += Number(size);
  }
  return inOrder(records);
}

/** Sorts records; of those that overlap, the later one stays whole. */
function inOrder(records: readonly Stretch[]): Stretch[] {
  const byStart = (a: Stretch, b: Stretch): number => a.start - b.start;
  const sorted = [...records].sort(byStart);
  if (sorted.every(({ start }, i) => i === 0 || (sorted[i - 1] as Stretch).end <= start)) return sorted;
  const seen = new RangeSet();
  const parts: Stretch[] = [];
  for (const { start, end, at } of [...records].reverse()) {
    const own = new RangeSet([{ start: BigInt(start), end: BigInt(end) }]);
    for (const taken of [...seen.within({ start: BigInt(start), end: BigInt(end) })]) own.delete(taken);
    for (const part of own.ranges) {
      const from = Number(part.start);
      parts.push({ start: from, end: Number(part.end), at: at + from - start });
    }
    seen.add({ start: BigInt(start), end: BigInt(end) });
  }
  return parts.sort(byStart);
}

/**
 * The real file behind a flattened one. What no record wrote reads zero, like a hole in a file.
 * @param name the image's name, for messages
 * @throws ImageError `flat-header`, `flat-truncated`, and what reading throws
 */
export function unflattened(source: ByteSource, name: string): ByteSource {
  const stretches = stretchesOf(source, name);
  return {
    size: stretches.at(-1)?.end ?? 0,
    bytes: undefined,
    read(offset, target) {
      const end = offset + target.length;
      target.fill(0);
      // The first stretch that ends behind the offset.
      let low = 0;
      let high = stretches.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((stretches[middle] as Stretch).end > offset) high = middle;
        else low = middle + 1;
      }
      for (let i = low; i < stretches.length; i++) {
        const stretch = stretches[i] as Stretch;
        if (stretch.start >= end) break;
        const from = Math.max(stretch.start, offset);
        const to = Math.min(stretch.end, end);
        source.read(stretch.at + from - stretch.start, target.subarray(from - offset, to - offset));
      }
    },
  };
}
