/**
 * Early physical memory as kernels keep it before their page allocator runs: banks, reserved pieces, pieces that must
 * not be mapped, and allocation from the top down.
 *
 * The order in which it hands out addresses is that of Linux 6.12 mm/memblock.c (one node, no mirrored or hot-pluggable
 * memory), so that tables built from it land where a kernel would put them.
 */
import { type PhysAddr, phys } from './address.ts';
import type { TableAllocator, TableRequest } from './allocator.ts';
import { ArgumentError, OutOfTablesError } from './errors.ts';
import { higherOf, lowerOf, type PhysRange, rangeBetween, rangeOfSize } from './range.ts';
import { RangeSet } from './range-set.ts';

/** No physical address reaches this. */
const TOP: bigint = 1n << 56n;

/** A physical range as callers write it: from `start` up to `end`, exclusive. */
export interface PhysRangeInput {
  readonly start: PhysAddr | bigint;
  readonly end: bigint;
}

/** What a {@link Memblock} starts with. */
export interface MemblockOptions {
  /** RAM. */
  readonly memory?: Iterable<PhysRangeInput>;
  /** Pieces in use; they may lie outside RAM. */
  readonly reserved?: Iterable<PhysRangeInput>;
  /** Pieces of RAM that must not be mapped: never handed out, not part of {@link Memblock.mappable}. */
  readonly nomap?: Iterable<PhysRangeInput>;
  /** Nothing is handed out at or above it. Not supplied: 2^56. */
  readonly limit?: PhysAddr | bigint;
  /** Search from the lowest address. Not supplied: false, from the highest. */
  readonly bottomUp?: boolean;
  /** Bytes at address 0 that are never handed out, because 0 stands for failure. Not supplied: 4096. */
  readonly guardBytes?: bigint;
}

/** Bounds of one search. */
export interface MemblockSearch {
  /** Lowest address. Not supplied: 0. */
  readonly min?: PhysAddr | bigint;
  /** Exclusive upper bound. Not supplied: the current limit. */
  readonly max?: PhysAddr | bigint;
}

function checked({ start, end }: PhysRangeInput): PhysRange {
  if (end > TOP) throw new ArgumentError('phys-range', 'physical memory ends at 2^56', { start, end });
  return rangeBetween(phys(start), end);
}

/** Physical memory during boot. Also a {@link TableAllocator}. */
export class Memblock implements TableAllocator {
  readonly #memory: RangeSet<PhysAddr> = new RangeSet();
  readonly #reserved: RangeSet<PhysAddr> = new RangeSet();
  readonly #nomap: RangeSet<PhysAddr> = new RangeSet();
  /** Memory without the pieces that must not be mapped; kept up to date because every search runs over it. */
  readonly #mappable: RangeSet<PhysAddr> = new RangeSet();
  readonly #guard: bigint;
  #limit: bigint = TOP;
  #bottomUp: boolean;

  /** @throws ArgumentError if a range is empty or reaches above 2^56 */
  constructor(options: MemblockOptions = {}) {
    this.#guard = options.guardBytes ?? 4096n;
    this.#bottomUp = options.bottomUp ?? false;
    for (const range of options.memory ?? []) this.add(range);
    for (const range of options.nomap ?? []) this.markNomap(range);
    for (const range of options.reserved ?? []) this.reserve(range);
    if (options.limit !== undefined) this.limit = options.limit;
  }

  /** RAM, neighbours merged. */
  get memory(): readonly PhysRange[] {
    return this.#memory.ranges;
  }

  /** What is in use, neighbours merged. */
  get reserved(): readonly PhysRange[] {
    return this.#reserved.ranges;
  }

  /** What must not be mapped, neighbours merged. */
  get nomap(): readonly PhysRange[] {
    return this.#nomap.ranges;
  }

  /** RAM without what must not be mapped: what a linear map covers. */
  get mappable(): readonly PhysRange[] {
    return this.#mappable.ranges;
  }

  /** Nothing is handed out at or above it (`memblock_set_current_limit`). */
  get limit(): PhysAddr {
    return phys(this.#limit);
  }

  /** @throws ArgumentError if it lies above 2^56 or is negative */
  set limit(limit: PhysAddr | bigint) {
    if (limit < 0n || limit > TOP) throw new ArgumentError('phys-range', 'physical memory ends at 2^56', { limit });
    this.#limit = limit;
  }

  /** Is the search upwards? */
  get bottomUp(): boolean {
    return this.#bottomUp;
  }

  set bottomUp(bottomUp: boolean) {
    this.#bottomUp = bottomUp;
  }

  /** Adds RAM; it may overlap what is there. */
  add(range: PhysRangeInput): void {
    const added = checked(range);
    this.#memory.add(added);
    this.#mappable.add(added);
    for (const { start, end } of [...this.#nomap.within(added)]) this.#mappable.delete({ start, end });
  }

  /** Takes RAM away, as a memory limit does. Reservations stay. */
  remove(range: PhysRangeInput): void {
    const removed = checked(range);
    this.#memory.delete(removed);
    this.#mappable.delete(removed);
  }

  /** Marks a piece as in use. It may overlap other reservations and may lie outside RAM. */
  reserve(range: PhysRangeInput): void {
    this.#reserved.add(checked(range));
  }

  /** Marks a piece that must not be mapped. */
  markNomap(range: PhysRangeInput): void {
    const marked = checked(range);
    this.#nomap.add(marked);
    this.#mappable.delete(marked);
  }

  /** Takes such a mark back. */
  clearNomap(range: PhysRangeInput): void {
    const cleared = checked(range);
    this.#nomap.delete(cleared);
    for (const { start, end } of [...this.#memory.within(cleared)]) this.#mappable.add({ start, end });
  }

  /** Is the address RAM, in use or not? */
  isMemory(address: PhysAddr | bigint): boolean {
    return this.#memory.has(address);
  }

  /** Is all of the range in use? */
  isReserved(range: PhysRangeInput): boolean {
    return this.#reserved.covers(checked(range));
  }

  /** What can still be handed out, disregarding limit and guard: mappable RAM that is not reserved, rising. */
  *freeRanges(): Generator<PhysRange> {
    for (let i = 0; i < this.#mappable.count; i++) {
      const { start, end } = this.#mappable.at(i) as PhysRange;
      let low = start;
      let used = this.#reserved.firstAbove(start);
      for (let found = this.#reserved.at(used); found && found.start < end; found = this.#reserved.at(++used)) {
        if (found.start > low) yield { start: low, end: found.start };
        low = phys(found.end);
      }
      if (low < end) yield { start: low, end };
    }
  }

  /** The same from the top down. */
  *freeRangesDown(): Generator<PhysRange> {
    for (let i = this.#mappable.count - 1; i >= 0; i--) {
      const { start, end } = this.#mappable.at(i) as PhysRange;
      let high: bigint = end;
      // The last reservation that begins below the end: either the one that holds end - 1, or the one before it.
      let used = this.#reserved.firstAbove(end - 1n);
      if ((this.#reserved.at(used)?.start ?? end) >= end) used--;
      for (let found = this.#reserved.at(used); found && found.end > start; found = this.#reserved.at(--used)) {
        if (found.end < high) yield { start: phys(found.end), end: high };
        high = found.start;
      }
      if (start < high) yield { start, end: high };
    }
  }

  /**
   * Where an allocation would go, without making it (`memblock_find_in_range`).
   * @param size bytes, above 0
   * @param align a power of two
   * @returns the address, or `undefined` if nothing fits
   * @throws ArgumentError if size or alignment are unusable
   */
  find(size: bigint, align: bigint, search: MemblockSearch = {}): PhysAddr | undefined {
    if (size <= 0n || align <= 0n || (align & (align - 1n)) !== 0n) {
      throw new ArgumentError('memblock-request', 'an allocation needs a size and a power of two as alignment', {
        size,
        align,
      });
    }
    const min = higherOf<bigint>(search.min ?? 0n, this.#guard);
    const max = search.max ?? this.#limit;
    for (const range of this.#bottomUp ? this.freeRanges() : this.freeRangesDown()) {
      const low = higherOf<bigint>(range.start, min);
      const high = lowerOf<bigint>(range.end, max);
      const at = this.#bottomUp ? (low + align - 1n) & -align : (high - size) & -align;
      if (this.#bottomUp ? at + size <= high : at >= low) return phys(at);
    }
    return undefined;
  }

  /**
   * Reserves memory and gives its address (`memblock_phys_alloc_range`).
   * @param size bytes, above 0; not rounded up
   * @param align a power of two
   * @throws OutOfTablesError `memblock-exhausted` if nothing fits; ArgumentError as {@link find}
   */
  physAlloc(size: bigint, align: bigint, search: MemblockSearch = {}): PhysAddr {
    const address = this.find(size, align, search);
    if (address === undefined) {
      throw new OutOfTablesError('memblock-exhausted', 'no free memory fits', {
        size,
        align,
        min: search.min ?? 0n,
        max: search.max ?? this.#limit,
      });
    }
    this.#reserved.add(rangeOfSize(address, size));
    return address;
  }

  /** Takes a reservation back (`memblock_phys_free`); what was not reserved does not matter. */
  physFree(range: PhysRangeInput): void {
    this.#reserved.delete(checked(range));
  }

  /** One table: {@link physAlloc} with the request's size and alignment. */
  allocate(request: TableRequest): PhysAddr {
    return this.physAlloc(BigInt(request.bytes), BigInt(request.alignBytes));
  }

  /** @throws ArgumentError `double-free` if the table is not wholly reserved */
  free(address: PhysAddr, request: TableRequest): void {
    const range = rangeOfSize(address, BigInt(request.bytes));
    if (!this.#reserved.covers(range)) {
      throw new ArgumentError('double-free', 'a table that is not reserved is freed', {
        address,
        bytes: request.bytes,
      });
    }
    this.#reserved.delete(range);
  }
}
