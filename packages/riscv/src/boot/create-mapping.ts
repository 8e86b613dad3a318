/**
 * `create_pgd_mapping` and its children: one leaf (or one table pointer) at a time, written only where nothing is.
 *
 * Written once for all modes: a folded name hands on to the name that owns its word. Runs of equal leaves within one
 * table are filled in one go, so that a terabyte costs no more than its tables. Source: Linux 6.12 arch/riscv/mm/init.c.
 */
import {
  BootError,
  type LinuxNames,
  type MemoryWindow,
  type Phase,
  type PhysAddr,
  phys,
  readWord,
  type Slot,
  TABLE_NAMES,
  type TableName,
  virt,
} from '@pagefold/core';
import { entryBits, entryMask } from '../entry-bits.ts';
import type { MemoryTypes } from '../linux-config.ts';
import { makeEntry } from '../memory-types.ts';
import { bugOn } from './errors.ts';

/** The tables that mappings are made in, and how new ones come about. */
export interface MappingTarget {
  readonly names: LinuxNames;
  /** How tables are made and reached now (`pt_ops`). */
  readonly ptOps: Phase;
  /** Protection of a table pointer (`PAGE_TABLE`). */
  readonly pageTable: bigint;
  readonly memoryTypes: MemoryTypes;
}

/** What is to be mapped. */
export interface Mapping {
  readonly va: bigint;
  /** Physical address of the memory, or of the table that is hooked in. Bits below a page are ignored. */
  readonly pa: bigint;
  /** Bytes of each leaf: what one entry of some name covers. */
  readonly size: bigint;
  readonly prot: bigint;
}

const PAGE_SHIFT = 12n;

/** The name below. */
function nextName(name: TableName): TableName {
  return TABLE_NAMES[TABLE_NAMES.indexOf(name) + 1] as TableName;
}

/** The slot for an address in a table of a name that stands at a given place. */
export function slotIn<N extends TableName>(names: LinuxNames, name: N, table: PhysAddr, va: bigint): Slot<N> {
  const { memory } = names;
  const helper = names.byName(name);
  const address = phys(table + BigInt(helper.index(va) * helper.slotBytes));
  const bytes = names.paging.format.entryBytes;
  return { address, load: () => readWord(memory, address, bytes) };
}

/** `pfn_pte` and its siblings. The root's entries are always made by `pfn_pgd`, whatever folds into it. */
export function entryFor(
  { names, memoryTypes }: Pick<MappingTarget, 'names' | 'memoryTypes'>,
  name: TableName,
  pa: bigint,
  prot: bigint,
): bigint {
  const { geometry } = names;
  const maker = geometry.names[name].level === geometry.root.level ? 'pgd' : name;
  return geometry.wordBits === 32
    ? entryBits(32, { ppn: pa >> PAGE_SHIFT }) | prot
    : makeEntry(maker, pa >> PAGE_SHIFT, prot, memoryTypes);
}

/** The place of a table through the phase in force: what software would dereference now. */
export function reachTable(target: MappingTarget, table: PhysAddr, level: number): PhysAddr {
  return target.ptOps.physical(target.ptOps.reach(table, level));
}

/** The table that a word points to, taken from its page number without further tests, as the kernel does. */
export function tableOf(names: LinuxNames, word: bigint): PhysAddr {
  const mask = entryMask(names.geometry.wordBits, 'ppn');
  return phys(((word & mask) / (mask & -mask)) << PAGE_SHIFT);
}

/** Fills empty slots with leaves whose addresses rise; those that are taken stay as they are. */
function fillSlots(names: LinuxNames, first: Slot, count: number, word: bigint, step: bigint): void {
  const wide = names.paging.format.entryBytes === 8;
  const bytes = wide ? 8 : 4;
  let lo = Number(word & 0xffff_ffffn);
  let hi = Number(word >> 32n);
  const stepLo = Number(step & 0xffff_ffffn);
  const stepHi = Number(step >> 32n);
  let window: MemoryWindow | undefined;
  for (let i = 0, at = Number(first.address); i < count; i++, at += bytes) {
    if (window === undefined || at >= window.base + window.words.length * 4) window = names.memory.writable(at);
    const { words } = window;
    const index = (at - window.base) / 4;
    if (words[index] === 0 && (!wide || words[index + 1] === 0)) {
      words[index] = lo;
      if (wide) words[index + 1] = hi;
    }
    lo += stepLo;
    const carry = lo > 0xffff_ffff ? 1 : 0;
    lo -= carry * 0x1_0000_0000;
    hi += stepHi + carry;
  }
}

/** A new table for what is below a slot: allocated, hooked in, zeroed. */
function addTable(target: MappingTarget, name: TableName, slot: Slot, va: bigint): PhysAddr {
  const { names, ptOps } = target;
  const helper = names.byName(name);
  const { tableBytes, alignBytes, level } = names.paging.codec(helper.level - 1).level;
  const table = ptOps.allocator.allocate({ level, va: virt(va), bytes: tableBytes, alignBytes });
  helper.set(slot, entryFor(target, name, table, target.pageTable));
  const reached = reachTable(target, table, level);
  for (let at = Number(reached); at < Number(reached) + tableBytes; ) {
    const { base, words } = names.memory.writable(at);
    const to = Math.min(base + words.length * 4, Number(reached) + tableBytes);
    words.fill(0, (at - base) / 4, (to - base) / 4);
    at = to;
  }
  return reached;
}

/** The table below a slot, which must not be a leaf: the kernel would take the mapped memory for a table. */
function nextTable(target: MappingTarget, name: TableName, slot: Slot, va: bigint): PhysAddr {
  const { names } = target;
  const helper = names.byName(name);
  const word = slot.load();
  if (word === 0n) return addTable(target, name, slot, va);
  if (helper.leaf(word)) {
    throw new BootError('leaf-in-the-way', 'a leaf stands where a table is needed', { va, slot: slot.address, word });
  }
  return reachTable(target, tableOf(names, word), helper.level - 1);
}

function createAt(target: MappingTarget, name: TableName, slot: Slot, mapping: Mapping, count: number): number {
  const { names } = target;
  const helper = names.byName(name);
  const { va, pa, size, prot } = mapping;
  if (helper.trivial) {
    const below = nextName(name);
    return createAt(target, below, names.byName(below).offset(slot, va), mapping, count);
  }
  if (size === helper.size) {
    const inTable = Math.min(count, helper.entries - helper.index(va));
    const word = entryFor(target, name, pa, prot);
    const step = entryBits(names.geometry.wordBits, { ppn: size >> PAGE_SHIFT });
    fillSlots(names, slot, inTable, word, step);
    return inTable;
  }
  bugOn(name === 'pte', 'pte-size', 'the last level maps single pages only', { va, size });
  const below = nextName(name);
  const table = nextTable(target, name, slot, va);
  return createAt(target, below, slotIn(names, below, table, va), mapping, count);
}

/** Maps a leaf, or hooks a table in, in a table of the given name that stands at `table`. */
function createIn(target: MappingTarget, name: TableName, table: PhysAddr, mapping: Mapping): void {
  createAt(target, name, slotIn(target.names, name, table, mapping.va), mapping, 1);
}

/**
 * `create_pgd_mapping`: maps a leaf below a root.
 * @throws BootError `pte-size` for a size that no entry has, `leaf-in-the-way`; OutOfTablesError and PhaseError from the
 *   phase
 */
export function createPgdMapping(target: MappingTarget, root: PhysAddr, mapping: Mapping): void {
  createIn(target, 'pgd', root, mapping);
}

/** `create_p4d_mapping`, in a table of p4d entries. Such tables exist in Sv57 only: does nothing if p4d is folded. */
export function createP4dMapping(target: MappingTarget, table: PhysAddr, mapping: Mapping): void {
  if (!target.names.p4d.folded) createIn(target, 'p4d', table, mapping);
}

/** `create_pud_mapping`, in a table of pud entries. Does nothing if pud is folded. */
export function createPudMapping(target: MappingTarget, table: PhysAddr, mapping: Mapping): void {
  if (!target.names.pud.folded) createIn(target, 'pud', table, mapping);
}

/** `create_pmd_mapping`, in a table of pmd entries. Does nothing if pmd is folded, as on RV32. */
export function createPmdMapping(target: MappingTarget, table: PhysAddr, mapping: Mapping): void {
  if (!target.names.pmd.folded) createIn(target, 'pmd', table, mapping);
}

/** `create_pte_mapping`, in a table of pte entries. */
export function createPteMapping(target: MappingTarget, table: PhysAddr, mapping: Mapping): void {
  createIn(target, 'pte', table, mapping);
}

/** Maps `count` equal leaves that follow each other below a root: as many calls of {@link createPgdMapping}. */
export function createPgdMappings(target: MappingTarget, root: PhysAddr, mapping: Mapping, count: number): void {
  const wrap = (va: bigint): bigint => BigInt.asUintN(target.names.geometry.wordBits, va);
  let { va, pa } = mapping;
  for (let left = count; left > 0; ) {
    const slot = slotIn(target.names, 'pgd', root, va);
    const made = createAt(target, 'pgd', slot, { ...mapping, va, pa }, left);
    left -= made;
    va = wrap(va + BigInt(made) * mapping.size);
    pa += BigInt(made) * mapping.size;
  }
}

/**
 * `best_map_size`: bytes of the largest leaf for an address, chosen anew for each step. Leaves of the root table are
 * never made, so that the linear map can be split later without touching roots that were copied.
 * @param size bytes that remain
 * @param debugPagealloc is every page mapped on its own?
 */
export function bestMapSize(names: LinuxNames, pa: bigint, va: bigint, size: bigint, debugPagealloc = false): bigint {
  const page = names.pte.size;
  if (debugPagealloc) return page;
  for (const helper of [names.p4d, names.pud, names.pmd]) {
    if (helper.folded) continue;
    if (pa % helper.size === 0n && va % helper.size === 0n && size >= helper.size) return helper.size;
  }
  return page;
}
