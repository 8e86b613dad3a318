/**
 * Places in the kernel's half of the address space that boot needs, out of the layout of the mode.
 * Source: Linux 6.12 arch/riscv/include/asm/pgtable.h, asm/fixmap.h.
 */
import { type AddressRange, ArgumentError, type Layout, regionNamed } from '@pagefold/core';
import { kasanShadow } from '../kasan-shadow.ts';
import { riscvLayout } from '../layout/create.ts';
import { fixmapAddress, fixmapSlots } from '../layout/fixmap.ts';
import { newestProfile } from '../layout/profiles.ts';
import { type RiscvMode, riscvGeometries } from '../modes.ts';

/** What was chosen when the kernel was built and moves its regions. */
export interface AddressOptions {
  /** `STRUCT_PAGE_MAX_SHIFT`: log2 of the bytes of a `struct page`, rounded up. Not supplied: 6, on RV32 5. */
  readonly structPageShift?: number | undefined;
  /** `PAGE_OFFSET` of an RV32 kernel. Not supplied: 0xc0000000. */
  readonly pageOffset?: bigint | undefined;
}

/** Places in the kernel half. Ends are exclusive. */
export interface KernelAddresses {
  readonly mode: RiscvMode;
  readonly xlen: 32 | 64;
  /** `PAGE_OFFSET`. */
  readonly pageOffset: bigint;
  /** `KERN_VIRT_SIZE`: most bytes of the linear map. */
  readonly kernVirtSize: bigint;
  readonly vmalloc: AddressRange<bigint>;
  readonly vmemmap: AddressRange<bigint>;
  /** `FIXADDR_START` to `FIXADDR_TOP`. */
  readonly fixmap: AddressRange<bigint>;
  /** `KERNEL_LINK_ADDR`. */
  readonly kernelLink: bigint;
  /** KASAN's shadow; RV32 has none. */
  readonly shadow: AddressRange<bigint> | undefined;
  /** `PMD_SIZE`: the step of the kernel's own mapping. */
  readonly pmdSize: bigint;
  /** `PUD_SIZE`. */
  readonly pudSize: bigint;
  /** `PGDIR_SIZE`. */
  readonly pgdirSize: bigint;
}

function placeOf(layout: Layout, name: string): AddressRange<bigint> {
  const region = regionNamed(layout, name);
  if (region === undefined) throw new ArgumentError('layout-region', 'the layout lacks a region', { region: name });
  return { start: region.start, end: region.end };
}

function factOf(layout: Layout, name: string): bigint {
  const fact = layout.facts[name];
  if (fact === undefined) throw new ArgumentError('layout-fact', 'the layout lacks a number', { fact: name });
  return fact;
}

/**
 * The places of a mode.
 * @throws ArgumentError as `riscvLayout` does
 */
export function kernelAddresses(mode: RiscvMode, options: AddressOptions = {}): KernelAddresses {
  const { structPageShift, pageOffset = newestProfile.pageOffset.sv32 ?? 0n } = options;
  const profile = { ...newestProfile, pageOffset: { ...newestProfile.pageOffset, sv32: pageOffset } };
  const layout = riscvLayout({
    mode,
    profile,
    ...(structPageShift === undefined ? {} : { structPageBytes: 1n << BigInt(structPageShift) }),
  });
  const { levels } = riscvGeometries[mode];
  // Folded levels cover what the root's entries do.
  const size = (level: number): bigint => 1n << BigInt(levels[Math.min(level, levels.length - 1)]?.shift ?? 0);
  return {
    mode,
    xlen: layout.wordBits,
    pageOffset: factOf(layout, 'page_offset'),
    kernVirtSize: factOf(layout, 'kern_virt_size'),
    vmalloc: placeOf(layout, 'vmalloc'),
    vmemmap: placeOf(layout, 'vmemmap'),
    fixmap: placeOf(layout, 'fixmap'),
    kernelLink: factOf(layout, 'kernel_link_addr'),
    shadow: mode === 'sv32' ? undefined : kasanShadow(mode),
    pmdSize: size(1),
    pudSize: size(2),
    pgdirSize: size(levels.length - 1),
  };
}

const SLOTS = fixmapSlots(newestProfile);

/**
 * `__fix_to_virt`: the address of a slot of the fixmap.
 * @throws ArgumentError `fixmap-slot` if there is no such slot
 */
export function fixToVirt(addresses: KernelAddresses, slot: string): bigint {
  const index = SLOTS[slot];
  if (index === undefined) throw new ArgumentError('fixmap-slot', 'the fixmap has no such slot', { slot });
  return fixmapAddress(addresses.fixmap.end, index);
}
