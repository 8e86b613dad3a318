/**
 * The page attribute table: what memory types the three bits PAT, PCD, PWT of a leaf select.
 * Sources: Intel SDM vol. 3A, section 5.9.2 "Paging and Memory Typing When the PAT is Supported", 13.12 "Page Attribute
 * Table (PAT)" (11.12 in editions before 2024); Linux 6.12 arch/x86/mm/pat/memtype.c (`pat_bp_init`).
 */
import { ArgumentError } from '@pagefold/core';

/** A memory type. */
export type X86MemoryType = 'UC' | 'WC' | 'WT' | 'WP' | 'WB' | 'UC-';

/** Memory types by their encoding in the PAT; 2 and 3 are reserved (SDM 13.12.2, table 13-10). */
export const MEMORY_TYPES: Readonly<Record<number, X86MemoryType>> = {
  0: 'UC',
  1: 'WC',
  4: 'WT',
  5: 'WP',
  6: 'WB',
  7: 'UC-',
};

/** The PAT after reset: WB WT UC- UC, twice (SDM 13.12.4, table 13-12). */
export const RESET_PAT = 0x0007_0406_0007_0406n;

/** The PAT as Linux programs it: WB WC UC- UC WB WP UC- WT. */
export const LINUX_PAT = 0x0407_0506_0007_0106n;

/** The index that a leaf's bits select: PAT, PCD, PWT from the top. */
export function patIndex(leaf: Readonly<Record<string, number>>): number {
  return 4 * (leaf.pat ?? 0) + 2 * (leaf.pcd ?? 0) + (leaf.pwt ?? 0);
}

/** The fields of a leaf for an index. */
export function patFields(index: number): { readonly pat: number; readonly pcd: number; readonly pwt: number } {
  return { pat: (index >> 2) & 1, pcd: (index >> 1) & 1, pwt: index & 1 };
}

/**
 * The eight memory types of a PAT, by index.
 * @throws ArgumentError `pat-type` if an entry is reserved: the processor refuses to load such a value
 */
export function memoryTypes(pat: bigint): readonly X86MemoryType[] {
  return Array.from({ length: 8 }, (_, index) => {
    const code = Number((pat >> BigInt(8 * index)) & 0xffn);
    const type = MEMORY_TYPES[code];
    if (type === undefined) {
      throw new ArgumentError('pat-type', 'an entry of the PAT has a reserved type', { pat, index, code });
    }
    return type;
  });
}
