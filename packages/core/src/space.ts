/**
 * An address space: memory and the roots that stand in it. One root, two halves, a split by address: whatever the
 * architecture does, everything above asks only which root translates an address.
 */
import { type AccessOptionValues, defaultAccessOptions, withAccessOptions } from './access-options.ts';
import { hex, type PhysAddr, TWO_64, type VirtAddr, virt } from './address.ts';
import { checkBigints } from './bigints.ts';
import { exactMultiple, floorMultiple, toBig } from './compiled.ts';
import { ArgumentError } from './errors.ts';
import type { AccessKind, Privilege } from './format.ts';
import { type IgnoredBits, ignoredFits, type NumberRange } from './geometry.ts';
import type { LevelCodec } from './level-codec.ts';
import type { Memory } from './memory.ts';
import type { Paging } from './paging.ts';

/** A part of what a root translates. */
export interface RootRange {
  readonly start: bigint;
  readonly end: bigint;
  /** Bits of its addresses that hold a tag. Not supplied: those that the geometry ignores. */
  readonly ignored?: IgnoredBits;
}

/** Who is shut out of a root, and the reason that a walk reports. */
export interface ClosedTo {
  readonly privilege: Privilege;
  readonly reason: string;
}

/** One root table as the caller names it. */
export interface RootDescription {
  readonly paging: Paging;
  /** Physical address of the root table. */
  readonly address: PhysAddr | bigint;
  /** Name for output: `TTBR1`, `kernel`. Not supplied: `root`. */
  readonly label?: string;
  /**
   * Virtual addresses that this root translates, half-open, in rising order. Not supplied: those of its geometry.
   */
  readonly ranges?: readonly RootRange[];
  /**
   * Every address of this root faults before any table is read, for this reason: walks are switched off, or the
   * registers are impossible. Not supplied: it translates.
   */
  readonly fault?: string;
  /**
   * Every access of this privilege faults before any table is read, for this reason. Asked for in the name of others, all
   * addresses translate. Not supplied: nobody is shut out.
   */
  readonly closedTo?: ClosedTo;
  /**
   * Control bits that come with the root: values for options of the format's access check, used where a request says
   * nothing. Not supplied: the format's defaults.
   */
  readonly control?: AccessOptionValues;
}

/** A part of what a root translates, checked. */
export interface PlainRange extends NumberRange {
  readonly ignored: IgnoredBits | undefined;
}

/** One root table, checked. */
export interface Root {
  readonly paging: Paging;
  /** Physical address, exact as a number. */
  readonly address: number;
  readonly label: string;
  readonly ranges: readonly PlainRange[];
  readonly fault: string | undefined;
  readonly closedTo: ClosedTo | undefined;
  /** Every option of the access check, as the root's control bits or else the defaults have it. */
  readonly options: AccessOptionValues;
}

/** A virtual address space. Made by {@link createSpace}. */
export interface AddressSpace {
  readonly memory: Memory;
  readonly roots: readonly Root[];
}

/** A half-open range of virtual addresses; `end` may be 2^64. */
export interface VirtRange {
  readonly start: VirtAddr | bigint;
  readonly end: bigint;
}

/** A range that a root is given: whole pages that its tables can translate. */
function checkRange(paging: Paging, { start, end, ignored }: RootRange): PlainRange {
  const { geometry, pageBytes } = paging;
  const inside = geometry.ranges.some((own) => start >= BigInt(own.start) && end <= BigInt(own.end));
  if (start >= end || !inside || start % pageBytes !== 0n || end % pageBytes !== 0n) {
    throw new ArgumentError('root-range', `a root's range must be whole pages that ${geometry.name} translates`, {
      start,
      end,
    });
  }
  if (ignored !== undefined && !ignoredFits(geometry, ignored)) {
    const [hi, lo] = ignored.bits;
    throw new ArgumentError('ignored-bits', 'ignored bits lie above the page offset and within the word', { hi, lo });
  }
  return { start: Number(start), end: Number(end), ignored: ignored ?? geometry.ignored };
}

function checkRoot({ paging, address, label, ranges, fault, closedTo, control }: RootDescription): Root {
  const { root } = paging.geometry;
  const { access } = paging.format;
  if (fault === undefined) paging.checkAddress(address, BigInt(root.alignBytes));
  return {
    paging,
    address: Number(address),
    label: label ?? 'root',
    ranges:
      ranges?.map((range) => checkRange(paging, range)) ??
      paging.geometry.ranges.map((range) => ({ ...range, ignored: paging.geometry.ignored })),
    fault,
    closedTo,
    options: withAccessOptions(access, defaultAccessOptions(access), control),
  };
}

/**
 * Makes an address space.
 * @param memory where the tables stand
 * @param roots one root, or several whose ranges do not overlap; the first names faults of addresses that none has
 * @throws AttributeError if a root is unaligned or too high; ArgumentError if two roots claim an address, a range is
 *   none that the root's tables can translate, or a control bit is none of the access check's options
 */
export function createSpace(memory: Memory, roots: RootDescription | readonly RootDescription[]): AddressSpace {
  const list = (Array.isArray(roots) ? (roots as readonly RootDescription[]) : [roots as RootDescription]).map(
    checkRoot,
  );
  if (list.length === 0) throw new ArgumentError('no-root', 'an address space needs a root');
  const all = list.flatMap(({ ranges }) => ranges).sort((a, b) => a.start - b.start);
  all.forEach((range, i) => {
    const before = all[i - 1];
    if (before !== undefined && range.start < before.end) {
      throw new ArgumentError('root-overlap', 'two roots translate the same addresses', { at: range.start });
    }
  });
  return { memory, roots: list };
}

/** An address with the ignored bits replaced by copies of the bit below them. */
export function untagged(ignored: IgnoredBits | undefined, va: bigint): bigint {
  if (ignored === undefined) return va;
  const [hi, lo] = ignored.bits;
  const mask = ((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo);
  return ((va >> BigInt(lo - 1)) & 1n) === 0n ? va & ~mask : va | mask;
}

/** Bytes of the smallest leaf, an exact number. */
export function pageOf({ paging }: Root): number {
  return (paging.levels[0] as LevelCodec).level.entrySpan;
}

/** Where an address is translated. */
export interface Place {
  readonly root: Root;
  /** The address as the root's tables see it: without its tag. */
  readonly address: bigint;
}

/**
 * The root that translates an address, and the address without its tag; `undefined` if none does.
 * @param kind of the access: some tags are taken off data accesses only. Not supplied: a read.
 */
export function placeOf(space: AddressSpace, va: bigint, kind: AccessKind = 'read'): Place | undefined {
  for (const root of space.roots) {
    const page = pageOf(root);
    for (const { start, end, ignored } of root.ranges) {
      const address = ignored?.dataOnly === true && kind === 'execute' ? va : untagged(ignored, va);
      // Ranges are whole pages.
      const at = floorMultiple(address, page);
      if (at >= start && at < end) return { root, address };
    }
  }
  return undefined;
}

/** The root that translates an address; see {@link placeOf}. */
export function rootFor(space: AddressSpace, va: bigint, kind: AccessKind = 'read'): Root | undefined {
  return placeOf(space, va, kind)?.root;
}

/** One stretch of a range under one root, in exact numbers. */
export interface Stretch extends NumberRange {
  readonly root: Root;
}

/** Most ranges are whole pages of one range of one root: found without BigInt arithmetic. */
function singleStretch({ roots }: AddressSpace, { start, end }: VirtRange): Stretch | undefined {
  for (const root of roots) {
    const page = pageOf(root);
    const from = exactMultiple(start, page);
    const to = exactMultiple(end, page);
    if (root.fault !== undefined || !(from < to)) continue;
    for (const range of root.ranges) {
      if (from >= range.start && to <= range.end) return { root, start: from, end: to };
    }
  }
  return undefined;
}

/**
 * Checks a range of whole pages and cuts it at the edges of roots.
 * @throws ArgumentError if it is empty, unaligned, or not wholly translated by the roots (with `clip`, the parts
 *   outside are left out instead)
 */
export function stretches(space: AddressSpace, range: VirtRange, clip = false): Stretch[] {
  if (typeof range.start !== 'bigint' || typeof range.end !== 'bigint') {
    checkBigints({ start: range.start, end: range.end });
  }
  const single = singleStretch(space, range);
  if (single !== undefined) return [single];
  const { start, end } = range;
  if (start < 0n || end > TWO_64 || start >= end) {
    throw new ArgumentError('range', 'a range needs 0 <= start < end <= 2^64', { start, end });
  }
  const found: Stretch[] = [];
  let covered = 0n;
  for (const root of space.roots) {
    if (root.fault !== undefined) continue;
    for (const part of root.ranges) {
      const from = start > BigInt(part.start) ? start : BigInt(part.start);
      const to = end < BigInt(part.end) ? end : BigInt(part.end);
      if (from >= to) continue;
      const page = root.paging.pageBytes;
      if (from % page !== 0n || to % page !== 0n) {
        throw new ArgumentError('range-align', `a range must start and end at multiples of ${hex(page)}`, {
          start,
          end,
        });
      }
      covered += to - from;
      found.push({ root, start: Number(from), end: Number(to) });
    }
  }
  if (!clip && covered !== end - start) {
    throw new ArgumentError('range-canonical', 'part of the range is translated by no root', { start, end });
  }
  return found.sort((a, b) => a.start - b.start);
}

/** A number that stands for a virtual address, as one. */
export function vaOf(value: number): VirtAddr {
  return value < 2 ** 64 ? (toBig(value) as VirtAddr) : virt(BigInt(value));
}
