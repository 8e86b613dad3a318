/**
 * Slots of the fixmap: pages whose addresses are known at build time, numbered downwards from its end.
 * Source: Linux 6.12 arch/riscv/include/asm/fixmap.h, v5.10 the same file; sizes of the boot-time maps from
 * include/asm-generic/fixmap.h and asm/fixmap.h (`NR_FIX_BTMAPS`, `FIX_BTMAPS_SLOTS`).
 */
import { ArgumentError, type VirtAddr, virt } from '@pagefold/core';
import type { LayoutProfile } from './profiles.ts';

/** Slots by name: the index counts pages down from the end of the fixmap. */
export type FixmapSlots = Readonly<Record<string, number>>;

const PAGE = 4096n;
/** 7 maps of 64 pages for early ioremap. */
const BOOT_MAPS = 7 * 64;

/** Numbers names from 1 on (0 is a hole that nothing uses) and puts the boot-time maps behind them. */
function number(names: readonly string[], first: number): FixmapSlots {
  const slots = Object.fromEntries(names.map((name, index) => [name, first + index]));
  const next = first + names.length;
  return { ...slots, FIX_BTMAP_END: next, FIX_BTMAP_BEGIN: next + BOOT_MAPS - 1 };
}

const PERMANENT = ['FIX_TEXT_POKE1', 'FIX_TEXT_POKE0', 'FIX_EARLYCON_MEM_BASE'] as const;

/** The last slot of 4 MiB for the device tree: its address is a multiple of 2 MiB, so large leaves map it. */
const FDT_LAST = 1024;

/**
 * The slots of a profile. Those for the tables of a name came with that level; those for the device tree with the
 * larger fixmap.
 * @throws ArgumentError `fixmap-profile` for a proposal, whose base had other slots
 */
export function fixmapSlots(profile: LayoutProfile): FixmapSlots {
  if (profile.releases.length === 0) {
    throw new ArgumentError('fixmap-profile', 'the fixmap slots of that profile are not known', {
      profile: profile.name,
    });
  }
  const { pageOffset, fixmapBytes } = profile;
  const tables = ['FIX_PTE', 'FIX_PMD'];
  if (pageOffset.sv48 !== undefined) tables.push('FIX_PUD');
  if (pageOffset.sv57 !== undefined) tables.push('FIX_P4D');
  const names = [...tables, ...PERMANENT];
  const hasDeviceTree = fixmapBytes[64] > 4n << 20n;
  if (!hasDeviceTree) return number(names, 1);
  return { FIX_FDT_END: 1, FIX_FDT: FDT_LAST, ...number(names, FDT_LAST + 1) };
}

/**
 * The address of a slot (`__fix_to_virt`).
 * @param top `FIXADDR_TOP`: the exclusive end of the fixmap region
 * @param index number of the slot
 */
export function fixmapAddress(top: bigint, index: number): VirtAddr {
  return virt(top - BigInt(index) * PAGE);
}

/**
 * The slot that an address lies in (`__virt_to_fix`).
 * @throws ArgumentError `fixmap-address` if it is not below the end
 */
export function fixmapIndex(top: bigint, address: bigint): number {
  if (address >= top) throw new ArgumentError('fixmap-address', 'the fixmap ends below that', { top, address });
  return Number((top - (address & -PAGE)) / PAGE);
}
