/**
 * The fixmap before paging_init: one static table for its top pmd, devices only.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`early_fixmap_init`, `early_fixmap_shutdown`, `__set_fixmap`),
 * include/asm/fixmap.h.
 */
import { ArgumentError } from '@pagefold/core';
import { FIXED } from '../layout/numbers.ts';
import { LINUX_TYPES, linuxField, linuxMask } from '../linux-pte.ts';
import { tableProtection } from '../linux-tables.ts';
import { createMapping } from './create-mapping.ts';
import type { ArmKernel } from './kernel.ts';

/** The address of a slot: they count down from the top (`fix_to_virt`). */
export function fixmapAddress(index: number): bigint {
  const va = FIXED.fixmapEnd - 0x1000n * BigInt(index + 1);
  if (index < 0 || va < FIXED.fixmapStart) throw new ArgumentError('fixmap-index', 'there is no such slot', { index });
  return va;
}

/**
 * Slots of early_ioremap and of kmap share their addresses: 7 slots of 32 pages, below one slot of its own
 * (`earlycon`).
 */
export const EARLY_IOREMAP = { slots: 7, pages: 32, firstIndex: 1 } as const;

const TOP = FIXED.fixmapEnd - 0x1000n;

/** Links the static table. */
export function earlyFixmapInit(kernel: ArmKernel): void {
  const { tables, model } = kernel;
  const { pmd } = tables.names;
  pmd.populate(tables.pmdSlot(TOP), kernel.staticTable('bm_pte', 0x1000), tableProtection(model, 'kernel'));
}

/**
 * Maps a page of a device in a slot, between {@link earlyFixmapInit} and paging_init.
 * @throws ArgumentError `fixmap-index` for a slot outside the one table
 */
export function setEarlyFixmap(kernel: ArmKernel, index: number, pa: bigint): bigint {
  const { tables } = kernel;
  const { pmd, pte } = tables.names;
  const va = fixmapAddress(index);
  if (va < (TOP & pmd.mask)) throw new ArgumentError('fixmap-index', 'that slot has no table yet', { index, va });
  const slot = tables.pmdSlot(va);
  const { pte: bits } = tables.types.DEVICE;
  tables.setPte(pte.offset(slot, va), (pa & ~0xfffn) | bits);
  return va;
}

/**
 * Takes the static table away and maps again what devices were mapped in the slots that stay.
 * @param permanent how many slots stay
 */
export function earlyFixmapShutdown(kernel: ArmKernel, permanent = 1): void {
  const { tables, model } = kernel;
  const { pmd, pte } = tables.names;
  const top = tables.pmdSlot(TOP);
  const table = pmd.none(top.load()) ? undefined : pmd.tableAddress(top.load());
  const kept = Array.from({ length: permanent }, (_, index) => fixmapAddress(index)).flatMap((va) => {
    if (table === undefined) return [];
    const entry = pte.offset(top, va).load();
    const isDevice = linuxField(model, 'type', entry) === BigInt(LINUX_TYPES[model].DEV_SHARED ?? -1);
    return entry === 0n || !isDevice ? [] : [{ va, pa: entry & linuxMask(model, 'pfn') }];
  });
  pmd.clear(top);
  for (const { va, pa } of kept) createMapping(tables, { va, pa, bytes: 0x1000n, type: tables.types.DEVICE });
}
