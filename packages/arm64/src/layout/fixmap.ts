/**
 * Slots of the fixmap: pages whose addresses are known at build time, numbered downwards from its end.
 * Source: Linux 6.12 arch/arm64/include/asm/fixmap.h, asm/boot.h.
 */
import { ArgumentError, type VirtAddr, virt } from '@pagefold/core';
import { type Granule, PAGE_BITS } from '../granule.ts';

/** Slots by name: the index counts pages down from the end of the fixmap. */
export type FixmapSlots = Readonly<Record<string, number>>;

/** What a kernel was built with. */
export interface FixmapOptions {
  /** CONFIG_ACPI_APEI_GHES and CONFIG_ARM_SDE_INTERFACE. Not supplied: yes. */
  readonly errorSources?: boolean;
  /** CONFIG_UNMAP_KERNEL_AT_EL0 and CONFIG_RELOCATABLE. Not supplied: yes. */
  readonly isolation?: boolean;
}

/** `MAX_FDT_SIZE`. */
const FDT_BYTES = 2 ** 21;
/** Early ioremap: 7 maps of 256 KiB. */
const BOOT_MAPS = 7;
const BOOT_MAP_BYTES = 2 ** 18;

/** The slots, those of distributions unless told otherwise. Slot 0 is a hole, slots 1 to FIX_FDT hold the device tree. */
export function fixmapSlots(granule: Granule, options: FixmapOptions = {}): FixmapSlots {
  const { errorSources = true, isolation = true } = options;
  const page = 2 ** PAGE_BITS[granule];
  const slots: Record<string, number> = { FIX_HOLE: 0, FIX_FDT_END: 1, FIX_FDT: 2 + FDT_BYTES / page };
  let next = (slots.FIX_FDT as number) + 1;
  const add = (...names: readonly string[]): void => {
    for (const name of names) slots[name] = next++;
  };
  add('FIX_EARLYCON_MEM_BASE', 'FIX_TEXT_POKE0');
  if (errorSources) {
    add('FIX_APEI_GHES_IRQ', 'FIX_APEI_GHES_SEA', 'FIX_APEI_GHES_SDEI_NORMAL', 'FIX_APEI_GHES_SDEI_CRITICAL');
  }
  if (isolation) {
    add('FIX_ENTRY_TRAMP_TEXT4', 'FIX_ENTRY_TRAMP_TEXT3', 'FIX_ENTRY_TRAMP_TEXT2', 'FIX_ENTRY_TRAMP_TEXT1');
  }
  slots.FIX_BTMAP_END = next;
  next += (BOOT_MAPS * BOOT_MAP_BYTES) / page;
  slots.FIX_BTMAP_BEGIN = next - 1;
  add('FIX_PTE', 'FIX_PMD', 'FIX_PUD', 'FIX_P4D', 'FIX_PGD');
  return slots;
}

/** Bytes of all slots (`FIXADDR_TOT_SIZE`). */
export function fixmapBytes(granule: Granule, options: FixmapOptions = {}): bigint {
  const { FIX_PGD = 0 } = fixmapSlots(granule, options);
  return BigInt(FIX_PGD + 1) << BigInt(PAGE_BITS[granule]);
}

/** The address of a slot (`__fix_to_virt`). */
export function fixmapAddress(granule: Granule, top: bigint, index: number): VirtAddr {
  return virt(top - (BigInt(index) << BigInt(PAGE_BITS[granule])));
}

/**
 * The slot that an address lies in (`__virt_to_fix`).
 * @throws ArgumentError `fixmap-address` if it is not below the end
 */
export function fixmapIndex(granule: Granule, top: bigint, address: bigint): number {
  if (address >= top) throw new ArgumentError('fixmap-address', 'the fixmap ends below that', { top, address });
  const page = 1n << BigInt(PAGE_BITS[granule]);
  return Number((top - (address & -page)) / page);
}
