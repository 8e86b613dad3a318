/** The memory that a search goes through: its ranges, and the pieces of them that are worth looking at. */
import { ArgumentError } from './errors.ts';
import type { NumberRange } from './geometry.ts';
import type { Bank, Memory } from './memory.ts';
import { RangeSet } from './range-set.ts';

/** Ranges of physical memory. */
export class SearchedMemory {
  /** In rising order, apart from each other. */
  readonly ranges: readonly NumberRange[];
  /** What is known to hold zeros alone, in rising order. */
  readonly blank: readonly NumberRange[];
  /** The range that was touched last. */
  #last: NumberRange = { start: 0, end: 0 };

  /**
   * @param banks in any order; they may overlap
   * @param blank parts that are known to hold zeros alone
   * @throws ArgumentError `search-range` for one that is empty or not below 2^56
   */
  constructor(banks: readonly Bank[], blank: readonly Bank[] = []) {
    this.ranges = SearchedMemory.#sorted(banks);
    this.blank = SearchedMemory.#sorted(blank);
  }

  static #sorted(banks: readonly Bank[]): readonly NumberRange[] {
    const set = new RangeSet();
    for (const { start, end } of banks) {
      if (start < 0n || start >= end || end > 1n << 56n) {
        throw new ArgumentError('search-range', 'a range to search needs 0 <= start < end <= 2^56', { start, end });
      }
      set.add({ start, end });
    }
    return set.ranges.map(({ start, end }) => ({ start: Number(start), end: Number(end) }));
  }

  /** Does a range of addresses, half-open, have anything in common with these? */
  touches(start: number, end: number): boolean {
    if (start < this.#last.end && end > this.#last.start) return true;
    // The first range that ends behind the start.
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ranges[middle] as NumberRange).end > start) high = middle;
      else low = middle + 1;
    }
    const range = this.ranges[low];
    if (range === undefined || range.start >= end) return false;
    this.#last = range;
    return true;
  }
}

/** A piece of memory to look for tables in. */
export interface SearchPiece extends NumberRange {
  /** Where the memory ends that the piece is a part of. */
  readonly limit: number;
}

/** Every kind of root is looked for in a piece while its words are at hand; larger than any root. */
const PIECE_BYTES = 0x1_0000;

/** The pieces of memory that hold anything but zeros. */
export function* searchPieces(memory: Memory, searched: SearchedMemory): Generator<SearchPiece> {
  let next = 0;
  for (const { start, end: limit } of searched.ranges) {
    for (let at = start; at < limit; ) {
      // Ranges and blank parts rise together. Only whole pieces are passed over: no table lies across their edges.
      while ((searched.blank[next]?.end ?? Number.POSITIVE_INFINITY) <= at) next++;
      const blank = searched.blank[next];
      const blankEnd = blank === undefined ? 0 : Math.floor(blank.end / PIECE_BYTES) * PIECE_BYTES;
      if (blank !== undefined && at % PIECE_BYTES === 0 && at >= blank.start && at < blankEnd) {
        at = blankEnd;
        continue;
      }
      const end = Math.min((Math.floor(at / PIECE_BYTES) + 1) * PIECE_BYTES, limit);
      if (!isZero(memory, at, end)) yield { start: at, end, limit };
      at = end;
    }
  }
}

/** Is all memory in a range zero? What is none counts as zero. */
function isZero(memory: Memory, start: number, end: number): boolean {
  for (let at = start - (start % 8); at < end; ) {
    const window = memory.window(at);
    if (window === undefined) {
      at += 0x1000 - (at % 0x1000);
      continue;
    }
    const { base, words } = window;
    const last = Math.min((end - base) / 4, words.length);
    for (let i = (at - base) / 4; i < last; i++) if (words[i] !== 0) return false;
    at = base + words.length * 4;
  }
  return true;
}
