/**
 * Mapping memory and devices into vmalloc space, and the map of page structures.
 * Source: Linux 6.12 mm/vmalloc.c, arch/arm64/include/asm/vmalloc.h, arch/arm64/mm/ioremap.c, arch/arm64/mm/mmu.c
 * (`vmemmap_populate`), mm/sparse-vmemmap.c.
 */
import { ArgumentError, type Memblock, rangesOverlap } from '@pagefold/core';
import { fillTree } from '../boot/build-tree.ts';
import type { PageTree } from '../boot/page-tree.ts';
import { tableMask } from '../entry-bits.ts';
import type { LinuxProtections } from '../linux-protections.ts';
import { entryFor } from './entries.ts';

/** What is to be mapped: whole pages. */
export interface VmapRequest {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  readonly prot: bigint;
  /** Levels, from the pages, that may hold blocks. Not supplied: pmd, with 4K pages also pud entries. */
  readonly blocks?: readonly number[];
}

/**
 * `vmap_range`: with blocks where they fit, never with contiguous groups.
 * @throws ArgumentError `range-align`; BootError `leaf-in-the-way`, `unsafe-change`
 */
export function vmapRange(tree: PageTree, { va, pa, bytes, prot, blocks }: VmapRequest): void {
  const page = tree.paging.pageBytes;
  if (va % page !== 0n || pa % page !== 0n || bytes % page !== 0n || bytes <= 0n) {
    throw new ArgumentError('range-align', 'whole pages are mapped', { va, pa, bytes });
  }
  const usual = tree.addresses.granule === '4K' ? [1, 2] : [1];
  const { root } = tree.paging.geometry;
  const rules = {
    blocks: (blocks ?? usual).filter((level) => level <= root.level),
    contiguous: [],
    tableBits: tableMask('uxnTable'),
    overwrite: 'safe',
  } as const;
  fillTree(tree, rules, { va, end: va + bytes, pa, prot });
}

/** What `ioremap` asks for. */
export interface IoremapRequest {
  /** Physical address of the device; need not be aligned. */
  readonly pa: bigint;
  readonly bytes: bigint;
  /** Where in vmalloc space; a page. */
  readonly va: bigint;
  /** Bits of physical addresses that entries hold. */
  readonly physicalBits: number;
  /** Not supplied: `PROT_DEVICE_nGnRE`. */
  readonly prot?: bigint;
}

/**
 * `ioremap_prot`.
 * @returns the virtual address of the device
 * @throws ArgumentError `ioremap-physical` for an address that no entry can hold, `ioremap-ram` for memory
 */
export function ioremap(
  tree: PageTree,
  protections: LinuxProtections,
  memory: Pick<Memblock, 'mappable'>,
  request: IoremapRequest,
): bigint {
  const { pa, bytes, va, physicalBits, prot = protections.values.PROT_DEVICE_nGnRE } = request;
  const page = tree.paging.pageBytes;
  const offset = pa % page;
  const last = pa + bytes - 1n;
  if (bytes <= 0n || last >> BigInt(physicalBits) !== 0n) {
    throw new ArgumentError('ioremap-physical', 'such an address cannot be mapped', { pa, bytes });
  }
  if (memory.mappable.some((bank) => rangesOverlap(bank, { start: pa, end: last + 1n }))) {
    throw new ArgumentError('ioremap-ram', 'that is memory, and mapped already with another type', { pa, bytes });
  }
  const end = (last + page) & -page;
  vmapRange(tree, { va, pa: pa - offset, bytes: end - (pa - offset), prot });
  return va + offset;
}

/** What {@link populateVmemmap} did. */
export interface VmemmapResult {
  /** Physical addresses of the memory that holds page structures now, in the order of allocation. */
  readonly blocks: readonly bigint[];
  /** Are they blocks of 2 MiB, or pages? */
  readonly huge: boolean;
}

/**
 * `vmemmap_populate`: blocks of 2 MiB with 4K pages if at least the structures of a whole section are asked for, else pages.
 * What is mapped already stays.
 * @param sectionBytes structures of one section: 2 MiB with 4K pages and 64 bytes each
 */
export function populateVmemmap(
  tree: PageTree,
  protections: LinuxProtections,
  memblock: Memblock,
  range: { readonly start: bigint; readonly end: bigint },
  sectionBytes: bigint,
): VmemmapResult {
  const huge = tree.addresses.granule === '4K' && range.end - range.start >= sectionBytes;
  const level = huge ? 1 : 0;
  const bytes = BigInt(tree.paging.codec(level).level.entrySpan);
  const prot = huge ? protections.values.PROT_SECT_NORMAL : protections.values.PAGE_KERNEL;
  const blocks: bigint[] = [];
  for (let va = range.start & -bytes; va < range.end; va += bytes) {
    if (entryFor(tree, va, level).word !== 0n) continue;
    const pa = memblock.physAlloc(bytes, bytes);
    blocks.push(pa);
    vmapRange(tree, { va, pa, bytes, prot, blocks: huge ? [1] : [] });
  }
  return { blocks, huge };
}
