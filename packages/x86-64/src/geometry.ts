/**
 * 4-level and 5-level paging: the same entries with one level more, which Linux folds or not at run time.
 * Sources: Intel SDM vol. 3A, section 5.5.4, 5.1.4 (MAXPHYADDR); names and constants of Linux 6.12
 * arch/x86/include/asm/pgtable_64_types.h, pgtable.h (`p4d_offset`, `pgd_none`), pgtable_types.h (`enum pg_level`).
 */
import { createPaging, type GeometryDescription, type Paging } from '@pagefold/core';
import { x86Format } from './format.ts';

/** Levels of tables. */
export type X86Levels = 4 | 5;

/** What changes the meaning of entries. */
export type X86Feature = 'nx' | 'gbpages' | 'pk' | 'amd';

/** Names of the features. */
export const X86_FEATURES: readonly X86Feature[] = ['nx', 'gbpages', 'pk', 'amd'];

/** The largest physical-address width of the architecture (SDM 5.1.4). */
export const MAX_PHYSICAL_BITS = 52;

/** What Linux calls the levels, from the leaves. */
const LINUX_NAMES = ['PTE', 'PMD', 'PUD', 'P4D', 'PGD'] as const;
const LEAF_NAMES = ['4K page', '2M page', '1G page', '', ''] as const;

/**
 * A geometry. With four levels p4d is folded into pgd: PGDIR_SHIFT is 39 instead of 48 and PTRS_PER_P4D 1 instead of
 * 512, both variables of the kernel; the offset helper returns the slot that it was given.
 * @param paBits MAXPHYADDR; address bits from there up are reserved. Not supplied: 52, so none is.
 */
export function x86Geometry(levels: X86Levels, paBits: number = MAX_PHYSICAL_BITS): GeometryDescription {
  return {
    name: `${levels}-level`,
    title: `${levels}-level paging: ${12 + 9 * levels} bits`,
    levels: Array.from({ length: levels }, (_, level) => ({
      shift: 12 + 9 * level,
      indexBits: 9,
      // Linux counts like this (PG_LEVEL_4K is 1), and so do most people; the SDM has only names.
      hardware: level + 1,
      name: level === levels - 1 ? 'PGD' : (LINUX_NAMES[level] ?? ''),
      leafName: LEAF_NAMES[level] ?? '',
    })),
    vaBits: 12 + 9 * levels,
    paBits,
    upper: 'sign',
    folding: { offset: 'same-slot' },
  };
}

/** What a paging is made from besides its levels. */
export interface X86PagingOptions {
  /** Not supplied: `nx` and `gbpages`, which every processor of this century but the first has. */
  readonly features?: Iterable<X86Feature>;
  /** MAXPHYADDR. Not supplied: 52. */
  readonly paBits?: number;
  /** The PAT register. Not supplied: Linux's. */
  readonly pat?: bigint;
}

/** 4-level or 5-level paging, ready for use. */
export function x86Paging(levels: X86Levels, options: X86PagingOptions = {}): Paging {
  const { features = ['nx', 'gbpages'], paBits, pat } = options;
  return createPaging(x86Format(pat), x86Geometry(levels, paBits), { features });
}
