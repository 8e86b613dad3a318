/**
 * Where a randomized kernel runs: somewhere in the middle half of what lies between the image's default place and the end
 * of vmalloc, in steps of 2 MiB, with the low 21 bits of its physical address, so that large blocks can map it.
 * Source: Linux 6.12 arch/arm64/kernel/pi/kaslr_early.c, map_kernel.c, arch/arm64/include/asm/boot.h.
 */
import type { LayoutSymbols } from './symbols.ts';

/** `MIN_KIMG_ALIGN`. */
export const MIN_IMAGE_ALIGN: bigint = 1n << 21n;

/** What the kernel gets. */
export interface KaslrInput {
  /** `/chosen/kaslr-seed`, or what the processor's random numbers gave; 0 turns randomization off. */
  readonly seed: bigint;
  /** Physical address of `_text`. */
  readonly imagePhys: bigint;
}

/** Where the kernel runs. */
export interface KaslrPlace {
  /** From `KIMAGE_VADDR`. */
  readonly offset: bigint;
  /** Virtual address of `_text`. */
  readonly imageStart: bigint;
  /** What is left for the linear map: 16 bits. */
  readonly linearSeed: number;
}

/** Where the kernel runs for a seed. Without one it keeps the low bits of its physical address. */
export function kaslrPlace(symbols: LayoutSymbols, { seed, imagePhys }: KaslrInput): KaslrPlace {
  const low = imagePhys & (MIN_IMAGE_ALIGN - 1n);
  const place = (offset: bigint, linearSeed: number): KaslrPlace => {
    return { offset, imageStart: symbols.KIMAGE_VADDR + offset, linearSeed };
  };
  if (seed === 0n) return place(low, 0);
  const range = (symbols.VMALLOC_END - symbols.KIMAGE_VADDR) / 2n;
  const random = range / 2n + ((range * BigInt.asUintN(64, seed)) >> 64n);
  return place((random & -MIN_IMAGE_ALIGN) | low, Number(seed & 0xffffn));
}
