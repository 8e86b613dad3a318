/**
 * What `sfence.vma` must drop. Over-fencing is always legal, so this is the least that may not survive.
 * Source: RISC-V ISA Volume II, "Supervisor Memory-Management Fence Instruction".
 */
import { type RiscvMode, riscvGeometries } from './modes.ts';

/** One `sfence.vma`, on the hart that executes it. */
export interface Sfence {
  /** rs1: any address inside the page or superpage. `undefined` stands for x0: all addresses, and all levels. */
  readonly va: bigint | undefined;
  /** rs2: the address space. `undefined` stands for x0: all of them, and global translations too. */
  readonly asid: number | undefined;
}

/** A cached entry of a page table. */
export interface CachedEntry {
  /** Any address that the entry covers. */
  readonly va: bigint;
  readonly asid: number;
  /** Was G set in it or in a table entry above it? */
  readonly global: boolean;
  /** Level, from the leaves, of the entry. */
  readonly level: number;
  /** Is it a leaf? Otherwise a pointer to a table. */
  readonly leaf: boolean;
}

/** The form of the instruction: `sfence.vma`, `sfence.vma va`, `sfence.vma x0, asid`, `sfence.vma va, asid`. */
export function sfenceText({ va, asid }: Sfence): string {
  if (asid === undefined) return va === undefined ? 'sfence.vma' : 'sfence.vma va';
  return va === undefined ? 'sfence.vma x0, asid' : 'sfence.vma va, asid';
}

/** Is an address valid in a mode: are its upper bits copies of the top translated bit? In Sv32 every one is. */
export function isCanonical(mode: RiscvMode, va: bigint): boolean {
  const { vaBits, wordBits = 64 } = riscvGeometries[mode];
  const word = BigInt.asUintN(wordBits, va);
  return vaBits === wordBits || BigInt.asUintN(wordBits, BigInt.asIntN(vaBits, word)) === word;
}

/**
 * Must a fence drop a cached entry?
 * @param mode the mode that both belong to
 * @param asidBits implemented ASID bits; rs2 has no meaning above them. Not supplied: 16, on RV32 9
 */
export function mustInvalidate(
  mode: RiscvMode,
  fence: Sfence,
  entry: CachedEntry,
  asidBits: number = mode === 'sv32' ? 9 : 16,
): boolean {
  const { levels, wordBits = 64 } = riscvGeometries[mode];
  if (fence.asid !== undefined) {
    const implemented = 2 ** asidBits;
    if (entry.global || fence.asid % implemented !== entry.asid % implemented) return false;
  }
  if (fence.va === undefined) return true;
  // A fence for an address that cannot be translated does nothing; one for an address reaches leaves only.
  if (!entry.leaf || !isCanonical(mode, fence.va)) return false;
  const shift = BigInt(levels[entry.level]?.shift ?? 0);
  return BigInt.asUintN(wordBits, fence.va) >> shift === BigInt.asUintN(wordBits, entry.va) >> shift;
}
