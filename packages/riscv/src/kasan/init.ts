/**
 * `kasan_init`: the shadow that stays. Done on a copy of the tables, because the early shadow must go first.
 * Source: Linux 6.12 arch/riscv/mm/kasan_init.c.
 */
import {
  createNames,
  type LinuxNames,
  type PhysAddr,
  phys,
  populateEarlyShadow,
  readWord,
  type Slot,
  TABLE_NAMES,
  type TableName,
  writeWord,
} from '@pagefold/core';
import { entryFor, slotIn, tableOf } from '../boot/create-mapping.ts';
import { bugOn } from '../boot/errors.ts';
import type { Kernel } from '../boot/kernel.ts';
import { runtimeSymbol } from '../boot/kernel-page-table.ts';
import { entryMask } from '../entry-bits.ts';
import { kasanShadow } from '../kasan-shadow.ts';
import { encodeSatp } from '../satp.ts';
import { isWhole, offsetThrough, shadowRange } from './early.ts';

const PAGE = 4096n;

function nameBelow(name: TableName): TableName {
  return TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName;
}

/** What the steps share: names that allocate from memblock, and the shadow's arithmetic. */
interface Shadowing {
  readonly kernel: Kernel;
  readonly names: LinuxNames;
  readonly swapper: PhysAddr;
  readonly shadowOf: (va: bigint) => bigint;
}

function copyPage(kernel: Kernel, from: PhysAddr, to: PhysAddr): void {
  for (let at = 0n; at < PAGE; at += 8n) {
    writeWord(kernel.memory, phys(to + at), readWord(kernel.memory, phys(from + at)));
  }
}

/**
 * `create_tmp_mapping`: a second root, so that the kernel keeps a shadow while the first one loses it. The last p4d and
 * pud tables hold the kernel too; they are copied, because their shadow entries go as well.
 */
function createTmpMapping({ kernel, names, swapper }: Shadowing): PhysAddr {
  const { symbolPa, target, protections } = kernel;
  const { end } = shadowRange(kernel);
  const tmp = symbolPa('tmp_pg_dir');
  copyPage(kernel, swapper, tmp);
  let parent: Slot = names.pgd.offset(tmp, end);
  for (const name of ['p4d', 'pud'] as const) {
    const helper = names[name];
    if (helper.folded) continue;
    const above = names.byName(TABLE_NAMES[TABLE_NAMES.indexOf(name) - 1] as TableName);
    const copy = symbolPa(name === 'p4d' ? 'tmp_p4d' : 'tmp_pud');
    copyPage(kernel, tableOf(names, parent.load()), copy);
    above.set(parent, entryFor(target, above.name, copy, protections.values.PAGE_TABLE));
    parent = slotIn(names, name, copy, end);
  }
  return tmp;
}

/** `kasan_early_clear_pgd` and its children. */
function earlyClear({ kernel, names }: Shadowing, name: TableName, first: Slot, start: bigint, end: bigint): void {
  const helper = names.byName(name);
  let slot = first;
  let vaddr = start;
  do {
    const next = helper.addrEnd(vaddr, end);
    // The highest name that is not folded into clears; above it there is nothing of its own to clear.
    if (!helper.trivial && isWhole(helper, vaddr, next)) {
      helper.clear(slot);
    } else {
      bugOn(name === 'pud', 'kasan-clear', 'the shadow must consist of whole pud entries', { va: vaddr });
      const below = nameBelow(name);
      earlyClear({ kernel, names } as Shadowing, below, offsetThrough(kernel, below, slot, vaddr), vaddr, next);
    }
    slot = helper.next(slot);
    vaddr = next;
  } while (vaddr !== end);
}

/** Hooks a new zeroed table in below a slot that is empty. */
function tableBelow({ kernel, names }: Shadowing, name: TableName, slot: Slot, vaddr: bigint): void {
  // A name whose words are tested is never folded into, so the name below has tables.
  const table = names.byName(nameBelow(name)).allocOne(vaddr) as PhysAddr;
  names.byName(name).set(slot, entryFor(kernel.target, name, table, kernel.protections.values.PAGE_TABLE));
}

/** `kasan_shallow_populate_pgd` and its children: the topmost entries get empty tables, which all processes share. */
function shallowPopulate(shadowing: Shadowing, name: TableName, first: Slot, start: bigint, end: bigint): void {
  const helper = shadowing.names.byName(name);
  let slot = first;
  let vaddr = start;
  do {
    const next = helper.addrEnd(vaddr, end);
    if (helper.none(slot.load())) {
      tableBelow(shadowing, name, slot, vaddr);
    } else {
      bugOn(name === 'pud', 'kasan-shallow', 'something stands where vmalloc needs its shadow', { va: vaddr });
      const below = nameBelow(name);
      const inner = shadowing.names.byName(below).offset(slot, vaddr);
      shallowPopulate(shadowing, below, inner, vaddr, next);
    }
    slot = helper.next(slot);
    vaddr = next;
  } while (vaddr !== end);
}

/** One level of real shadow: a large leaf where an entry is whole, empty, and memory of that size can be had. */
function populate(shadowing: Shadowing, name: TableName, first: Slot, start: bigint, end: bigint): void {
  const { kernel, names } = shadowing;
  const { memblock, target, protections } = kernel;
  const helper = names.byName(name);
  let slot = first;
  let vaddr = start;
  do {
    const next = name === 'pte' ? vaddr + PAGE : helper.addrEnd(vaddr, end);
    const whole = helper.none(slot.load()) && isWhole(helper, vaddr, next);
    const memory = whole ? memblock.find(helper.size, helper.size) : undefined;
    if (memory !== undefined) {
      memblock.reserve({ start: memory, end: memory + helper.size });
      helper.set(slot, entryFor(target, name, memory, protections.values.PAGE_KERNEL));
    } else if (name === 'pte') {
      bugOn(whole, 'kasan-memory', 'no memory is left for the shadow', { va: vaddr });
    } else {
      if (helper.none(slot.load())) tableBelow(shadowing, name, slot, vaddr);
      const below = nameBelow(name);
      populate(shadowing, below, names.byName(below).offset(slot, vaddr), vaddr, next);
    }
    slot = helper.next(slot);
    vaddr = next;
  } while (vaddr !== end);
}

/** `kasan_populate`: shadow pages around a range of shadow bytes. */
function populateRange(shadowing: Shadowing, start: bigint, end: bigint): void {
  const first = start & -PAGE;
  const last = (end + PAGE - 1n) & -PAGE;
  if (first >= last) return;
  populate(shadowing, 'pgd', shadowing.names.pgd.offset(shadowing.swapper, first), first, last);
}

/** `kasan_shallow_populate`. */
function shallowRange(shadowing: Shadowing, start: bigint, end: bigint): void {
  const first = start & -PAGE;
  const last = (end + PAGE - 1n) & -PAGE;
  shallowPopulate(shadowing, 'pgd', shadowing.names.pgd.offset(shadowing.swapper, first), first, last);
}

/** `MODULES_VADDR` and `MODULES_END`. */
function modulesRange(kernel: Kernel): { readonly start: bigint; readonly end: bigint } {
  const up = (va: bigint): bigint => (va + PAGE - 1n) & -PAGE;
  const end = up(kernel.kernelMap.virtAddr);
  return { start: up(runtimeSymbol(kernel, '_end')) - 0x8000_0000n, end };
}

/** The entry for the shared page in tables that stay: readable, nothing else. */
function readOnlyZero(kernel: Kernel): bigint {
  const page = kernel.symbolPa('kasan_early_shadow_page');
  const prot = entryMask(64, 'v') | entryMask(64, 'r') | entryMask(64, 'a');
  return entryFor(kernel.target, 'pte', page, prot);
}

/**
 * `kasan_init`. Memory that other code of the kernel takes from memblock between `paging_init` and here is not
 * modelled, so addresses of shadow may differ from those of a real kernel; what is mapped how does not.
 * @throws BootError `kasan-memory` if memory does not suffice for the shadow, and where the kernel would have stopped
 */
export function kasanInit(kernel: Kernel): void {
  const { memblock, kernelMap, addresses, mode, ptOps, protections } = kernel;
  const swapper = kernel.symbolPa('swapper_pg_dir');
  const { shadow } = kasanShadow(mode);
  const names = createNames(kernel.memory, kernel.paging, { allocator: kernel.allocations });
  const shadowing: Shadowing = { kernel, names, swapper, shadowOf: shadow.shadowOf };
  const { shadowOf } = shadow;
  kernel.satp = encodeSatp(mode, createTmpMapping(shadowing));
  const { start, end } = shadowRange(kernel);
  earlyClear(shadowing, 'pgd', names.pgd.offset(swapper, start), start, end);

  // What lies below vmalloc is never checked: its shadow stays the shared page, read-only.
  const page = kernel.symbolPa('kasan_early_shadow_page');
  const shared = entryFor(kernel.target, 'pte', page, protections.values.PAGE_KERNEL & ~entryMask(64, 'w'));
  populateEarlyShadow(names, swapper, shadowOf(addresses.fixmap.start), shadowOf(addresses.vmalloc.start), {
    p4d: kernel.symbolPa('kasan_early_shadow_p4d'),
    pud: kernel.symbolPa('kasan_early_shadow_pud'),
    pmd: kernel.symbolPa('kasan_early_shadow_pmd'),
    pte: kernel.symbolPa('kasan_early_shadow_pte'),
    pageEntry: shared,
  });
  const modules = modulesRange(kernel);
  shallowRange(shadowing, shadowOf(addresses.vmalloc.start), shadowOf(addresses.vmalloc.end));
  shallowRange(shadowing, shadowOf(modules.start), shadowOf(modules.end));

  // All memory.
  for (const bank of memblock.mappable) {
    const first = kernelMap.va(bank.start);
    const last = kernelMap.va(bank.end);
    if (first >= last) break;
    populateRange(shadowing, shadowOf(first), shadowOf(last));
  }
  // The kernel, from where the modules end.
  populateRange(shadowing, shadowOf(modules.end), shadowOf(modules.start + 0x8000_0000n));

  let slot = slotIn(names, 'pte', kernel.symbolPa('kasan_early_shadow_pte'), 0n);
  for (let i = 0; i < names.pte.entries; i++) {
    names.pte.set(slot, readOnlyZero(kernel));
    slot = names.pte.next(slot);
  }
  kernel.satp = encodeSatp(mode, swapper);
  bugOn(ptOps.name !== 'late', 'kasan-phase', 'the final shadow needs the linear map');
}
