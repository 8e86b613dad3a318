/**
 * How far user addresses reach.
 * Source: Linux 6.12 arch/riscv/include/asm/processor.h, asm/pgtable.h, mm/init.c (`set_mmap_rnd_bits_max`).
 */
import { ArgumentError } from '@pagefold/core';
import { type RiscvMode, riscvGeometries } from './modes.ts';

/** Limits of the user half under a 64-bit kernel. Ends are exclusive. */
export interface UserAddresses {
  /** `TASK_SIZE_64`: all that the low half of the root table covers. */
  readonly taskSize: bigint;
  /** `MMAP_VA_BITS`: at most 48, because programs keep tags in higher bits. */
  readonly mmapVaBits: number;
  /** `DEFAULT_MAP_WINDOW`: `mmap` goes no higher without being asked to. */
  readonly defaultMapWindow: bigint;
  /** `STACK_TOP`. */
  readonly stackTop: bigint;
  /** `STACK_TOP_MAX`. */
  readonly stackTopMax: bigint;
  /** How high a hint to `mmap` may lead. */
  readonly mmapEnd: bigint;
  /** `TASK_UNMAPPED_BASE`: where bottom-up searches begin; a third of the smallest mode's space, page aligned. */
  readonly taskUnmappedBase: bigint;
  /** Most bits by which `mmap` randomizes. */
  readonly mmapRndBitsMax: number;
  /** `USER_PTRS_PER_PGD`: entries of the root that user addresses use. */
  readonly userPtrsPerPgd: number;
}

const PAGE_BYTES = 4096n;
/** Address bits that `mmap` never randomizes: the page, and three more. */
const FIXED_BITS = 12 + 3;

/** `TASK_SIZE_32`: the end of a 32-bit program's addresses under a 64-bit kernel. */
export const COMPAT_TASK_SIZE: bigint = 0x8000_0000n - PAGE_BYTES;

/**
 * The limits under a 64-bit kernel. RV32 has none that follow from the mode: there user addresses end where the fixmap
 * begins.
 * @throws ArgumentError `user-mode` for Sv32
 */
export function userAddresses(mode: RiscvMode): UserAddresses {
  if (mode === 'sv32') {
    throw new ArgumentError('user-mode', 'on RV32 user addresses end where the fixmap begins', { mode });
  }
  const { vaBits, levels } = riscvGeometries[mode];
  const root = levels[levels.length - 1];
  const userPtrsPerPgd = 2 ** (root?.indexBits ?? 0) / 2;
  const taskSize = BigInt(userPtrsPerPgd) << BigInt(root?.shift ?? 0);
  const mmapVaBits = Math.min(vaBits, riscvGeometries.sv48.vaBits);
  const window = 1n << BigInt(mmapVaBits - 1);
  const third = (1n << BigInt(riscvGeometries.sv39.vaBits)) / 3n;
  return {
    taskSize,
    mmapVaBits,
    defaultMapWindow: window,
    stackTop: window,
    stackTopMax: taskSize,
    mmapEnd: taskSize,
    taskUnmappedBase: (third + PAGE_BYTES - 1n) & -PAGE_BYTES,
    mmapRndBitsMax: mmapVaBits - FIXED_BITS,
    userPtrsPerPgd,
  };
}
