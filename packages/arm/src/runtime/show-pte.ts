/**
 * The line about tables that the kernel prints when it does not survive a fault.
 * Source: Linux 6.12 arch/arm/mm/fault.c (`show_pte`).
 */
import { type LinuxNames, type PhysAddr, phys, readWord } from '@pagefold/core';

/** Each value has at least eight digits. */
const value = (word: bigint): string => word.toString(16).padStart(8, '0');

/**
 * The line. It stops at the first name that is empty or bad; names that are folded are left out.
 * @param root physical address of the root
 * @param isHighMemory may a table not be looked at because it lies in high memory? Not supplied: none does
 */
export function showPte(
  names: LinuxNames,
  root: PhysAddr,
  va: bigint,
  isHighMemory: (table: PhysAddr) => boolean = () => false,
): string {
  const { pgd, p4d, pud, pmd, pte, geometry, memory, paging } = names;
  let at = pgd.offset(root, va);
  let line = `[${value(va)}] *pgd=${value(at.load())}`;
  for (const helper of [p4d, pud, pmd]) {
    at = helper.offset(at as never, va) as never;
    const word = at.load();
    if (helper !== p4d && helper.entries !== 1) line += `, *${helper.name}=${value(word)}`;
    if (helper.none(word)) return line;
    if (helper.bad(word)) return `${line}(bad)`;
  }
  if (isHighMemory(pmd.tableAddress(at.load()))) return line;
  const slot = pte.offset(at as never, va);
  line += `, *pte=${value(slot.load())}`;
  const { pairs } = geometry.folding;
  if (pairs === undefined) return line;
  const twin = phys(slot.address + BigInt(pairs.hardwareOffset));
  return `${line}, *ppte=${value(readWord(memory, twin, paging.format.entryBytes))}`;
}
