/**
 * Populating shadow memory before there is any: whole entries point to tables that all share one page, edges get tables
 * of their own (Linux 6.12 mm/kasan/init.c, `kasan_populate_early_shadow`).
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import { ArgumentError } from './errors.ts';
import { TABLE_NAMES, type TableName } from './geometry.ts';
import type { LinuxNames, NameHelpers, Slot } from './linux-names.ts';

/** The tables that all of the early shadow shares. Their entries must be, or will be, made by the caller. */
export interface SharedShadow {
  /** One table for each name that is real in some geometry; those of folded names are not looked at. */
  readonly p4d: PhysAddr;
  readonly pud: PhysAddr;
  readonly pmd: PhysAddr;
  readonly pte: PhysAddr;
  /** The entry for the shared page, already write-protected. */
  readonly pageEntry: bigint;
}

type LowerName = Exclude<TableName, 'pgd'>;

/**
 * Does the step cover a whole entry that can be shared? A name above one that looks up again in the same page has no
 * entry of its own that could stand for all of those.
 */
function isWhole(helper: NameHelpers, lower: NameHelpers, addr: bigint, bytes: bigint): boolean {
  if (helper.trivial && lower.tableEntries > 1) return false;
  return (addr & (helper.size - 1n)) === 0n && bytes >= helper.size;
}

function helperAt(names: LinuxNames, depth: number): NameHelpers {
  return names.byName(TABLE_NAMES[depth] as TableName);
}

/**
 * Points an entry at the shared tables. It is done at its name and at all names below, so that whichever owns the word
 * writes it; with real names below this rewrites entries of the shared tables with the value they have.
 */
function share(names: LinuxNames, depth: number, slot: Slot, addr: bigint, shared: SharedShadow): void {
  let at = slot;
  for (let d = depth; d < TABLE_NAMES.length - 1; d++) {
    const below = TABLE_NAMES[d + 1] as LowerName;
    helperAt(names, d).populate(at, shared[below]);
    if (below !== 'pte') at = helperAt(names, d + 1).offset(at, addr);
  }
}

function populatePtes(names: LinuxNames, parent: Slot, start: bigint, end: bigint, entry: bigint): void {
  const { pte } = names;
  const { wordBits } = names.geometry;
  const bytes = BigInt.asUintN(wordBits, end - start);
  for (let done = 0n; done + pte.size <= bytes; done += pte.size) {
    pte.set(pte.offset(parent as Slot<'pmd'>, start + done), entry);
  }
}

function populateName(
  names: LinuxNames,
  depth: number,
  parent: PhysAddr | Slot,
  start: bigint,
  end: bigint,
  shared: SharedShadow,
): void {
  const helper = helperAt(names, depth);
  if (helper.name === 'pte') {
    populatePtes(names, parent as Slot, start, end, shared.pageEntry);
    return;
  }
  const { wordBits } = names.geometry;
  const lower = helperAt(names, depth + 1);
  let addr = start;
  let slot = helper.offset(parent, addr);
  do {
    const next = helper.addrEnd(addr, end);
    if (isWhole(helper, lower, addr, BigInt.asUintN(wordBits, next - addr))) {
      share(names, depth, slot, addr, shared);
    } else {
      lower.alloc(slot, addr);
      populateName(names, depth + 1, slot, addr, next, shared);
    }
    slot = helper.next(slot);
    addr = next;
  } while (addr !== end);
}

/**
 * Makes a range of shadow addresses readable before any real shadow exists. New tables come from the allocator of the
 * names; a piece below a page at the end is left out.
 * @param root physical address of the root table
 * @param start first shadow address, a multiple of the page size
 * @param end exclusive end; 0 and 2^64 (2^32) are the top
 * @throws ArgumentError `shadow-range` if the range is empty or does not begin at a page; OutOfTablesError from the
 *   allocator, with the part before it populated
 */
export function populateEarlyShadow(
  names: LinuxNames,
  root: PhysAddr,
  start: VirtAddr | bigint,
  end: bigint,
  shared: SharedShadow,
): void {
  const stop = BigInt.asUintN(names.geometry.wordBits, end);
  if ((stop !== 0n && start >= stop) || start % names.pte.size !== 0n) {
    throw new ArgumentError('shadow-range', 'a range of shadow must begin at a page and end above', { start, end });
  }
  populateName(names, 0, root, start, stop, shared);
}
