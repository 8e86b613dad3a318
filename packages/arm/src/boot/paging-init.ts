/**
 * The final tables of the kernel.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`paging_init` and what it calls), mm/dma-mapping.c (`dma_contiguous_remap`).
 */
import { higherOf, lowerOf } from '@pagefold/core';
import { FIXED, PMD_BYTES } from '../layout/numbers.ts';
import { tableProtection } from '../linux-tables.ts';
import { createMapping } from './create-mapping.ts';
import { isOn } from './description.ts';
import { earlyFixmapShutdown } from './fixmap.ts';
import type { ArmKernel } from './kernel.ts';
import type { MemoryType } from './memory-types.ts';

/** Bytes of the kernel's record of a static mapping (`struct static_vm`). Only that it is no whole page matters. */
const STATIC_VM_BYTES = 52n;

const toVirtual = ({ addresses }: ArmKernel, pa: bigint): bigint => pa - addresses.physOffset + addresses.pageOffset;

/** Clears what the first code mapped outside lowmem, and all that might be there by accident. */
function prepareTables(kernel: ArmKernel): void {
  const { tables, addresses, memblock } = kernel;
  const { shadow, modules, pageOffset, lowmemLimit } = addresses;
  tables.clearPmds(0n, shadow?.start ?? modules.start);
  if (shadow !== undefined) tables.clearPmds(shadow.end, modules.start);
  tables.clearPmds(modules.start, pageOffset);
  const firstEnd = memblock.mappable[0]?.end ?? 0n;
  tables.clearPmds(toVirtual(kernel, lowerOf(firstEnd, lowmemLimit)), addresses.vmallocStart);
}

function mapPhysical(kernel: ArmKernel, start: bigint, end: bigint, type: MemoryType): void {
  if (start >= end) return;
  createMapping(kernel.tables, { va: toVirtual(kernel, start), pa: start, bytes: end - start, type });
}

/** All of lowmem but the sections that hold the kernel. */
function mapLowmem(kernel: ArmKernel): void {
  const { memblock, addresses, sections, tables } = kernel;
  for (const { start, end } of memblock.mappable) {
    const top = lowerOf<bigint>(end, addresses.lowmemLimit);
    if (start >= top) break;
    mapPhysical(kernel, start, lowerOf(top, sections.start), tables.types.MEMORY_RW);
    mapPhysical(kernel, higherOf<bigint>(start, sections.end), top, tables.types.MEMORY_RW);
    // A bank that does not touch the kernel is mapped once: one of the two calls was empty or both meet.
  }
}

/** The kernel: executable up to the end of its initialisation code, and what follows not. */
function mapKernel(kernel: ArmKernel): void {
  const { sections, tables } = kernel;
  const size = tables.sectionBytes;
  const executableEnd = (kernel.symbolPa('__init_end') + size - 1n) & -size;
  mapPhysical(kernel, sections.start, executableEnd, tables.types.MEMORY_RWX);
  mapPhysical(kernel, executableEnd, sections.end, tables.types.MEMORY_RW);
}

/** The kernel keeps a record of each static mapping, in memory from the same place as tables. */
function recordStatic({ memblock }: ArmKernel, count = 1n): void {
  memblock.physAlloc(STATIC_VM_BYTES * count, 4n);
}

/** Contiguous areas in lowmem get pages, so that attributes of single pages can change. */
function remapContiguous(kernel: ArmKernel): void {
  const { tables, contiguous, addresses } = kernel;
  for (const { start, end } of contiguous) {
    const top = lowerOf(end, addresses.lowmemLimit);
    if (start >= top) continue;
    tables.clearPmds(toVirtual(kernel, start), toVirtual(kernel, top));
    recordStatic(kernel);
    mapPhysical(kernel, start, top, tables.types.DMA_READY);
  }
}

/** Vectors, device tree, and the devices that the machine maps for ever. */
function initDevicemaps(kernel: ArmKernel): void {
  const { tables, description, addresses } = kernel;
  const { types, sectionBytes } = tables;
  const vectors = tables.earlyAlloc(0x2000);
  tables.clearPmds(addresses.vmallocStart, (FIXED.fixmapEnd - 0x1000n) & -PMD_BYTES);
  if (description.dtb !== undefined) {
    const pa = description.dtb.start & -sectionBytes;
    const { start, end } = addresses.fdt;
    createMapping(tables, { va: start, pa, bytes: end - start, type: types.MEMORY_RO });
  }
  const helpers = isOn(description, 'KUSER_HELPERS', true);
  const page = (va: bigint, pa: bigint, bytes: bigint, type: MemoryType): void => {
    createMapping(tables, { va, pa, bytes, type });
  };
  page(FIXED.vectors, vectors, 0x1000n, helpers ? types.HIGH_VECTORS : types.LOW_VECTORS);
  if (isOn(description, 'LOW_VECTORS')) page(0n, vectors, 0x2000n, types.LOW_VECTORS);
  page(FIXED.vectors + 0x1000n, vectors + 0x1000n, 0x1000n, types.LOW_VECTORS);
  mapDevices(kernel);
  if (isOn(description, 'PCI', true)) recordStatic(kernel);
}

/** What iotable_init maps, and records for the gaps that half-used pairs leave (`fill_pmd_gaps`). */
function mapDevices(kernel: ArmKernel): void {
  const { tables, description } = kernel;
  const { devices, debugUart } = description;
  if (devices.length > 0) {
    recordStatic(kernel, BigInt(devices.length));
    for (const { type, ...place } of devices) createMapping(tables, { ...place, type: tables.types[type] });
  } else if (debugUart !== undefined) {
    recordStatic(kernel);
    const { va, pa } = debugUart;
    createMapping(tables, { va: va & ~0xfffn, pa: pa & ~0xfffn, bytes: 0x1000n, type: tables.types.DEVICE });
  }
  if (kernel.model === 'short') for (const _ of pmdGaps(devices)) recordStatic(kernel);
}

/** Free halves of pairs next to a single section: they are kept free, since the pair may look empty. */
export function pmdGaps(areas: readonly { readonly va: bigint; readonly bytes: bigint }[]): bigint[] {
  const sorted = [...areas].sort((a, b) => (a.va < b.va ? -1 : 1));
  const section = PMD_BYTES / 2n;
  const gaps: bigint[] = [];
  let next = 0n;
  for (const { va, bytes } of sorted) {
    if (va < next) continue;
    // An area that begins in the odd half leaves the even half, unless an earlier one reaches into it.
    if (va % PMD_BYTES === section && tableIsEmpty(sorted, va - section, section)) gaps.push(va & -PMD_BYTES);
    const end = va + bytes;
    if (end % PMD_BYTES === section && tableIsEmpty(sorted, end, section)) gaps.push(end);
    next = (end + PMD_BYTES - 1n) & -PMD_BYTES;
  }
  return gaps;
}

function tableIsEmpty(
  areas: readonly { readonly va: bigint; readonly bytes: bigint }[],
  at: bigint,
  bytes: bigint,
): boolean {
  return areas.every(({ va, bytes: size }) => va >= at + bytes || va + size <= at);
}

/** Tables for pages that are mapped for a while: of high memory, and of the fixmap. */
function initKmap({ tables, addresses, model }: ArmKernel): void {
  const bits = tableProtection(model, 'kernel');
  const places = [...(addresses.pkmap === undefined ? [] : [addresses.pkmap.start]), FIXED.fixmapStart];
  for (const va of places) tables.pteSlot(tables.pmdSlot(va), va, bits);
}

/** Makes the final tables. Allocates in the kernel's order, so that tables stand where the kernel's do. */
export function pagingInit(kernel: ArmKernel): void {
  const { memblock, addresses, tables } = kernel;
  prepareTables(kernel);
  mapLowmem(kernel);
  memblock.limit = addresses.lowmemLimit;
  mapKernel(kernel);
  remapContiguous(kernel);
  earlyFixmapShutdown(kernel);
  initDevicemaps(kernel);
  initKmap(kernel);
  // The page of zeros.
  tables.earlyAlloc(0x1000);
}
