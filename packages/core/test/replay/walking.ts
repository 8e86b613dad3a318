/** Replays the groups of the generic vectors that walk, fill or free tables. */
import { phys } from '../../src/address.ts';
import { populateEarlyShadow, type SharedShadow } from '../../src/early-shadow.ts';
import { folioPteBatch, type PteState } from '../../src/folio-batch.ts';
import { freePageTables } from '../../src/free-range.ts';
import { TABLE_NAMES, type TableName } from '../../src/geometry.ts';
import type { LinuxNames, Slot } from '../../src/linux-names.ts';
import { walkPageRange } from '../../src/walk-page-range.ts';
import { toyLeaf, toyPaging } from '../toy-format.ts';
import { hexOf, same } from './same.ts';
import { ROOT, slotFor, toyTree } from './toy-tree.ts';

interface FreeRecord {
  levels: number;
  addr: string;
  end: string;
  floor: string;
  ceiling: string;
  expect: Record<'pte' | 'pmd' | 'pud' | 'p4d', string[]>;
}

/** One record of the group `freeRange`. */
export function freeRange(record: unknown): void {
  const { levels, addr, end, floor, ceiling, expect } = record as FreeRecord;
  const { allocator, names } = toyTree(toyPaging(levels));
  const start = BigInt(addr);
  for (let va = start & names.pmd.mask; va < BigInt(end); va += names.pmd.size) slotFor(names, va, 'pte');
  const bounds = { floor: BigInt(floor), ceiling: BigInt(ceiling) };
  const freed = freePageTables(names, ROOT, start, BigInt(end), bounds);
  for (const name of ['pte', 'pmd', 'pud', 'p4d'] as const) {
    const starts = freed.filter((table) => table.name === name).map((table) => hexOf(table.start));
    same(starts, expect[name], `${name} tables freed`);
  }
  const given = allocator.events.filter(({ op }) => op === 'free').map(({ address }) => address);
  same(
    given,
    freed.map(({ address }) => address),
    'tables given back',
  );
}

interface WalkRecord {
  levels: number;
  leaves: { va: string; level: TableName }[];
  start: string;
  end: string;
  ops: string[];
  expect: (string | number)[][];
}

/** One record of the group `walkEvents`. */
export function walkEvents(record: unknown): void {
  const { levels, leaves, start, end, ops, expect } = record as WalkRecord;
  const { names } = toyTree(toyPaging(levels));
  for (const { va, level } of leaves) {
    names.byName(level).set(slotFor(names, BigInt(va), level), toyLeaf(0x4000_0000n));
  }
  const events: (string | number)[][] = [];
  const wants = (name: string): boolean => ops.includes(name);
  const entry = (name: TableName) => (_slot: Slot, addr: bigint, next: bigint) => {
    events.push([`${name}_entry`, hexOf(addr), hexOf(next)]);
    return undefined;
  };
  walkPageRange(names, ROOT, BigInt(start), BigInt(end), {
    ...(wants('pgd_entry') && { pgd: entry('pgd') }),
    ...(wants('p4d_entry') && { p4d: entry('p4d') }),
    ...(wants('pud_entry') && { pud: entry('pud') }),
    ...(wants('pmd_entry') && { pmd: entry('pmd') }),
    ...(wants('pte_entry') && {
      pte: (_slot: Slot, addr: bigint, next: bigint) => {
        const last = events.at(-1);
        if (last?.[0] === 'pte_entry*' && last[2] === hexOf(addr)) {
          last[2] = hexOf(next);
          last[3] = Number(last[3]) + 1;
        } else events.push(['pte_entry*', hexOf(addr), hexOf(next), 1]);
        return undefined;
      },
    }),
    ...(wants('pte_hole') && {
      hole: (addr: bigint, next: bigint, depth: number) => {
        events.push(['pte_hole', hexOf(addr), hexOf(next), depth]);
        return undefined;
      },
    }),
  });
  same(events, expect, `walk ${start}-${end}`);
}

interface BatchRecord {
  folio: { firstPfn: number; pages: number };
  ignoreDirty: boolean;
  ignoreSoftDirty: boolean;
  max: number;
  ptes: (Omit<PteState, 'rest'> & { user: boolean })[];
  expect: { nr: number; anyWritable: boolean; anyYoung: boolean; anyDirty: boolean };
}

/** One record of the group `pteBatch`. */
export function pteBatch(record: unknown): void {
  const { folio, ignoreDirty, ignoreSoftDirty, max, ptes, expect } = record as BatchRecord;
  const states = ptes.map(({ user, ...pte }): PteState => ({ ...pte, rest: user ? 1n : 0n }));
  same(folioPteBatch(states, folio, { max, ignoreDirty, ignoreSoftDirty }), expect, 'batch');
}

const SHARED: SharedShadow = {
  p4d: phys(0x20_0000n),
  pud: phys(0x20_1000n),
  pmd: phys(0x20_2000n),
  pte: phys(0x20_3000n),
  pageEntry: toyLeaf(0x20_4000n),
};

interface ShadowRecord {
  levels: number;
  start: string;
  end: string;
  expect: { entries: string[][]; allocatedTables: string[][] };
}

/** What entries of a tree point to shared things, as runs of equal neighbours. */
function sharedRuns(names: LinuxNames, start: bigint, end: bigint): string[][] {
  const runs: string[][] = [];
  const note = (name: TableName, addr: bigint, next: bigint, target: string): void => {
    const last = runs.at(-1);
    if (last !== undefined && last[0] === name && last[2] === hexOf(addr) && last[3] === target) last[2] = hexOf(next);
    else runs.push([name, hexOf(addr), hexOf(next), target]);
  };
  const tables = ['p4d', 'pud', 'pmd', 'pte'] as const;
  const visit = (depth: number, parent: Slot | typeof ROOT, from: bigint, to: bigint): void => {
    const helper = names.byName(TABLE_NAMES[depth] as TableName);
    let addr = from;
    do {
      const next = helper.addrEnd(addr, to);
      const slot = helper.offset(parent, addr);
      const word = slot.load();
      // The vectors name an entry after the first of the names that share it.
      const real = TABLE_NAMES.find((name) => names[name].level === helper.level) ?? helper.name;
      const target = tables.find((name) => !helper.trivial && word === (SHARED[name] | 3n));
      if (helper.name === 'pte') {
        if (word !== 0n) note('pte', addr, next, word === SHARED.pageEntry ? 'shared page, read-only' : hexOf(word));
      } else if (target !== undefined) note(real, addr, next, `shared ${target} table`);
      else if (!helper.none(word)) visit(depth + 1, slot, addr, next);
      addr = next;
    } while (addr !== to);
  };
  visit(0, ROOT, start, end);
  return runs;
}

/** One record of the group `earlyShadow`. */
export function earlyShadow(record: unknown): void {
  const { levels, start, end, expect } = record as ShadowRecord;
  const { allocator, names } = toyTree(toyPaging(levels));
  populateEarlyShadow(names, ROOT, BigInt(start), BigInt(end), SHARED);
  same(sharedRuns(names, BigInt(start), BigInt(end)), expect.entries, 'entries');
  const made = allocator.events.map(({ level, va }) => [
    TABLE_NAMES.find((name) => names[name].level === level && !names[name].folded),
    hexOf(va),
  ]);
  same(made, expect.allocatedTables, 'allocated tables');
}

interface CountRecord {
  levels: number;
  mapPagesAt: string[];
  expect: { tables: Record<'pte' | 'pmd' | 'pud' | 'p4d', number>; pgtablesBytes: number };
}

/** One record of the group `counts`. */
export function counts(record: unknown): void {
  const { levels, mapPagesAt, expect } = record as CountRecord;
  const { counter, names } = toyTree(toyPaging(levels));
  for (const va of mapPagesAt) names.byName('pte').set(slotFor(names, BigInt(va), 'pte'), toyLeaf(0x4000_0000n));
  const { pgd, ...tables } = counter.tables;
  same(pgd, 0, 'roots');
  for (const name of ['pte', 'pmd', 'pud', 'p4d'] as const) same(tables[name], expect.tables[name], `${name} tables`);
  same(counter.pgtablesBytes, expect.pgtablesBytes, 'bytes');
}
