/**
 * Shadow memory of KASAN. Before there is memory for it, every shadow page is one and the same page; later lowmem gets
 * pages of its own while a copy of the root keeps the early shadow alive.
 * Source: Linux 6.12 arch/arm/mm/kasan_init.c.
 */
import {
  BootError,
  lowerOf,
  type PhysAddr,
  phys,
  populateEarlyShadow,
  type SharedShadow,
  type Slot,
} from '@pagefold/core';
import { FIXED, PMD_BYTES } from '../layout/numbers.ts';
import { hardwarePte } from '../linux-hardware.ts';
import { linuxMask } from '../linux-pte.ts';
import { tableProtection } from '../linux-tables.ts';
import { isOn } from './description.ts';
import type { ArmKernel } from './kernel.ts';
import { SWAPPER_ENTRY } from './kernel-tables.ts';
import { pageProtections } from './memory-types.ts';

const PAGE = 0x1000n;

/** Static pages that the shadow shares. */
export const KASAN_TABLES = ['kasan_early_shadow_page', 'kasan_early_shadow_pte'] as const;

/** Where the shadow lies. @throws BootError `kasan` if the kernel was built without */
function shadowOf({ addresses }: ArmKernel): { readonly start: bigint; readonly end: bigint; readonly offset: bigint } {
  if (addresses.shadow === undefined) throw new BootError('kasan', 'the kernel was built without KASAN');
  return addresses.shadow;
}

/** The shadow byte of an address. */
export function shadowAddress(kernel: ArmKernel, va: bigint): bigint {
  return (va >> BigInt(FIXED.shadowScale)) + shadowOf(kernel).offset;
}

function eachPmd(
  kernel: ArmKernel,
  start: bigint,
  end: bigint,
  each: (pmd: Slot<'pmd'>, va: bigint, next: bigint) => void,
) {
  const { tables } = kernel;
  const { pmd } = tables.names;
  for (let va = start; va < end; ) {
    const boundary = (va + pmd.size) & pmd.mask;
    const next = boundary < end ? boundary : end;
    each(tables.pmdSlot(va), va, next);
    va = next;
  }
}

/** Maps the whole shadow to one page, through one table of pages. */
export function kasanEarlyInit(kernel: ArmKernel): void {
  const { tables, model } = kernel;
  const { pmd, pte } = tables.names;
  const { start, end } = shadowOf(kernel);
  const page = kernel.staticTable('kasan_early_shadow_page', 0x1000);
  const shared = kernel.staticTable('kasan_early_shadow_pte', 0x1000);
  const entry = page | linuxMask(model, 'present', 'young', 'dirty', 'xn');
  eachPmd(kernel, start, end, (slot, va, next) => {
    if (pmd.none(slot.load())) pmd.populate(slot, shared, tableProtection(model, 'kernel'));
    let at = pte.offset(slot, va);
    // Whole pmds share the table, so if its first entry is there, all are.
    if (!pte.none(at.load())) return;
    for (let addr = va; addr < next; addr += PAGE) {
      tables.setPte(at, entry);
      at = pte.next(at);
    }
  });
}

/** A copy of the root, and under long descriptors of the table that holds the shadow. */
function temporaryRoot({ tables, addresses, model }: ArmKernel): PhysAddr {
  const { names, root } = tables;
  const bytes = names.geometry.root.tableBytes;
  const copy = (from: bigint, length: number): PhysAddr => {
    const to = tables.earlyAlloc(Math.max(length, 0x1000));
    const step = BigInt(tables.wordBytes);
    for (let at = 0n; at < BigInt(length); at += step)
      tables.writeWord(phys(to + at), tables.readWord(phys(from + at)));
    return to;
  };
  const temporary = copy(root, bytes);
  if (model === 'lpae') {
    const { pgd } = names;
    const start = addresses.taskSize;
    const table = copy(pgd.tableAddress(pgd.offset(root, start).load()), 0x1000);
    tables.writeWord(pgd.offset(temporary, start).address, table | 3n | SWAPPER_ENTRY);
  }
  return temporary;
}

/** Real shadow pages for a range of addresses. */
function populate(kernel: ArmKernel, start: bigint, end: bigint): void {
  const { tables, model, cpu } = kernel;
  const { pmd, pte } = tables.names;
  const from = shadowAddress(kernel, start) & -PAGE;
  const to = (shadowAddress(kernel, end) + PAGE - 1n) & -PAGE;
  const { kernel: protection } = pageProtections(model, cpu);
  eachPmd(kernel, from, to, (slot, va, next) => {
    if (pmd.none(slot.load())) {
      const table = pte.allocOne(va);
      if (table !== null) pmd.populate(slot, table, tableProtection(model, 'kernel'));
    }
    let at = pte.offset(slot, va);
    for (let addr = va; addr < next; addr += PAGE) {
      if (pte.none(at.load())) tables.setPte(at, tables.earlyAlloc(0x1000) | protection);
      at = pte.next(at);
    }
  });
}

/**
 * Gives the shadow pages of its own where it is written, and one page of zeros where it is only read.
 * @returns the root that was used meanwhile
 */
export function kasanInit(kernel: ArmKernel): PhysAddr {
  const { tables, addresses, model, cpu, description, memblock } = kernel;
  const { start, end } = shadowOf(kernel);
  const temporary = temporaryRoot(kernel);
  tables.clearPmds(start, end);

  const page = kernel.staticTable('kasan_early_shadow_page', 0x1000);
  const table = kernel.staticTable('kasan_early_shadow_pte', 0x1000);
  const { kernel: protection } = pageProtections(model, cpu);
  const readOnly = page | protection | linuxMask(model, 'rdonly');
  // Under short descriptors the helpers make the hardware's word from Linux's.
  const pageEntry = model === 'short' ? readOnly : hardwarePte('v7-lpae', readOnly);
  const shared: SharedShadow = { p4d: table, pud: table, pmd: table, pte: table, pageEntry };
  const shadow = (va: bigint): bigint => shadowAddress(kernel, va);
  const share = (from: bigint, to: bigint): void => populateEarlyShadow(tables.names, tables.root, from, to, shared);
  const dynamic = isOn(description, 'KASAN_VMALLOC');
  if (!dynamic) share(shadow(addresses.vmallocStart), shadow(FIXED.vmallocEnd));
  share(shadow(FIXED.vmallocEnd), shadow((1n << 32n) - 1n) + 1n);

  for (const { start: from, end: to } of memblock.mappable) {
    const top = lowerOf<bigint>(to, addresses.lowmemLimit);
    // High memory has no address, so it has no shadow.
    if (from >= top) continue;
    const toVirtual = (pa: bigint): bigint => pa - addresses.physOffset + addresses.pageOffset;
    populate(kernel, toVirtual(from), toVirtual(top));
  }
  if (!dynamic) populate(kernel, addresses.modules.start, addresses.modules.end);
  const pkmap = addresses.pageOffset - PMD_BYTES;
  populate(kernel, pkmap, pkmap + PMD_BYTES);

  const { pte } = tables.names;
  for (let i = 0; i < pte.entries; i++) {
    tables.setPte(slotAt(kernel, phys(table + BigInt(i * pte.slotBytes))), readOnly);
  }
  return temporary;
}

/** A slot of a table of pages by its place. */
function slotAt({ tables }: ArmKernel, address: PhysAddr): Slot<'pte'> {
  return { address, load: () => tables.readWord(address) };
}
