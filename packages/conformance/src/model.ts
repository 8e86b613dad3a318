/** The flat model: which address maps where, as a list of segments, with no tables at all. */
import { higher, lower, type UniformSet } from './parts.ts';

/** A stretch of addresses that maps to a stretch of physical ones. */
export interface Segment {
  readonly start: bigint;
  readonly end: bigint;
  /** Physical address of `start`. */
  readonly pa: bigint;
  readonly set: UniformSet;
}

/** What should be mapped. Segments are sorted and do not overlap; neighbours need not be joined. */
export class Model {
  segments: readonly Segment[] = [];

  /** The segment that holds an address. */
  at(va: bigint): Segment | undefined {
    return this.segments.find(({ start, end }) => va >= start && va < end);
  }

  /** The parts of segments within a range. */
  within(start: bigint, end: bigint): Segment[] {
    return this.segments
      .filter((segment) => segment.start < end && segment.end > start)
      .map((segment) => part(segment, start, end));
  }

  /** The parts of a range that nothing is mapped in. */
  holes(start: bigint, end: bigint): { start: bigint; end: bigint }[] {
    const found: { start: bigint; end: bigint }[] = [];
    let at = start;
    for (const segment of this.within(start, end)) {
      if (segment.start > at) found.push({ start: at, end: segment.start });
      at = segment.end;
    }
    if (at < end) found.push({ start: at, end });
    return found;
  }

  /** Takes a range away. */
  remove(start: bigint, end: bigint): void {
    this.segments = this.segments.flatMap((segment) => {
      if (segment.start >= end || segment.end <= start) return [segment];
      const rest: Segment[] = [];
      if (segment.start < start) rest.push(part(segment, segment.start, start));
      if (segment.end > end) rest.push(part(segment, end, segment.end));
      return rest;
    });
  }

  /** Adds a segment where nothing is. */
  put(segment: Segment): void {
    this.segments = [...this.segments, segment].sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  /** Gives everything mapped in a range another attribute set. */
  protect(start: bigint, end: bigint, set: UniformSet): void {
    const inside = this.within(start, end);
    this.remove(start, end);
    for (const segment of inside) this.put({ ...segment, set });
  }

  /** Bytes that are mapped. */
  get total(): bigint {
    return this.segments.reduce((sum, { start, end }) => sum + end - start, 0n);
  }
}

function part(segment: Segment, start: bigint, end: bigint): Segment {
  const from = higher(start, segment.start);
  const to = lower(end, segment.end);
  return { start: from, end: to, pa: segment.pa + from - segment.start, set: segment.set };
}
