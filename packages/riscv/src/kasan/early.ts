/**
 * KASAN's early shadow: every address of the shadow leads to one and the same page, through tables of which each level
 * has one. Source: Linux 6.12 arch/riscv/mm/kasan_init.c (`kasan_early_init`, `kasan_swapper_init`).
 */
import { BootError, type NameHelpers, type PhysAddr, type Slot, TABLE_NAMES, type TableName } from '@pagefold/core';
import { entryFor, reachTable, slotIn, tableOf } from '../boot/create-mapping.ts';
import type { Kernel } from '../boot/kernel.ts';
import type { KasanPage } from './symbols.ts';

/** The shared table below an entry of a name. */
export const SHARED_BELOW: Readonly<Partial<Record<TableName, KasanPage>>> = {
  pgd: 'kasan_early_shadow_p4d',
  p4d: 'kasan_early_shadow_pud',
  pud: 'kasan_early_shadow_pmd',
  pmd: 'kasan_early_shadow_pte',
};

/** The range of shadow addresses. */
export function shadowRange(kernel: Kernel): { readonly start: bigint; readonly end: bigint } {
  const { shadow } = kernel.addresses;
  if (shadow === undefined) throw new BootError('kasan-mode', 'there is no KASAN on RV32');
  return shadow;
}

/** Does a step cover all of an entry? */
export function isWhole(helper: NameHelpers, vaddr: bigint, next: bigint): boolean {
  return vaddr % helper.size === 0n && next - vaddr >= helper.size;
}

/**
 * The slot of a name below a slot of the name above, reached as the phase in force reaches tables: the linear map may
 * not be there yet. A folded name repeats the slot.
 */
export function offsetThrough(kernel: Kernel, name: TableName, parent: Slot, vaddr: bigint): Slot {
  const { names, target } = kernel;
  const helper = names.byName(name);
  if (helper.folded) return parent;
  const table = reachTable(target, tableOf(names, parent.load()), helper.level);
  return slotIn(names, name, table, vaddr);
}

/** Points all entries of a static table at the same thing. */
function fillTable(kernel: Kernel, name: TableName, table: KasanPage, below: KasanPage, prot: bigint): void {
  const { names, target, symbolPa } = kernel;
  const helper = names.byName(name);
  let slot = slotIn(names, name, symbolPa(table), 0n);
  for (let i = 0; i < helper.entries; i++) {
    helper.set(slot, entryFor(target, name, symbolPa(below), prot));
    slot = helper.next(slot);
  }
}

/** `kasan_early_populate_pgd` and its children: shares whole entries, goes into the tables that the kernel needs too. */
function populate(kernel: Kernel, name: TableName, first: Slot, start: bigint, end: bigint): void {
  const { names, target, symbolPa, protections } = kernel;
  const helper = names.byName(name);
  let slot = first;
  let vaddr = start;
  do {
    const next = helper.addrEnd(vaddr, end);
    if (helper.none(slot.load()) && isWhole(helper, vaddr, next)) {
      const shared = symbolPa(SHARED_BELOW[name] as KasanPage);
      helper.set(slot, entryFor(target, name, shared, protections.values.PAGE_TABLE));
    } else if (name === 'pud') {
      throw new BootError('kasan-early', 'the shadow must consist of whole empty pud entries', {
        va: vaddr,
        slot: slot.address,
        word: slot.load(),
      });
    } else {
      const below = TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName;
      populate(kernel, below, offsetThrough(kernel, below, slot, vaddr), vaddr, next);
    }
    slot = helper.next(slot);
    vaddr = next;
  } while (vaddr !== end);
}

/** Populates the shadow below a root. */
function populateRoot(kernel: Kernel, root: PhysAddr): void {
  const { start, end } = shadowRange(kernel);
  populate(kernel, 'pgd', kernel.names.pgd.offset(root, start), start, end);
}

/**
 * `kasan_early_init`: fills the shared tables and hooks them into `early_pg_dir`. Called right after the MMU is on,
 * while tables are still reached as before.
 * @throws BootError `kasan-early` if something else is mapped in the shadow
 */
export function kasanEarlyInit(kernel: Kernel): void {
  const { names, protections, symbolPa } = kernel;
  const { PAGE_KERNEL, PAGE_TABLE } = protections.values;
  fillTable(kernel, 'pte', 'kasan_early_shadow_pte', 'kasan_early_shadow_page', PAGE_KERNEL);
  fillTable(kernel, 'pmd', 'kasan_early_shadow_pmd', 'kasan_early_shadow_pte', PAGE_TABLE);
  if (!names.pud.folded) fillTable(kernel, 'pud', 'kasan_early_shadow_pud', 'kasan_early_shadow_pmd', PAGE_TABLE);
  if (!names.p4d.folded) fillTable(kernel, 'p4d', 'kasan_early_shadow_p4d', 'kasan_early_shadow_pud', PAGE_TABLE);
  populateRoot(kernel, symbolPa('early_pg_dir'));
}

/**
 * `kasan_swapper_init`: the same in `swapper_pg_dir`. It has to wait for the kernel's own mapping, with which the shadow
 * shares the last root entry in Sv48 and Sv57: before memblock is up there is no table for it.
 * @throws BootError as {@link kasanEarlyInit}
 */
export function kasanSwapperInit(kernel: Kernel): void {
  populateRoot(kernel, kernel.symbolPa('swapper_pg_dir'));
}
