/**
 * NAPOT entries as Linux makes and reads them: 16 equal entries that map 64 KiB together.
 * Source: RISC-V ISA Volume II, "Svnapot"; Linux 6.12 arch/riscv/include/asm/pgtable-64.h, asm/pgtable.h,
 * mm/hugetlbpage.c.
 */
import { ArgumentError } from '@pagefold/core';
import { entryMask } from './entry-bits.ts';
import { riscv64 } from './format.ts';

const N = entryMask(64, 'n');
const PPN = entryMask(64, 'ppn');
/** Lowest bit of the page number. */
const UNIT = PPN & -PPN;
const RUN_ENTRIES = riscv64.shapes.flatMap((shape) => (shape.kind === 'leaf' && shape.run ? [shape.run.entries] : []));

/** Orders (log2 of the entries of a run) that Svnapot defines. */
export const NAPOT_ORDERS: readonly number[] = RUN_ENTRIES.map((entries) => Math.log2(entries));

/** Is it marked as one of a run? */
export function isNapot(entry: bigint): boolean {
  return (entry & N) !== 0n;
}

function checkOrder(order: number): void {
  if (!NAPOT_ORDERS.includes(order)) {
    throw new ArgumentError('napot-order', 'Svnapot defines no run of that order', { order: String(order) });
  }
}

/**
 * `pte_mknapot`: the entry that all pages of a run share.
 * @param entry the entry of any page of the run
 * @param order log2 of the entries, one of {@link NAPOT_ORDERS}
 * @throws ArgumentError `napot-order` for an order that Svnapot does not define
 */
export function makeNapot(entry: bigint, order: number): bigint {
  checkOrder(order);
  const low = UNIT * ((1n << BigInt(order)) - 1n);
  return (entry & ~low) | (UNIT << BigInt(order - 1)) | N;
}

/** `napot_cont_order`: log2 of the entries of the run: one more than the zeros at the end of the page number. */
export function napotOrder(entry: bigint): number {
  const lowest = entry & PPN & -(entry & PPN);
  return lowest === 0n ? 0 : (lowest / UNIT).toString(2).length;
}

/**
 * `pte_pfn` of a NAPOT entry: the page number of the run's first page. Linux drops the lowest set bit, which is right
 * only for a well-formed entry.
 */
export function napotPfn(entry: bigint): bigint {
  const pfn = (entry & PPN) / UNIT;
  return pfn & (pfn - 1n);
}

/**
 * `huge_ptep_get`: one entry for a run: the first, accessed or dirty if any of them is.
 * @param entries the entries of the run, in their order
 * @throws ArgumentError `napot-order` if their number makes no run
 */
export function readNapot(entries: readonly bigint[]): bigint {
  checkOrder(Math.log2(entries.length));
  const sticky = entryMask(64, 'a') | entryMask(64, 'd');
  return entries.reduce((first, entry) => first | (entry & sticky), entries[0] ?? 0n);
}

/**
 * The entries of a run.
 * @param entry the entry of any page of the run
 * @throws ArgumentError as {@link makeNapot}
 */
export function napotRun(entry: bigint, order: number): bigint[] {
  return new Array<bigint>(2 ** order).fill(makeNapot(entry, order));
}
