/**
 * The identity map: a root in which a piece of the kernel's code stands where it is in memory, for switching the MMU on
 * and off.
 * Source: Linux 6.12 arch/arm/mm/idmap.c.
 */
import { type PhysAddr, phys } from '@pagefold/core';
import { type KernelTables, SWAPPER_ENTRY } from '../boot/kernel-tables.ts';
import { sectionBits } from '../boot/memory-types.ts';

/** Bits of the identity map's sections: writable, not cached, executable. */
function idmapBits({ model, cpu }: KernelTables): bigint {
  const { type, apWrite, accessed } = sectionBits(model);
  return type | apWrite | accessed | (cpu.arch < 6 && cpu.family === undefined ? 0x10n : 0n);
}

/**
 * Under long descriptors a root entry may be the kernel's own table: then the root gets a table of its own, with the
 * kernel's entries in it.
 */
function ownTable(tables: KernelTables, root: PhysAddr, va: bigint): void {
  const { pgd, p4d, pud, pmd } = tables.names;
  const slot = pud.offset(p4d.offset(pgd.offset(root, va), va), va);
  const word = slot.load();
  if (!pud.none(word) && (word & SWAPPER_ENTRY) === 0n) return;
  const table = pmd.allocOne(va);
  if (table === null) return;
  if (!pud.none(word)) {
    const old = pud.tableAddress(word);
    for (let at = 0n; at < 4096n; at += 8n) tables.writeWord(phys(table + at), tables.readWord(phys(old + at)));
  }
  pud.populate(slot, table);
}

/**
 * Adds an identity mapping in steps of 2 MiB: both words of a pair, or one block.
 * @param root a root of its own; see {@link pgdAlloc}
 * @param start first physical address, below 4 GiB
 * @param end exclusive end
 */
export function addIdentityMap(tables: KernelTables, root: PhysAddr, start: bigint, end: bigint): void {
  const { pgd, p4d, pud, pmd } = tables.names;
  const bits = idmapBits(tables);
  for (let va = start & pmd.mask; va < end; va += pmd.size) {
    if (tables.model === 'lpae') ownTable(tables, root, va);
    const slot = pmd.offset(pud.offset(p4d.offset(pgd.offset(root, va), va), va), va);
    for (let at = va; at < va + pmd.size; at += tables.sectionBytes)
      tables.writeWord(tables.sectionSlot(slot, at), at | bits);
  }
}
