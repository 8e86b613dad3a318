/**
 * `set_memory_*` and `set_direct_map_*`: changing the protection of kernel pages, together with their twins in the
 * linear map. Source: Linux 6.12 arch/riscv/mm/pageattr.c.
 */
import { ArgumentError, type Slot, type TableName, walkPageRange } from '@pagefold/core';
import { tableOf } from '../boot/create-mapping.ts';
import { entryFlags, type Xlen } from '../entry-bits.ts';
import { isNapot, napotPfn } from '../napot.ts';
import type { KernelTables } from './kernel-tables.ts';
import { type SplitLeaf, splitLinearMapping } from './split-linear.ts';

/** What can be asked for. */
export type SetMemoryCall = 'ro' | 'rw' | 'rw_nx' | 'x' | 'nx' | 'direct_map_invalid' | 'direct_map_default';

/** Entry bits to set and to clear. */
export interface PageAttributeMasks {
  readonly set: bigint;
  readonly clear: bigint;
}

/** Fields that each call sets and clears; `PAGE_KERNEL` spelled out in the last one. */
const MASKS: Readonly<Record<SetMemoryCall, readonly [set: string, clear: string]>> = {
  ro: ['r', 'w'],
  rw: ['r w', ''],
  rw_nx: ['r w', 'x'],
  x: ['x', ''],
  nx: ['', 'x'],
  direct_map_invalid: ['', 'v'],
  direct_map_default: ['v r w a d g', 'x'],
};

/** The masks of a call. */
export function pageAttributeMasks(call: SetMemoryCall, xlen: Xlen = 64): PageAttributeMasks {
  const [set, clear] = MASKS[call];
  const bits = (names: string): bigint => (names === '' ? 0n : entryFlags(xlen, names));
  return { set: bits(set), clear: bits(clear) };
}

/** What a call did. */
export interface SetMemoryResult {
  /** Leaves of the linear map that were split; they are never joined again. */
  readonly splits: readonly SplitLeaf[];
  /** Leaf entries whose word changed. */
  readonly changed: number;
  /** What Linux flushes: on RV64 everything, because a leaf larger than the range may have been split. */
  readonly flush: 'all' | 'range' | 'none';
}

/** Applies masks to every leaf in a range, of whatever size; entries that are empty stay empty. */
function applyMasks(tables: KernelTables, start: bigint, end: bigint, { set, clear }: PageAttributeMasks): number {
  const { names, root } = tables;
  let changed = 0;
  const change = (name: TableName, slot: Slot): undefined => {
    const word = slot.load();
    const helper = names.byName(name);
    if (name === 'pte' ? word === 0n : !helper.leaf(word)) return undefined;
    const next = (word & ~clear) | set;
    if (next === word) return undefined;
    helper.set(slot, next);
    changed++;
    return undefined;
  };
  walkPageRange(names, root, start, end, {
    pgd: (slot) => change('pgd', slot),
    p4d: (slot) => change('p4d', slot),
    pud: (slot) => change('pud', slot),
    pmd: (slot) => change('pmd', slot),
    pte: (slot) => change('pte', slot),
  });
  return changed;
}

/** What a leaf maps at an address. */
function leafTarget(tables: KernelTables, word: bigint, addr: bigint, bytes: bigint): bigint {
  if (isNapot(word)) return napotPfn(word) * 4096n + (addr & 0xffffn);
  return tableOf(tables.names, word) + (addr & (bytes - 1n));
}

/** The pages behind a range of vmalloc or module addresses, at their addresses in the linear map. */
function linearPages(tables: KernelTables, start: bigint, end: bigint): bigint[] {
  const { names, root, kernelMap } = tables;
  const pages: bigint[] = [];
  const page = names.pte.size;
  const add = (name: TableName, slot: Slot, addr: bigint, next: bigint): undefined => {
    const word = slot.load();
    const helper = names.byName(name);
    if (name !== 'pte' && !helper.leaf(word)) return undefined;
    if (word === 0n) throw new ArgumentError('not-mapped', 'part of the range is not mapped', { va: addr });
    for (let at = addr; at < next; at += page) pages.push(kernelMap.va(leafTarget(tables, word, at, helper.size)));
    return undefined;
  };
  walkPageRange(names, root, start, end, {
    pud: (slot, addr, next) => add('pud', slot, addr, next),
    pmd: (slot, addr, next) => add('pmd', slot, addr, next),
    pte: (slot, addr, next) => add('pte', slot, addr, next),
    hole: (addr) => {
      throw new ArgumentError('not-mapped', 'part of the range is not mapped', { va: addr });
    },
  });
  return pages;
}

/** Twins of a range in the linear map. */
function linearTwins(tables: KernelTables, start: bigint, end: bigint): { start: bigint; end: bigint }[] {
  const { kernelMap, names } = tables;
  if (kernelMap.isKernel(start)) return [{ start: kernelMap.lmAlias(start), end: kernelMap.lmAlias(end) }];
  if (kernelMap.isLinear(start)) return [{ start, end }];
  return linearPages(tables, start, end).map((at) => ({ start: at, end: at + names.pte.size }));
}

/**
 * `set_memory_ro` and its siblings. On RV64 the twin in the linear map changes too, and is split where the range ends
 * inside a leaf; the kernel's own large leaves and those of vmalloc are never split, but changed whole.
 * @param addr first address: of the linear map, of the kernel, or of vmalloc and modules
 * @param numpages pages of 4 KiB; 0 does nothing
 * @throws ArgumentError if something is not mapped, `set-memory` for an address that is no page; OutOfTablesError from
 *   the allocator
 */
export function setMemory(tables: KernelTables, call: SetMemoryCall, addr: bigint, numpages: number): SetMemoryResult {
  const page = tables.names.pte.size;
  if (addr % page !== 0n || !Number.isSafeInteger(numpages) || numpages < 0) {
    throw new ArgumentError('set-memory', 'a change of protection is for whole pages', { addr, numpages });
  }
  if (numpages === 0) return { splits: [], changed: 0, flush: 'none' };
  const xlen = tables.names.geometry.wordBits;
  const masks = pageAttributeMasks(call, xlen);
  const end = addr + page * BigInt(numpages);
  const splits: SplitLeaf[] = [];
  let changed = 0;
  if (xlen === 64) {
    for (const twin of linearTwins(tables, addr, end)) {
      splits.push(...splitLinearMapping(tables, twin.start, twin.end));
      changed += applyMasks(tables, twin.start, twin.end, masks);
    }
  }
  changed += applyMasks(tables, addr, end, masks);
  return { splits, changed, flush: xlen === 64 ? 'all' : 'range' };
}

/** `set_direct_map_invalid_noflush`: takes one page out of the linear map. It still counts as present: its G stays. */
export function setDirectMapInvalid(tables: KernelTables, addr: bigint): SetMemoryResult {
  return setMemory(tables, 'direct_map_invalid', addr, 1);
}

/** `set_direct_map_default_noflush`: puts it back. */
export function setDirectMapDefault(tables: KernelTables, addr: bigint): SetMemoryResult {
  return setMemory(tables, 'direct_map_default', addr, 1);
}
