/**
 * The map of `struct page`s. Source: Linux 6.12 mm/sparse-vmemmap.c (`vmemmap_populate_hugepages`),
 * arch/riscv/mm/init.c (`vmemmap_set_pmd`), asm/pgtable.h.
 */
import { type AddressRange, type Memblock, phys } from '@pagefold/core';
import type { KernelTables } from './kernel-tables.ts';

/** `SECTION_SIZE`: memory gets its page structures in pieces of this. */
export const SECTION_BYTES: bigint = 1n << 27n;
const PAGE = 4096n;

/** Where page structures stand. */
export interface Vmemmap {
  /** `VMEMMAP_START`. */
  readonly start: bigint;
  /** `vmemmap_start_pfn`: the page whose structure stands first; the start of memory, rounded down to a section. */
  readonly startPfn: bigint;
  /** `sizeof(struct page)`. Not supplied: 64. */
  readonly structPageBytes?: bigint;
}

/** `vmemmap_start_pfn` for the start of memory. */
export function vmemmapStartPfn(physRamBase: bigint): bigint {
  return (physRamBase - (physRamBase % SECTION_BYTES)) / PAGE;
}

/** Virtual addresses of the structures of the sections that a range of memory touches. */
export function structPages(vmemmap: Vmemmap, memory: AddressRange<bigint>): AddressRange<bigint> {
  const { start, startPfn, structPageBytes = 64n } = vmemmap;
  const first = memory.start - (memory.start % SECTION_BYTES);
  const last = memory.end + ((SECTION_BYTES - (memory.end % SECTION_BYTES)) % SECTION_BYTES);
  const at = (pa: bigint): bigint => start + (pa / PAGE - startPfn) * structPageBytes;
  return { start: at(first), end: at(last) };
}

/**
 * `vmemmap_populate`: a large leaf for each piece of 2 MiB that is not mapped yet. RV32 has no such map.
 * @param memblock where the memory of the structures comes from: blocks of 2 MiB
 * @returns physical addresses of the blocks
 * @throws OutOfTablesError if memory does not suffice, with the part before it mapped
 */
export function vmemmapPopulate(tables: KernelTables, range: AddressRange<bigint>, memblock: Memblock): bigint[] {
  const { names, root, protections, paging } = tables;
  const { pmd } = names;
  const blocks: bigint[] = [];
  for (let addr = range.start - (range.start % pmd.size); addr < range.end; addr += pmd.size) {
    const pgd = names.pgd.offset(root, addr);
    const slot = pmd.alloc(names.pud.alloc(names.p4d.alloc(pgd, addr), addr), addr);
    if (!pmd.none(slot.load())) continue;
    const block = memblock.physAlloc(pmd.size, pmd.size);
    blocks.push(block);
    pmd.set(slot, paging.encodeLeaf(pmd.level, phys(block), protections.values.PAGE_KERNEL));
  }
  return blocks;
}
