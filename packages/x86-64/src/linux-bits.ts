/**
 * Entry bits under Linux's names.
 * Source: Linux 6.12 arch/x86/include/asm/pgtable_types.h (`_PAGE_BIT_*`, `_PAGE_SWP_*`),
 * asm/pgtable.h (`_PAGE_SWP_EXCLUSIVE`), asm/page_64_types.h (`__PHYSICAL_MASK_SHIFT`).
 */
import { ArgumentError } from '@pagefold/core';

/** Names of single bits. */
export type X86BitName =
  | 'PRESENT'
  | 'RW'
  | 'USER'
  | 'PWT'
  | 'PCD'
  | 'ACCESSED'
  | 'DIRTY'
  | 'PSE'
  | 'PAT'
  | 'GLOBAL'
  | 'SPECIAL'
  | 'UFFD_WP'
  | 'SOFT_DIRTY'
  | 'PAT_LARGE'
  | 'DEVMAP'
  | 'SAVED_DIRTY'
  | 'NOPTISHADOW'
  | 'PKEY_BIT0'
  | 'PKEY_BIT1'
  | 'PKEY_BIT2'
  | 'PKEY_BIT3'
  | 'NX'
  | 'PROTNONE'
  | 'SWP_SOFT_DIRTY'
  | 'SWP_UFFD_WP'
  | 'SWP_EXCLUSIVE';

const POSITIONS: Readonly<Record<X86BitName, number>> = {
  PRESENT: 0,
  RW: 1,
  USER: 2,
  PWT: 3,
  PCD: 4,
  ACCESSED: 5,
  DIRTY: 6,
  PSE: 7,
  PAT: 7, // of pages of 4 KiB
  GLOBAL: 8,
  PROTNONE: 8, // of entries that are not present
  SPECIAL: 9,
  UFFD_WP: 10,
  SOFT_DIRTY: 11,
  PAT_LARGE: 12, // of larger pages
  DEVMAP: 57,
  SAVED_DIRTY: 58,
  NOPTISHADOW: 58, // of entries of the root
  PKEY_BIT0: 59,
  PKEY_BIT1: 60,
  PKEY_BIT2: 61,
  PKEY_BIT3: 62,
  NX: 63,
  SWP_SOFT_DIRTY: 1, // of swap entries, as the next two
  SWP_UFFD_WP: 2,
  SWP_EXCLUSIVE: 3,
};

/** `_PAGE_…`: masks by name. */
export const LINUX_X86_BITS: Readonly<Record<X86BitName, bigint>> = Object.fromEntries(
  Object.entries(POSITIONS).map(([name, at]) => [name, 1n << BigInt(at)]),
) as Record<X86BitName, bigint>;

/**
 * Several bits, written as names with spaces between: `PRESENT RW`.
 * @throws ArgumentError `linux-bit` for an unknown name
 */
export function linuxX86Bits(names: string): bigint {
  return names
    .split(' ')
    .filter(Boolean)
    .reduce((word, name) => {
      const bit = LINUX_X86_BITS[name as X86BitName];
      if (bit === undefined) throw new ArgumentError('linux-bit', 'Linux has no bit of that name', { name });
      return word | bit;
    }, 0n);
}

/** `PTE_PFN_MASK`, with memory encryption off: bits 51 to 12. */
export const PTE_PFN_MASK: bigint = ((1n << 52n) - 1n) & ~0xfffn;

/** `_PAGE_KNL_ERRATUM_MASK`: bits that hardware may have set in an entry that is none. */
export const ERRATUM_MASK: bigint = linuxX86Bits('DIRTY ACCESSED');
