/**
 * Where the parts of a 64-bit address space lie, before randomisation moves the three bases.
 * Source: Linux 6.12 arch/x86/include/asm/page_64_types.h, pgtable_64_types.h, kasan.h, fixmap.h;
 * Documentation/arch/x86/x86_64/mm.rst.
 */
import { type VirtAddr, type VirtRange, virt } from '@pagefold/core';
import type { X86Levels } from './geometry.ts';

/** Regions of one kernel. */
export interface X86Layout {
  /** `TASK_SIZE_MAX`: one page below the hole, for a SYSCALL at its edge would return to an address inside it. */
  readonly user: VirtRange;
  /** The direct map (`PAGE_OFFSET`); the base is randomised if RANDOMIZE_MEMORY is built in. */
  readonly direct: VirtRange;
  /** `vmalloc` and `ioremap`; randomised base. */
  readonly vmalloc: VirtRange;
  /** `vmemmap`; randomised base. Its end is that of the region that is kept free for it. */
  readonly vmemmap: VirtRange;
  /** KASAN's shadow, which no kernel with randomised bases has. */
  readonly kasan: VirtRange;
  /** The hole that is left to hypervisors (`GUARD_HOLE_BASE_ADDR`). */
  readonly guardHole: VirtRange;
  /** `LDT_BASE_ADDR`: the LDT under page table isolation. */
  readonly ldt: VirtRange;
  /** `CPU_ENTRY_AREA_BASE`. */
  readonly cpuEntryArea: VirtRange;
  /** `ESPFIX_BASE_ADDR`. */
  readonly espfix: VirtRange;
  /** The EFI runtime services, in a root of their own (`EFI_VA_END` to `EFI_VA_START`: it is filled from the top). */
  readonly efi: VirtRange;
  /** `__START_KERNEL_map`: the kernel's image, mapped linearly from physical address 0 or, randomised, `phys_base`. */
  readonly image: VirtRange;
  /** Modules, with KERNEL_IMAGE_SIZE as RANDOMIZE_BASE makes it. */
  readonly modules: VirtRange;
  /** What the tables of the fixmap map; where it begins in there depends on the build. The vsyscall page is one of it. */
  readonly fixmap: VirtRange;
}

const TB = 1n << 40n;

function region(start: bigint, bytes: bigint): VirtRange {
  return { start: virt(BigInt.asUintN(64, start)), end: BigInt.asUintN(64, start) + bytes };
}

/** The layout for a number of levels. */
export function linuxX86Layout(levels: X86Levels): X86Layout {
  const five = levels === 5;
  const pgdirShift = five ? 48n : 39n;
  const p4dBytes = 1n << 39n;
  return {
    user: region(0n, (1n << (five ? 56n : 47n)) - 4096n),
    direct: region(five ? 0xff11_0000_0000_0000n : 0xffff_8880_0000_0000n, (five ? 32768n : 64n) * TB),
    vmalloc: region(five ? 0xffa0_0000_0000_0000n : 0xffff_c900_0000_0000n, (five ? 12800n : 32n) * TB),
    vmemmap: region(five ? 0xffd4_0000_0000_0000n : 0xffff_ea00_0000_0000n, (five ? 512n : 1n) * TB),
    // KASAN_SHADOW_OFFSET and an eighth of the kernel's half; mm.rst rounds the start of the larger one.
    kasan: region(five ? 0xffdf_fc00_0000_0000n : 0xffff_ec00_0000_0000n, (five ? 8192n : 16n) * TB),
    guardHole: region(-256n << pgdirShift, 16n << pgdirShift),
    ldt: region(-240n << pgdirShift, 1n << pgdirShift),
    cpuEntryArea: region(-4n << 39n, p4dBytes),
    espfix: region(-2n << 39n, p4dBytes),
    efi: region(-68n << 30n, 64n << 30n),
    image: region(0xffff_ffff_8000_0000n, 1n << 30n),
    modules: region(0xffff_ffff_c000_0000n, 0x3f00_0000n),
    fixmap: region(0xffff_ffff_ff40_0000n, 0x40_0000n),
  };
}

/** First address of the kernel's image map (`__START_KERNEL_map`). */
export const START_KERNEL_MAP: VirtAddr = virt(0xffff_ffff_8000_0000n);
