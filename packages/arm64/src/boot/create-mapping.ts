/**
 * The main builder: the linear map, the device tree in the fixmap, changes of protection, mappings of firmware.
 * Source: Linux 6.12 arch/arm64/mm/mmu.c (`__create_pgd_mapping` and its children).
 */
import { BootError } from '@pagefold/core';
import { tableMask } from '../entry-bits.ts';
import { fillTree } from './build-tree.ts';
import type { PageTree } from './page-tree.ts';

/** What a mapping must do without. What is not supplied is allowed. */
export interface MappingFlags {
  /** `NO_BLOCK_MAPPINGS`: pages only. */
  readonly noBlock?: boolean;
  /** `NO_CONT_MAPPINGS`: no contiguous groups, so that single entries can change later. */
  readonly noCont?: boolean;
  /** `NO_EXEC_MAPPINGS`: new tables forbid execution of everything below them. */
  readonly noExec?: boolean;
}

/** What the main builder maps. */
export interface PgdMapping {
  readonly pa: bigint;
  readonly va: bigint;
  readonly size: bigint;
  readonly prot: bigint;
  readonly flags?: MappingFlags;
}

/** Levels, from the pages, that may hold blocks: pmd entries, and with 4K pages also pud entries. */
function blockLevels({ paging, addresses }: PageTree): number[] {
  const { root } = paging.geometry;
  return [1, ...(addresses.granule === '4K' ? [2] : [])].filter((level) => level <= root.level);
}

/**
 * `__create_pgd_mapping`. Groups of blocks are marked where pmd tables exist: the entries of a two-level root are visited
 * one by one, so that none is seen to be part of a group.
 * @throws BootError `page-offset` if virtual and physical address do not lie equally in their pages; `leaf-in-the-way`,
 *   `unsafe-change`
 */
export function createPgdMapping(tree: PageTree, { pa, va, size, prot, flags = {} }: PgdMapping): void {
  const page = tree.paging.pageBytes;
  if ((pa - va) % page !== 0n) {
    throw new BootError('page-offset', 'virtual and physical address must lie equally in their pages', { va, pa });
  }
  const { noBlock = false, noCont = false, noExec = false } = flags;
  const { root } = tree.paging.geometry;
  const rules = {
    blocks: noBlock ? [] : blockLevels(tree),
    contiguous: noCont ? [] : [0, 1].filter((level) => level < root.level),
    tableBits: tableMask('uxnTable') | (noExec ? tableMask('pxnTable') : 0n),
    overwrite: 'safe',
  } as const;
  fillTree(tree, rules, { va: va & -page, end: (va + size + page - 1n) & -page, pa: pa & -page, prot });
}
