/**
 * Half-open ranges of addresses that never overflow, and the stepping rule of page-table loops.
 *
 * A range is never empty and lies within 0 to 2^64, so its size is 1 to 2^64 and its last byte always has an address.
 * What may come out empty is `undefined` or an empty list. The stepping rule ({@link addrEnd}) lives on the ring of
 * the machine word instead, where 0 as an end means the top: that is how kernels' loops see the last entry.
 */
import { hex, type PhysAddr, TWO_64, type VirtAddr, virt } from './address.ts';
import { ArgumentError } from './errors.ts';

/** Addresses from `start` up to, not including, `end`. Never empty. */
export interface AddressRange<A extends bigint = VirtAddr> {
  readonly start: A;
  /** Exclusive; at most 2^64, always above `start`. */
  readonly end: bigint;
}

/** A half-open range of physical addresses. */
export type PhysRange = AddressRange<PhysAddr>;

/**
 * The range from `start` up to `end`, exclusive.
 * @throws ArgumentError `range-empty` if it holds nothing, `range-overflow` if it leaves 0 to 2^64
 */
export function rangeBetween<A extends bigint>(start: A, end: bigint): AddressRange<A> {
  if (start < 0n || end > TWO_64) {
    throw new ArgumentError('range-overflow', 'a range must lie within 0 and 2^64', { start, end });
  }
  if (start >= end) throw new ArgumentError('range-empty', 'a range must end above its start', { start, end });
  return { start, end };
}

/**
 * The range of `size` bytes from `start`.
 * @throws ArgumentError as {@link rangeBetween}
 */
export function rangeOfSize<A extends bigint>(start: A, size: bigint): AddressRange<A> {
  return rangeBetween(start, start + size);
}

/**
 * The range from `start` to `last`, inclusive.
 * @throws ArgumentError as {@link rangeBetween}
 */
export function rangeToLast<A extends bigint>(start: A, last: bigint): AddressRange<A> {
  return rangeBetween(start, last + 1n);
}

/** Bytes in a range: 1 to 2^64. */
export function rangeSize(range: AddressRange<bigint>): bigint {
  return range.end - range.start;
}

/** The last address of a range, inclusive. */
export function rangeLast<A extends bigint>(range: AddressRange<A>): A {
  return (range.end - 1n) as A;
}

const RANGE_TEXT = /^(0x[0-9a-f]+)([-+])(0x[0-9a-f]+)$/i;

/**
 * Reads `0xSTART-0xEND` (exclusive end; 2^64 is `0x10000000000000000`) or `0xSTART+0xSIZE`.
 * @throws ArgumentError `range-text` if the text has another form; otherwise as {@link rangeBetween}
 */
export function parseRange(text: string): AddressRange {
  const [, from, sign, to] = RANGE_TEXT.exec(text.trim()) ?? [];
  if (from === undefined || to === undefined) {
    throw new ArgumentError('range-text', 'a range reads 0xSTART-0xEND or 0xSTART+0xSIZE', { text });
  }
  const start = BigInt(from);
  // Checked before branding: branding wraps, and a start of 2^64 must not turn into 0.
  const { end } = sign === '+' ? rangeOfSize(start, BigInt(to)) : rangeBetween(start, BigInt(to));
  return { start: virt(start), end };
}

/**
 * A range as text that {@link parseRange} reads back.
 * @param form `end` prints `0xSTART-0xEND`, `size` prints `0xSTART+0xSIZE`
 * @param digits pads the addresses, not the size, to this many digits
 */
export function formatRange(range: AddressRange<bigint>, form: 'end' | 'size' = 'end', digits = 0): string {
  const start = hex(range.start, digits);
  return form === 'end' ? `${start}-${hex(range.end, digits)}` : `${start}+${hex(rangeSize(range))}`;
}

/** Does the address lie in the range? */
export function rangeContains(range: AddressRange<bigint>, address: bigint): boolean {
  return address >= range.start && address < range.end;
}

/** Does the first range hold all of the second? */
export function rangeCovers(outer: AddressRange<bigint>, inner: AddressRange<bigint>): boolean {
  return inner.start >= outer.start && inner.end <= outer.end;
}

/** Do two ranges share an address? */
export function rangesOverlap(a: AddressRange<bigint>, b: AddressRange<bigint>): boolean {
  return a.start < b.end && b.start < a.end;
}

/** The smaller of two numbers (`Math.min` knows no bigint). */
export function lowerOf<A extends bigint>(a: A, b: A): A {
  if (b < a) return b;
  return a;
}

/** The larger of two numbers. */
export function higherOf<A extends bigint>(a: A, b: A): A {
  if (b > a) return b;
  return a;
}

/** What two ranges share; `undefined` if nothing. */
export function intersectRanges<A extends bigint>(a: AddressRange<A>, b: AddressRange<A>): AddressRange<A> | undefined {
  const start = higherOf(a.start, b.start);
  const end = lowerOf(a.end, b.end);
  return start < end ? { start, end } : undefined;
}

/** What remains of a range without another: up to two ranges, in rising order. */
export function subtractRange<A extends bigint>(range: AddressRange<A>, without: AddressRange<A>): AddressRange<A>[] {
  if (!rangesOverlap(range, without)) return [range];
  const rest: AddressRange<A>[] = [];
  if (range.start < without.start) rest.push({ start: range.start, end: without.start });
  if (without.end < range.end) rest.push({ start: without.end as A, end: range.end });
  return rest;
}

function checkUnit(unit: bigint): void {
  if (unit <= 0n || unit > TWO_64 || (unit & (unit - 1n)) !== 0n) {
    throw new ArgumentError('range-unit', 'a unit must be a power of two up to 2^64', { unit });
  }
}

/**
 * The smallest range of whole units around a range. It cannot overflow: 2^64 is a multiple of every unit.
 * @param unit a power of two
 * @throws ArgumentError `range-unit` if it is none
 */
export function alignRangeOut<A extends bigint>(range: AddressRange<A>, unit: bigint): AddressRange<A> {
  checkUnit(unit);
  const start = (range.start & -unit) as A;
  return { start, end: (range.end + unit - 1n) & -unit };
}

/**
 * The largest range of whole units inside a range; `undefined` if it holds no whole unit.
 * @param unit a power of two
 * @throws ArgumentError `range-unit` if it is none
 */
export function alignRangeIn<A extends bigint>(range: AddressRange<A>, unit: bigint): AddressRange<A> | undefined {
  checkUnit(unit);
  const start = ((range.start + unit - 1n) & -unit) as A;
  const end = range.end & -unit;
  return start < end ? { start, end } : undefined;
}

/**
 * Cuts a range at every multiple of a unit. The pieces come one by one, in rising order.
 * @param unit a power of two
 * @throws ArgumentError `range-unit` if it is none
 */
export function* splitRange<A extends bigint>(range: AddressRange<A>, unit: bigint): Generator<AddressRange<A>> {
  checkUnit(unit);
  let start = range.start;
  while (start < range.end) {
    const end = lowerOf((start & -unit) + unit, range.end);
    yield { start, end };
    start = end as A;
  }
}

/**
 * Where a loop's step over one entry ends: the entry's upper boundary or the end of the range, whichever comes first.
 *
 * Both are compared minus one, wrapped to the machine word, so that 0 counts as the top: an `end` of 0 loses against
 * every real boundary, and a boundary that wraps to 0 loses against every real `end`. The last entry of the address
 * space therefore gives 0. Rule of `p?d_addr_end`, Linux 6.12 include/linux/pgtable.h; for a folded name
 * include/asm-generic/pgtable-nop4d.h and its relatives.
 * @param addr where the step starts, 0 to 2^wordBits - 1
 * @param end exclusive end of the range; 0 and 2^wordBits both mean the top
 * @param shift log2 of the bytes that one entry covers
 * @param wordBits bits of the machine word
 * @param folded has the name no entries of its own? Then one step takes the whole range.
 * @returns the next address, 0 for the top
 */
export function addrEnd(addr: bigint, end: bigint, shift: number, wordBits: 32 | 64 = 64, folded = false): bigint {
  const stop = BigInt.asUintN(wordBits, end);
  if (folded) return stop;
  const size = 1n << BigInt(shift);
  const boundary = BigInt.asUintN(wordBits, (addr + size) & -size);
  return BigInt.asUintN(wordBits, boundary - 1n) < BigInt.asUintN(wordBits, stop - 1n) ? boundary : stop;
}

/** One step of a page-table loop: from `addr` to `next`, where 0 is the top. */
export interface AddressStep {
  readonly addr: bigint;
  readonly next: bigint;
}

/**
 * The steps of `do { next = addr_end(addr, end); … } while (addr = next, addr != end)`.
 *
 * A start of 0 with an end of 0 is the whole space. Any other start at or above the end is refused: the loop it
 * stands for would run around the ring.
 * @param addr first address
 * @param end exclusive end; 0 and 2^wordBits both mean the top
 * @param shift log2 of the bytes that one entry covers
 * @throws ArgumentError `range-empty` if the start is not below the end
 */
export function* addrSteps(
  addr: bigint,
  end: bigint,
  shift: number,
  wordBits: 32 | 64 = 64,
  folded = false,
): Generator<AddressStep> {
  const stop = BigInt.asUintN(wordBits, end);
  if (stop !== 0n && addr >= stop) {
    throw new ArgumentError('range-empty', 'a loop must start below its end', { addr, end });
  }
  let at = addr;
  do {
    const next = addrEnd(at, stop, shift, wordBits, folded);
    yield { addr: at, next };
    at = next;
  } while (at !== stop);
}
