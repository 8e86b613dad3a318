/**
 * Mapping memory into vmalloc space with large leaves: `vmap`, `ioremap`.
 * Source: Linux 6.12 mm/vmalloc.c (`vmap_range_noflush`), arch/riscv/include/asm/vmalloc.h.
 */
import { type AddressSpace, type Change, map, type TableAllocator } from '@pagefold/core';

/** What is to be mapped. */
export interface VmapRequest {
  /** First virtual address, a multiple of 4 KiB. */
  readonly va: bigint;
  /** First physical address. */
  readonly pa: bigint;
  readonly bytes: bigint;
  /** Protection of the leaves: `PAGE_KERNEL`, for devices `PAGE_KERNEL_IO`. */
  readonly prot: bigint;
  readonly allocator: TableAllocator;
  /** `max_page_shift`: log2 of the largest leaf that the caller wants. Not supplied: as large as the kernel makes them. */
  readonly maxPageShift?: number;
  /** May runs of 64 KiB be made? Not supplied: yes, where the paging has Svnapot. */
  readonly napot?: boolean;
}

/**
 * log2 of the largest leaf that the kernel makes in vmalloc space: pud entries where they are below the root
 * (`arch_vmap_pud_supported`), pmd entries elsewhere (not on RV32, where those are root entries); p4d entries never.
 */
export function vmapMaxPageShift(space: AddressSpace): number {
  const { names, wordBits } = (space.roots[0] as AddressSpace['roots'][number]).paging.geometry;
  if (wordBits === 32) return 12;
  return names.pud.folded ? names.pmd.shift : names.pud.shift;
}

/**
 * Maps a range, with the largest leaves that fit at each address. A table that is in the way and empty is replaced by
 * the leaf: its range must be flushed before the table is used for something else, as the change says.
 * @throws as `map` of core does; nothing is changed then
 */
export function vmapRange(space: AddressSpace, request: VmapRequest): Change {
  const { va, pa, bytes, prot, allocator, napot = true } = request;
  const shift = Math.min(request.maxPageShift ?? 64, vmapMaxPageShift(space));
  const maxLeafBytes = 1n << BigInt(Math.max(shift, 12));
  return map(space, { va, pa, bytes, attributes: prot, allocator, maxLeafBytes, runs: napot });
}
