/** A set of addresses, kept as sorted ranges that neither overlap nor touch. */
import { ArgumentError } from './errors.ts';
import { type AddressRange, intersectRanges } from './range.ts';

/**
 * A set of addresses as few ranges: adding merges neighbours, removing cuts. Finding a place is a binary search, so
 * the cost depends on the number of ranges, not on the bytes they cover.
 */
export class RangeSet<A extends bigint = bigint> {
  readonly #ranges: AddressRange<A>[] = [];

  /** @param ranges initial contents; they may overlap */
  constructor(ranges: Iterable<AddressRange<A>> = []) {
    for (const range of ranges) this.add(range);
  }

  /** The ranges, in rising order; neither overlapping nor touching. A copy is made on each access. */
  get ranges(): readonly AddressRange<A>[] {
    return [...this.#ranges];
  }

  /** How many ranges there are. */
  get count(): number {
    return this.#ranges.length;
  }

  /** The range at a position, 0 being the lowest. */
  at(index: number): AddressRange<A> | undefined {
    return this.#ranges[index];
  }

  /** Position of the first range that ends above the address; {@link count} if there is none. */
  firstAbove(address: bigint): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle] as AddressRange<A>).end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Is the address in the set? */
  has(address: bigint): boolean {
    const range = this.#ranges[this.firstAbove(address)];
    return range !== undefined && range.start <= address;
  }

  /** Is all of the range in the set? */
  covers(range: AddressRange<bigint>): boolean {
    const found = this.#ranges[this.firstAbove(range.start)];
    return found !== undefined && found.start <= range.start && found.end >= range.end;
  }

  /** Does the range share an address with the set? */
  overlaps(range: AddressRange<bigint>): boolean {
    const found = this.#ranges[this.firstAbove(range.start)];
    return found !== undefined && found.start < range.end;
  }

  /**
   * Adds addresses; overlapping and touching ranges become one.
   * @throws ArgumentError `range-empty` if the range ends at or below its start
   */
  add(range: AddressRange<A>): void {
    this.#check(range);
    // One below the start, so that a range that ends exactly there is taken too.
    const from = this.firstAbove(range.start - 1n);
    let { start, end } = range;
    let to = from;
    for (let found = this.#ranges[to]; found !== undefined && found.start <= end; found = this.#ranges[++to]) {
      if (found.start < start) start = found.start;
      if (found.end > end) end = found.end;
    }
    this.#ranges.splice(from, to - from, { start, end });
  }

  /**
   * Removes addresses; those that are not in the set do not matter.
   * @throws ArgumentError `range-empty` if the range ends at or below its start
   */
  delete(range: AddressRange<A>): void {
    this.#check(range);
    const from = this.firstAbove(range.start);
    const rest: AddressRange<A>[] = [];
    let to = from;
    for (let found = this.#ranges[to]; found !== undefined && found.start < range.end; found = this.#ranges[++to]) {
      if (found.start < range.start) rest.push({ start: found.start, end: range.start });
      if (found.end > range.end) rest.push({ start: range.end as A, end: found.end });
    }
    this.#ranges.splice(from, to - from, ...rest);
  }

  /** What the set and a range share, in rising order. */
  *within(range: AddressRange<A>): Generator<AddressRange<A>> {
    for (let i = this.firstAbove(range.start); i < this.#ranges.length; i++) {
      const shared = intersectRanges(this.#ranges[i] as AddressRange<A>, range);
      if (shared === undefined) return;
      yield shared;
    }
  }

  #check({ start, end }: AddressRange<A>): void {
    if (start >= end) throw new ArgumentError('range-empty', 'a range must end above its start', { start, end });
  }
}
