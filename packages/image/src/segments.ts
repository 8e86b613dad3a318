/**
 * Segments: which bytes of which source stand at which physical address, and their cutting into pieces that can be
 * served as windows.
 */
import type { ByteSource } from './byte-source.ts';
import { ImageError } from './errors.ts';

/** A range of physical memory that an image holds, half-open. */
export interface Segment {
  /** First physical address; need not be aligned. */
  readonly start: bigint;
  /** The address behind the last byte, at most 2^56. */
  readonly end: bigint;
  /** Bytes that the image stores; the rest, up to `end`, reads zero. */
  readonly stored: bigint;
  /** Where it comes from, in words: the image's name and the number of the program header. */
  readonly origin: string;
}

/** A segment together with its bytes. */
export interface SourcedSegment extends Segment {
  /** Holds the stored bytes. */
  readonly source: ByteSource;
  /** Where they begin in `source`. */
  readonly offset: number;
}

/** A stretch of bytes of one source, or of zeros. */
interface Extent {
  readonly start: bigint;
  readonly end: bigint;
  /** `undefined`: reads zero. */
  readonly source: ByteSource | undefined;
  readonly offset: number;
}

/**
 * A stretch of whole 8-byte groups. Either one extent fills it, or (a seam) it is a single group to which several
 * extents contribute. Bounds are multiples of 8 up to 2^56 and so exact as numbers.
 */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly source: ByteSource | undefined;
  /** Offset in `source` of the byte at `start`. */
  readonly offset: number;
  /** The extents of a seam, otherwise `undefined`. */
  readonly seam: readonly Extent[] | undefined;
}

/** Physical addresses lie below this: the limit of core's `Memory`. */
const ADDRESS_LIMIT = 1n << 56n;

/**
 * Sorts segments and checks that each is a range below 2^56 and that none overlaps another. Empty ones are dropped.
 * @throws ImageError `segment-address`, `segment-overlap` (naming both)
 */
export function sortSegments(segments: readonly SourcedSegment[]): readonly SourcedSegment[] {
  for (const { start, end, origin } of segments) {
    if (start < 0n || end < start || end > ADDRESS_LIMIT) {
      throw new ImageError('segment-address', 'a segment must lie below 2^56', { start, end, origin });
    }
  }
  const sorted = segments.filter(({ start, end }) => start < end);
  sorted.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  for (const [i, second] of sorted.entries()) {
    const first = sorted[i - 1];
    if (first === undefined || first.end <= second.start) continue;
    throw new ImageError('segment-overlap', 'two segments overlap', {
      first: first.origin,
      firstStart: first.start,
      firstEnd: first.end,
      second: second.origin,
      secondStart: second.start,
      secondEnd: second.end,
    });
  }
  return sorted;
}

/** Stored bytes and zero fill of sorted segments; what continues both in memory and in its source becomes one. */
function toExtents(sorted: readonly SourcedSegment[]): Extent[] {
  const extents: Extent[] = [];
  const add = (next: Extent): void => {
    if (next.start === next.end) return;
    const last = extents.at(-1);
    const continues =
      last !== undefined &&
      last.end === next.start &&
      last.source === next.source &&
      (next.source === undefined || last.offset + Number(last.end - last.start) === next.offset);
    if (continues) extents[extents.length - 1] = { ...last, end: next.end };
    else extents.push(next);
  };
  for (const { start, end, stored, source, offset } of sorted) {
    add({ start, end: start + stored, source, offset });
    add({ start: start + stored, end, source: undefined, offset: 0 });
  }
  return extents;
}

/**
 * Cuts sorted segments into pieces of whole 8-byte groups. A group that the segments cover only in part belongs to no
 * piece: a window has an even number of words, and filling it up would invent bytes.
 * @param sorted what {@link sortSegments} gave
 */
export function cutPieces(sorted: readonly SourcedSegment[]): readonly Piece[] {
  const pieces: Piece[] = [];
  let group = -1n;
  let parts: Extent[] = [];
  let covered = 0n;
  const contribute = (part: Extent): void => {
    const at = part.start & ~7n;
    if (at !== group) {
      group = at;
      parts = [];
      covered = 0n;
    }
    parts.push(part);
    covered += part.end - part.start;
    if (covered < 8n) return;
    pieces.push({ start: Number(group), end: Number(group + 8n), source: undefined, offset: 0, seam: parts });
  };
  for (const extent of toExtents(sorted)) {
    const { start, end, source } = extent;
    const low = (start + 7n) & ~7n;
    const high = end & ~7n;
    const offsetAt = (address: bigint): number => (source === undefined ? 0 : extent.offset + Number(address - start));
    if (start < low) contribute({ ...extent, end: end < low ? end : low });
    if (low < high) {
      pieces.push({ start: Number(low), end: Number(high), source, offset: offsetAt(low), seam: undefined });
    }
    // The tail, unless it lies in the very group that the head has already covered.
    if (high < end && high >= low) contribute({ start: high, end, source, offset: offsetAt(high) });
  }
  return pieces;
}
