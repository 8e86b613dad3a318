/**
 * Moving all physical addresses after the first tables were made, with the MMU off: boards whose memory appears at a
 * low address first and has its real place above 4 GiB (Keystone 2).
 * Source: Linux 6.12 arch/arm/mm/pv-fixup-asm.S, mmu.c (`early_paging_init`).
 */
import { ArgumentError, phys } from '@pagefold/core';
import type { ArmKernel } from './kernel.ts';

/**
 * Adds an offset to the blocks of the kernel and of the device tree and to the entries of the root, and gives the table
 * bases their new values.
 * @param offset what is added to physical addresses: a multiple of 2 MiB
 * @throws ArgumentError `pv-fixup` under short descriptors, which hold no such addresses, or for an unaligned offset
 */
export function fixupPhysicalOffset(
  kernel: ArmKernel,
  offset: bigint,
): { readonly ttbr0: bigint; readonly ttbr1: bigint } {
  const { tables, model, addresses, sections } = kernel;
  if (model !== 'lpae' || offset % tables.sectionBytes !== 0n) {
    throw new ArgumentError('pv-fixup', 'only long descriptors can be moved, by whole blocks', { model, offset });
  }
  const shift = (slot: bigint): void => {
    const word = tables.readWord(phys(slot));
    tables.writeWord(phys(slot), word + offset);
  };
  const { pageOffset, physOffset, fdt } = addresses;
  const kernelEnd = sections.end - physOffset + pageOffset;
  for (const [start, end] of [
    [pageOffset, kernelEnd],
    [fdt.start, fdt.end],
  ] as const) {
    for (let va = start; va < end; va += tables.sectionBytes) shift(tables.sectionSlot(tables.pmdSlot(va), va));
  }
  for (let i = 0n; i < BigInt(tables.names.pgd.entries); i++) shift(tables.root + 8n * i);
  const root = tables.root + offset;
  return { ttbr0: root, ttbr1: root + (addresses.ttbr1?.offset ?? 0n) };
}
