/**
 * The numbers that a kernel's address space on 32-bit Arm follows from: where the split is, how much memory is mapped
 * all the time, what is left for `vmalloc`.
 * Sources: Linux 6.12 arch/arm/include/asm/memory.h, pgtable.h, fixmap.h, kasan_def.h; arch/arm/mm/mmu.c
 * (`adjust_lowmem_bounds`, `early_vmalloc`).
 */
import { type AddressRange, ArgumentError, lowerOf } from '@pagefold/core';

const MIB = 1n << 20n;

/** Where user space ends and the kernel begins, as the build option calls it. */
export type VmSplit = '3G' | '3G_OPT' | '2G' | '1G';

/** `PAGE_OFFSET` by split. */
export const PAGE_OFFSETS: Readonly<Record<VmSplit, bigint>> = {
  '3G': 0xc000_0000n,
  '3G_OPT': 0xb000_0000n,
  '2G': 0x8000_0000n,
  '1G': 0x4000_0000n,
};

/** All splits. */
export const VM_SPLITS: readonly VmSplit[] = Object.keys(PAGE_OFFSETS) as VmSplit[];

/** Places that are the same in every kernel. */
export const FIXED = {
  /** `VMALLOC_END`; the device tree is mapped from here on. */
  vmallocEnd: 0xff80_0000n,
  fixmapStart: 0xffc8_0000n,
  fixmapEnd: 0xfff0_0000n,
  vectors: 0xffff_0000n,
  pciIo: 0xfee0_0000n,
  pciIoBytes: 0x20_0000n,
  /** Between lowmem and `vmalloc`, to catch what runs over the end (`VMALLOC_OFFSET`). */
  vmallocGap: 0x80_0000n,
  /** log2 of the bytes that a byte of shadow stands for. */
  shadowScale: 3,
} as const;

/** `PMD_SIZE`: the unit in which lowmem is mapped. */
export const PMD_BYTES: bigint = 2n * MIB;

/** `vmalloc=` when nobody says. */
export const VMALLOC_BYTES: bigint = 240n * MIB;

/** What an address space follows from. */
export interface ArmAddressOptions {
  readonly vmsplit: VmSplit;
  /** Long descriptors. */
  readonly lpae: boolean;
  readonly kasan: boolean;
  readonly highmem: boolean;
  /** Built as Thumb-2: modules get half as much room. */
  readonly thumb2: boolean;
  /** `vmalloc=`, before it is clamped. */
  readonly vmallocBytes: bigint;
  /** Memory, in rising order. */
  readonly memory: readonly AddressRange<bigint>[];
  /** `PHYS_OFFSET`: what `PAGE_OFFSET` maps. */
  readonly physOffset: bigint;
  /** Bytes from `PAGE_OFFSET` to the kernel (`TEXT_OFFSET`). */
  readonly textOffset: bigint;
}

/** The numbers. */
export interface ArmAddresses {
  readonly pageOffset: bigint;
  readonly physOffset: bigint;
  readonly taskSize: bigint;
  readonly taskUnmappedBase: bigint;
  readonly modules: AddressRange<bigint>;
  /** `PKMAP_BASE` up to `PAGE_OFFSET`; `undefined` without highmem. */
  readonly pkmap: AddressRange<bigint> | undefined;
  /** `arm_lowmem_limit`: physical end of what is mapped all the time. */
  readonly lowmemLimit: bigint;
  /** Nothing is allocated above it before lowmem is mapped. */
  readonly memblockLimit: bigint;
  readonly highMemory: bigint;
  readonly vmallocStart: bigint;
  /** The device tree: two sections. */
  readonly fdt: AddressRange<bigint>;
  readonly swapper: bigint;
  readonly userRootEntries: bigint;
  /** `undefined` without KASAN. */
  readonly shadow: (AddressRange<bigint> & { readonly offset: bigint }) | undefined;
  /** Long descriptors: what is added to the root for TTBR1, and its size field. */
  readonly ttbr1: { readonly offset: bigint; readonly t1sz: number } | undefined;
}

/** `vmalloc=` as the kernel takes it: at least 16 MiB, and at most so much that 32 MiB of lowmem stay. */
export function clampVmalloc(bytes: bigint, pageOffset: bigint): bigint {
  const most = FIXED.vmallocEnd - (pageOffset + 32n * MIB + FIXED.vmallocGap);
  return bytes < 16n * MIB ? 16n * MIB : lowerOf(bytes, most);
}

/** Where TTBR1 begins: it can take the kernel's part alone only where the split falls on a quarter. */
function ttbr1Of(pageOffset: bigint, swapperPa: bigint, swapper: bigint): { offset: bigint; t1sz: number } {
  // The identity map must stay below the split.
  if (swapperPa > swapper) return { offset: 0n, t1sz: 0 };
  // Skips the page of the root and three pages of the second level, or two entries of the root.
  if (pageOffset === PAGE_OFFSETS['3G']) return { offset: 0x4000n, t1sz: 2 };
  if (pageOffset === PAGE_OFFSETS['2G']) return { offset: 16n, t1sz: 1 };
  return { offset: 0n, t1sz: 0 };
}

/** How far memory is mapped all the time, and what may be allocated before it is. */
function lowmemOf(
  memory: readonly AddressRange<bigint>[],
  most: bigint,
): { readonly lowmemLimit: bigint; readonly memblockLimit: bigint } {
  let lowmem = 0n;
  let unaligned: bigint | undefined;
  memory.forEach(({ start, end }, i) => {
    // The unaligned head of the first block is marked as not to be mapped.
    const from = i === 0 ? (start + PMD_BYTES - 1n) & -PMD_BYTES : start;
    if (from >= most || from >= end) return;
    if (end > lowmem) lowmem = lowerOf(most, end);
    if (unaligned !== undefined) return;
    if (from % PMD_BYTES !== 0n) unaligned = from;
    else if (end % PMD_BYTES !== 0n) unaligned = lowmem;
  });
  return { lowmemLimit: lowmem, memblockLimit: (unaligned ?? lowmem) & -PMD_BYTES };
}

/**
 * Computes the numbers.
 * @throws ArgumentError `layout-split` for the one split that long descriptors do not have; `layout-memory` if no
 * memory
 *   lies where lowmem must be
 */
export function armAddresses(options: ArmAddressOptions): ArmAddresses {
  const { vmsplit, lpae, kasan, highmem, thumb2, physOffset } = options;
  if (lpae && vmsplit === '3G_OPT') {
    throw new ArgumentError('layout-split', 'long descriptors split at a multiple of 1 GiB', { vmsplit });
  }
  const pageOffset = PAGE_OFFSETS[vmsplit];
  const armModules = pageOffset - 16n * MIB;
  const shadowOffset = armModules - (1n << 29n);
  const shadow = kasan
    ? { offset: shadowOffset, start: (armModules >> 3n) + shadowOffset, end: armModules }
    : undefined;
  const taskSize = shadow?.start ?? armModules;
  const pkmap = highmem ? { start: pageOffset - PMD_BYTES, end: pageOffset } : undefined;
  const vmallocBytes = clampVmalloc(options.vmallocBytes, pageOffset);
  const most = FIXED.vmallocEnd - vmallocBytes - FIXED.vmallocGap - pageOffset + physOffset;
  const { lowmemLimit, memblockLimit } = lowmemOf(options.memory, most);
  if (lowmemLimit <= physOffset) {
    throw new ArgumentError('layout-memory', 'there is no memory at PHYS_OFFSET', { physOffset, lowmemLimit });
  }
  const highMemory = lowmemLimit - physOffset + pageOffset;
  const swapper = pageOffset + options.textOffset - (lpae ? 0x5000n : 0x4000n);
  return {
    pageOffset,
    physOffset,
    taskSize,
    taskUnmappedBase: (taskSize / 3n + 16n * MIB - 1n) & -(16n * MIB),
    modules: { start: thumb2 ? pageOffset - 8n * MIB : armModules, end: pkmap?.start ?? pageOffset },
    pkmap,
    lowmemLimit,
    memblockLimit,
    highMemory,
    vmallocStart: (highMemory + FIXED.vmallocGap) & -FIXED.vmallocGap,
    fdt: { start: FIXED.vmallocEnd, end: FIXED.vmallocEnd + (lpae ? 4n : 2n) * MIB },
    swapper,
    userRootEntries: lpae ? pageOffset >> 30n : taskSize >> 21n,
    shadow,
    ttbr1: lpae ? ttbr1Of(pageOffset, swapper - pageOffset + physOffset, swapper) : undefined,
  };
}
