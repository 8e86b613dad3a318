/**
 * Freeing the tables of an address range between a floor and a ceiling (Linux 6.12 mm/memory.c, `free_pgd_range`).
 *
 * Frees tables, not pages. Neighbours may still use a table of which the range holds only a part: floor and ceiling say
 * how far the caller knows the space to be free, and a table goes if its whole span lies between them.
 */
import { type PhysAddr, type VirtAddr, virt } from './address.ts';
import { ArgumentError } from './errors.ts';
import { TABLE_NAMES, type TableName } from './geometry.ts';
import type { LinuxNames, NameHelpers, Slot } from './linux-names.ts';

/** Where tables may be freed. */
export interface FreeBounds {
  /** End of the area before, or 0 for the bottom. Not supplied: 0. */
  readonly floor?: VirtAddr | bigint;
  /** Start of the area after, or 0 for the top. Not supplied: 0. */
  readonly ceiling?: bigint;
}

/** A table that was unlinked and given back. */
export interface FreedTable {
  readonly name: TableName;
  readonly address: PhysAddr;
  /** First virtual address of its span. */
  readonly start: VirtAddr;
}

interface Sweep {
  readonly names: LinuxNames;
  readonly floor: bigint;
  readonly ceiling: bigint;
  readonly freed: FreedTable[];
}

/** Orders addresses with 0 as the top: 0 minus one is the largest number of the machine word. */
function below(names: LinuxNames, a: bigint, b: bigint): boolean {
  const { wordBits } = names.geometry;
  return BigInt.asUintN(wordBits, a - 1n) < BigInt.asUintN(wordBits, b - 1n);
}

/** May the table behind this entry go, given the piece of the range that was swept below it? */
function spanIsFree({ names, floor, ceiling }: Sweep, helper: NameHelpers, start: bigint, end: bigint): boolean {
  if ((start & helper.mask) < floor) return false;
  const limit = ceiling & helper.mask;
  if (ceiling !== 0n && limit === 0n) return false;
  return !below(names, limit, end);
}

/** Unlinks and frees the table of `lower` behind an entry of `helper`; nothing if `lower` is folded. */
function freeBehind(sweep: Sweep, helper: NameHelpers, lower: NameHelpers, slot: Slot, addr: bigint): void {
  if (helper.trivial) return;
  const address = helper.tableAddress(slot.load());
  const start = virt(addr & helper.mask);
  // Unlinked before it is given back: nobody may find a table that is used for something else.
  helper.clear(slot);
  lower.freeOne(address, start);
  sweep.freed.push({ name: lower.name, address, start });
}

function sweepName(sweep: Sweep, depth: number, parent: PhysAddr | Slot, start: bigint, end: bigint): void {
  const helper = sweep.names.byName(TABLE_NAMES[depth] as TableName);
  const lower = sweep.names.byName(TABLE_NAMES[depth + 1] as TableName);
  let addr = start;
  let slot = helper.offset(parent, addr);
  do {
    const next = helper.addrEnd(addr, end);
    if (!helper.noneOrClearBad(slot)) {
      if (helper.name === 'pmd') {
        // The range was cut to whole pmd spans at the start, so every table of ptes found here is free.
        freeBehind(sweep, helper, lower, slot, addr);
      } else {
        sweepName(sweep, depth + 1, slot, addr, next);
        if (spanIsFree(sweep, helper, addr, next)) freeBehind(sweep, helper, lower, slot, addr);
      }
    }
    slot = helper.next(slot);
    addr = next;
  } while (addr !== end);
}

/**
 * Frees the tables of a range of which the whole span lies between floor and ceiling. Whether they are empty is the
 * caller's business, as is invalidating translations. The root stays.
 * @param root physical address of the root table
 * @param addr first address; 0 is the bottom
 * @param end exclusive end; 0 and 2^64 (2^32) are the top
 * @returns the tables in the order in which they were freed: lower ones before upper ones
 * @throws ArgumentError `free-range` if the range is empty
 */
export function freePageTables(
  names: LinuxNames,
  root: PhysAddr,
  addr: VirtAddr | bigint,
  end: bigint,
  bounds: FreeBounds = {},
): FreedTable[] {
  const { pmd, geometry } = names;
  const wrap = (value: bigint): bigint => BigInt.asUintN(geometry.wordBits, value);
  const floor = bounds.floor ?? 0n;
  let stop = wrap(end);
  if (stop !== 0n && addr >= stop) {
    throw new ArgumentError('free-range', 'a range must end above its start', { addr, end });
  }
  let start = addr & pmd.mask;
  if (start < floor) {
    start = wrap(start + pmd.size);
    if (start === 0n) return [];
  }
  const ceiling = wrap(bounds.ceiling ?? 0n) & pmd.mask;
  if (ceiling === 0n && wrap(bounds.ceiling ?? 0n) !== 0n) return [];
  if (below(names, ceiling, stop)) stop = wrap(stop - pmd.size);
  if (start > wrap(stop - 1n)) return [];
  const sweep: Sweep = { names, floor, ceiling, freed: [] };
  sweepName(sweep, 0, root, start, stop);
  return sweep.freed;
}
