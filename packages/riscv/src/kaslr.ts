/**
 * Where a randomized kernel runs: it moves in steps of 2 MiB inside the 1 GiB that its link address begins, because the
 * early tables have one page for the level below.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`setup_vm`), kernel/pi/archrandom_early.c, kernel/pi/fdt_early.c.
 */
import { fitsPud, kaslrOffset, noKaslr } from './boot/kaslr.ts';

/** `PMD_SIZE`: what the kernel is mapped with. */
const STEP = 1n << 21n;
/** `PUD_SIZE`: what one early table covers. */
const WINDOW = 1n << 30n;

/** `KERNEL_LINK_ADDR` of 64-bit kernels since v5.13: the last 2 GiB. */
export const KERNEL_LINK_ADDR: bigint = 0xffff_ffff_8000_0000n;

/** Where the seed comes from. */
export interface KaslrSources {
  /** The command line; `nokaslr` anywhere in it turns randomization off. Not supplied: empty. */
  readonly commandLine?: string;
  /** What the seed register of the Zkr extension gave. Not supplied, or 0: nothing. */
  readonly zkr?: bigint;
  /** `kaslr-seed` of the device tree's /chosen node; the kernel wipes it there. Not supplied: none. */
  readonly deviceTree?: bigint;
}

/** The seed that the kernel uses; 0 leaves it where it was linked. */
export function kaslrSeed({ commandLine = '', zkr = 0n, deviceTree = 0n }: KaslrSources): bigint {
  if (noKaslr(commandLine)) return 0n;
  return zkr === 0n ? deviceTree : zkr;
}

/** Where the kernel runs. */
export interface KaslrPlace {
  /** Places that there are to choose from. */
  readonly positions: number;
  /** `virt_offset`: how far it moved. */
  readonly virtOffset: bigint;
  /** `virt_addr`. */
  readonly virtAddr: bigint;
  /** Does it end inside the same 1 GiB? By this rule it always does. */
  readonly fitsWindow: boolean;
}

/**
 * Where a kernel of a size runs for a seed.
 * @param kernelSize bytes from `_start` to `_end`
 * @param seed 64 random bits; see {@link kaslrSeed}
 * @throws ArgumentError `kaslr-size` if the kernel leaves no room for a step
 */
export function kaslrPlace(kernelSize: bigint, seed: bigint): KaslrPlace {
  const { positions, virtOffset } = kaslrOffset(kernelSize, BigInt.asUintN(64, seed), WINDOW, STEP);
  const virtAddr = KERNEL_LINK_ADDR + virtOffset;
  return { positions: Number(positions), virtOffset, virtAddr, fitsWindow: fitsPud(virtAddr, kernelSize, WINDOW) };
}
