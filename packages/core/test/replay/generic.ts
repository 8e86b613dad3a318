/**
 * Replays the generic test vectors. Each group is a function that checks one record of it and throws on a mismatch;
 * nothing here depends on a test runner.
 */
import { phys, virt } from '../../src/address.ts';
import { TABLE_NAMES, type TableName } from '../../src/geometry.ts';
import { createShadow } from '../../src/kasan.ts';
import { createNames, type Slot } from '../../src/linux-names.ts';
import { SparseMemory, writeWord } from '../../src/memory.ts';
import { NotePage, type NotePageStyle } from '../../src/note-page.ts';
import type { Paging } from '../../src/paging.ts';
import { addrEnd } from '../../src/range.ts';
import { longPaging, shortPaging, toyPaging } from '../toy-format.ts';
import { foldingHelpers } from './folding-helpers.ts';
import { hexOf, same } from './same.ts';
import { slotFor, toyTree } from './toy-tree.ts';
import { counts, earlyShadow, freeRange, pteBatch, walkEvents } from './walking.ts';

interface GeometryRecord {
  levels: number;
  folded: Partial<Record<TableName, boolean>>;
  shift: Record<TableName, number>;
  ptrsCompileTime: Record<TableName, number>;
  size: Record<TableName, string>;
  definesFolded: string[];
  mm_folded: Record<string, boolean>;
}

function geometries(record: unknown): void {
  const { levels, folded, shift, ptrsCompileTime, size, definesFolded, mm_folded } = record as GeometryRecord;
  const names = createNames(new SparseMemory(), toyPaging(levels));
  for (const name of TABLE_NAMES) {
    const helper = names[name];
    same(helper.folded, folded[name] ?? false, `${name} folded`);
    same(helper.shift, shift[name], `${name} shift`);
    same(helper.entries, ptrsCompileTime[name], `${name} entries`);
    same(helper.tableEntries, ptrsCompileTime[name], `${name} table entries`);
    same(hexOf(helper.size), size[name], `${name} size`);
    same(helper.mask, BigInt.asUintN(64, ~(helper.size - 1n)), `${name} mask`);
  }
  const foldedNames = TABLE_NAMES.filter((name) => names[name].folded);
  same(
    foldedNames.map((name) => `__PAGETABLE_${name.toUpperCase()}_FOLDED`),
    definesFolded,
    'folded symbols',
  );
  for (const [key, value] of Object.entries(mm_folded)) {
    same(names[key.split('_')[1] as TableName].folded, value, key);
  }
}

interface TruthRecord {
  levels: number;
  name: TableName;
  entry: string;
  trivial: boolean;
  expect: Record<string, 0 | 1>;
}

function foldingTruth(record: unknown): void {
  const { levels, name, entry, trivial, expect } = record as TruthRecord;
  const { memory, names } = toyTree(toyPaging(levels));
  const helper = names.byName(name);
  const slot = slotFor(names, 0n, name);
  writeWord(memory, slot.address, BigInt(entry));
  same(helper.trivial, trivial, 'trivial');
  const tests = { none: helper.none, present: helper.present, bad: helper.bad, leaf: helper.leaf };
  for (const [key, value] of Object.entries(expect)) {
    const what = key.slice(name.length + 1);
    const answer =
      what === 'none_or_clear_bad'
        ? helper.noneOrClearBad(slot)
        : tests[what as keyof typeof tests].call(helper, BigInt(entry));
    same(answer ? 1 : 0, value, `${key}(${entry})`);
  }
}

interface OffsetsRecord {
  levels: number;
  root: string;
  va: string;
  mem: Record<string, string>;
  expect: Record<TableName, string>;
}

function offsets(record: unknown): void {
  const { levels, root, va, mem, expect } = record as OffsetsRecord;
  const memory = new SparseMemory();
  for (const [at, word] of Object.entries(mem)) writeWord(memory, phys(BigInt(at)), BigInt(word));
  const { pgd, p4d, pud, pmd, pte } = createNames(memory, toyPaging(levels));
  const address = virt(BigInt(va));
  const pgdp = pgd.offset(phys(BigInt(root)), address);
  const p4dp = p4d.offset(pgdp, address);
  const pudp = pud.offset(p4dp, address);
  const pmdp = pmd.offset(pudp, address);
  const ptep = pte.offset(pmdp, address);
  const slots: Record<TableName, Slot> = { pgd: pgdp, p4d: p4dp, pud: pudp, pmd: pmdp, pte: ptep };
  for (const name of TABLE_NAMES) same(hexOf(slots[name].address), expect[name], `${name} slot`);
  same(p4d.folded, Object.is(p4dp, pgdp), 'p4d slot is the pgd slot');
  same(pud.folded, Object.is(pudp, p4dp), 'pud slot is the p4d slot');
  same(pmd.folded, Object.is(pmdp, pudp), 'pmd slot is the pud slot');
}

interface AddrEndRecord {
  bits: 32 | 64;
  shift: number;
  addr: string;
  end: string;
  folded: boolean;
  expect: string;
}

function addrEnds(record: unknown): void {
  const { bits, shift, addr, end, folded, expect } = record as AddrEndRecord;
  same(hexOf(addrEnd(BigInt(addr), BigInt(end), shift, bits, folded)), expect, `addrEnd(${addr}, ${end})`);
}

const ITERATED: Record<string, () => Paging> = {
  toy2: () => toyPaging(2),
  toy3: () => toyPaging(3),
  toy4: () => toyPaging(4),
  toy5: () => toyPaging(5),
  'arm-short': () => shortPaging,
  'arm-lpae': () => longPaging,
};

interface IterationRecord {
  geometry: string;
  start: string;
  end: string;
  expect: Record<string, [string, string][]>;
}

function rangeIteration(record: unknown): void {
  const { geometry, start, end, expect } = record as IterationRecord;
  const paging = ITERATED[geometry]?.();
  if (paging === undefined) throw new Error(`unknown geometry ${geometry}`);
  const { pgd, p4d, pud, pmd } = createNames(new SparseMemory(), paging);
  const nested = [pgd, p4d, pud, pmd];
  const visited: Record<string, [string, string][]> = { pgd: [], p4d: [], pud: [], pmd: [] };
  const loop = (depth: number, from: bigint, to: bigint): void => {
    const helper = nested[depth];
    if (helper === undefined) return;
    let addr = from;
    do {
      const next = helper.addrEnd(addr, to);
      visited[helper.name]?.push([hexOf(addr), hexOf(next)]);
      loop(depth + 1, addr, next);
      addr = next;
    } while (addr !== to);
  };
  loop(0, BigInt(start), BigInt(end));
  same(visited, expect, `${geometry} ${start}-${end}`);
}

interface KasanRecord {
  bits: 32 | 64;
  scale: number;
  offset: string;
  addr: string;
  shadow: string;
  granuleStart: string;
  granuleBytes: number;
  indexInGranule: number;
  end: string;
}

function kasan(record: unknown): void {
  const { bits, scale, offset, addr, shadow, granuleStart, granuleBytes, indexInGranule, end } = record as KasanRecord;
  const config = createShadow({ scale, offset: BigInt(offset), wordBits: bits });
  const granule = config.granuleOf(BigInt(addr));
  same(hexOf(config.shadowOf(BigInt(addr))), shadow, `shadow of ${addr}`);
  same(hexOf(config.addressOf(BigInt(shadow))), granuleStart, `address of ${shadow}`);
  same(hexOf(granule.start), granuleStart, 'granule start');
  same(Number(granule.bytes), granuleBytes, 'granule bytes');
  same(Number(granule.index), indexInGranule, 'index in granule');
  same(hexOf(config.end), end, 'end of the shadow');
}

/** The three dumps that the vectors speak of. */
const STYLES: Record<string, NotePageStyle> = {
  arm: { recordsFirst: false, markers: 'one', printsUnmapped: false, wordBits: 32 },
  arm64: { recordsFirst: true, markers: 'change-plus-one', printsUnmapped: true },
  riscv: { recordsFirst: true, markers: 'all-passed', printsUnmapped: false },
};

interface PtdumpRecord {
  variant: string;
  markers: { at: string; name: string }[];
  notes: { addr: string; level: number; prot: string }[];
  expect: unknown[];
}

function ptdump(record: unknown): void {
  const { variant, markers, notes, expect } = record as PtdumpRecord;
  const style = STYLES[variant];
  if (style === undefined) throw new Error(`unknown variant ${variant}`);
  const dump = new NotePage({ style, markers: markers.map(({ at, name }) => ({ at: BigInt(at), name })) });
  for (const { addr, level, prot } of notes) dump.note({ addr: BigInt(addr), level, prot: BigInt(prot) });
  const lines = dump
    .finish()
    .map((line) =>
      'marker' in line
        ? line
        : { range: line.range.map(hexOf), size: line.size, level: line.level, prot: hexOf(line.prot) },
    );
  same(lines, expect, `${variant} dump`);
}

/** A check of one record of a group; `file` is the whole vector file. */
export type Replay = (record: unknown, file: unknown) => void;

/** The groups of `generic.json` that this package answers, by key. */
export const groups: Record<string, Replay> = {
  geometries,
  foldingTruth,
  foldingHelpers,
  offsets,
  addrEnd: addrEnds,
  rangeIteration,
  kasan,
  ptdump,
  freeRange,
  walkEvents,
  pteBatch,
  earlyShadow,
  counts,
};
