/** Replays of the groups about Linux's view: indices, page entries, pairs, supersections, layouts. */
import { createNames, PagefoldError, phys, readWord, SparseMemory, writeWord } from '@pagefold/core';
import {
  armLayout,
  createArmNames,
  hardwarePte,
  LINUX_TYPES,
  linuxField,
  linuxPaging,
  linuxPredicates,
  type PteModel,
  planSupersections,
  secondWordIsLeaf,
  shortGeometry,
  type VmSplit,
} from '../../src/index.ts';
import { type Json, numberIn, sameRecord } from './compare.ts';

/** Hardware and Linux constants of one format. */
export function geometry(record: unknown): void {
  const { format, hw, linux } = record as { format: 'short' | 'lpae'; hw: Json; linux: Json };
  const memory = new SparseMemory();
  const names = createNames(memory, linuxPaging(format), { predicates: linuxPredicates(format) });
  const { pgd, p4d, pud, pmd, pte, geometry: found } = names;
  const pairs = found.folding.pairs;
  const [leaf, middle] = found.levels;
  const top = found.root;
  const layout = armLayout({ lpae: format === 'lpae' }).facts;
  const belowKernel = (layout.PAGE_OFFSET ?? 0n) + 0x8000n - (layout.swapper_pg_dir ?? 0n);
  const runs = names.paging.leafChoices.filter(({ runEntries }) => runEntries > 1);
  const hwBytes = pairs === undefined ? 0 : pairs.upperEntries * (leaf?.tableBytes ?? 0);
  const hardware: Json =
    format === 'short'
      ? {
          l1Entries: top.entries,
          l1EntryBytes: names.paging.format.entryBytes,
          l1TableBytes: top.tableBytes,
          l1Align: top.alignBytes,
          l1EntryCoversBytes: top.entrySpan,
          l2Entries: leaf?.entries,
          l2EntryBytes: names.paging.format.entryBytes,
          l2TableBytes: leaf?.tableBytes,
          l2Align: leaf?.alignBytes,
          pageBytes: leaf?.entrySpan,
          largePageBytes: Number(runs.find(({ shape }) => shape === 'large')?.leafBytes),
          sectionBytes: top.entrySpan,
          supersectionBytes: runs.find(({ shape }) => shape === 'supersection')?.leafBytes,
          largePageRepeats: runs.find(({ shape }) => shape === 'large')?.runEntries,
          supersectionRepeats: runs.find(({ shape }) => shape === 'supersection')?.runEntries,
        }
      : {
          l1Entries: top.entries,
          l2Entries: middle?.entries,
          l3Entries: leaf?.entries,
          entryBytes: names.paging.format.entryBytes,
          tableBytes: leaf?.tableBytes,
          l1EntryCoversBytes: top.entrySpan,
          l2EntryCoversBytes: middle?.entrySpan,
          pageBytes: leaf?.entrySpan,
          paBits: found.paBits,
        };
  sameRecord(hardware, hw, 'hw');
  const sectionShift = Math.log2((format === 'short' ? top : middle)?.entrySpan ?? 0);
  const overlay: Json = {
    levels: found.levels.length,
    PTRS_PER_PGD: pgd.entries,
    PTRS_PER_P4D: p4d.entries,
    PTRS_PER_PUD: pud.entries,
    PTRS_PER_PMD: pmd.entries,
    PTRS_PER_PTE: pte.entries,
    PGDIR_SHIFT: pgd.shift,
    P4D_SHIFT: p4d.shift,
    PUD_SHIFT: pud.shift,
    PMD_SHIFT: pmd.shift,
    SECTION_SHIFT: sectionShift,
    ...(format === 'short' ? { SUPERSECTION_SHIFT: 24 } : {}),
    pgdEntryBytes: pgd.slotBytes,
    pmdEntryBytes: names.paging.format.entryBytes,
    pteEntryBytes: pte.slotBytes,
    PTE_HWTABLE_PTRS: hwBytes / 4,
    PTE_HWTABLE_OFF: pairs?.hardwareOffset ?? 0,
    // Without a hardware table of its own, a page of entries is the table.
    PTE_HWTABLE_SIZE: pairs === undefined ? leaf?.tableBytes : hwBytes,
    pgdBytes: top.tableBytes,
    swapperBelowKernel: belowKernel,
    // Prose; the numbers behind it are those above.
    ...(linux.swapperLayout === undefined ? {} : { swapperLayout: linux.swapperLayout }),
  };
  sameRecord(overlay, linux, 'linux');
}

/** Indices and offsets of one address. */
export function geometryCase(record: unknown): void {
  const { short, lpae } = record as { short: Json; lpae: Json };
  const va = numberIn(record as Json, 'va');
  const tree = (format: 'short' | 'lpae') => createArmNames(format, new SparseMemory());
  const small = tree('short');
  const [l2, l1] = shortGeometry().levels;
  const index = (level: { shift: number; indexBits: number } | undefined): number =>
    level === undefined ? -1 : Number((va >> BigInt(level.shift)) & ((1n << BigInt(level.indexBits)) - 1n));
  const root = phys(0x4000n);
  const pgdOffset = Number(small.pgd.offset(root, va).address - root);
  const l1Offset = index(l1) * 4;
  const pteOffset = small.pte.index(va) * small.pte.slotBytes;
  const pairs = small.geometry.folding.pairs;
  sameRecord(
    {
      l1Index: index(l1),
      l1EntryOffset: l1Offset,
      l2Index: index(l2),
      pgdIndex: small.pgd.index(va),
      pgdEntryOffset: pgdOffset,
      pmdWord: (l1Offset - pgdOffset) / 4,
      pteIndex: small.pte.index(va),
      linuxPteOffset: pteOffset,
      hwPteOffset: pteOffset + (pairs?.hardwareOffset ?? 0),
    },
    short,
    'short',
  );
  const long = tree('lpae');
  sameRecord(
    {
      pgdIndex: long.pgd.index(va),
      pmdIndex: long.pmd.index(va),
      pteIndex: long.pte.index(va),
      // The root's page comes first, then the second-level tables in their order.
      pmdByteOffsetFromSwapper: 0x1000 * (long.pgd.index(va) + 1) + long.pmd.index(va) * long.pmd.slotBytes,
    },
    lpae,
    'lpae',
  );
}

/** Names of flags in the vectors, and the fields and values behind them. */
function flagWords(model: 'short' | 'lpae', linux: bigint): string[] {
  const set = (name: string): boolean => linuxField(model, name, linux) !== 0n;
  const names =
    model === 'short'
      ? ['present', 'young', 'dirty', 'rdonly', 'user', 'xn', 'shared', 'none']
      : ['user', 'shared', 'young', 'xn', 'pxn', 'dirty', 'special', 'none', 'rdonly', 'nG'];
  const words = names.filter(set).map((name) => name.toUpperCase());
  if (model === 'lpae') {
    const present = linuxField('lpae', 'present', linux);
    return [...((present & 1n) === 0n ? [] : ['VALID']), ...(present === 3n ? ['PRESENT'] : []), ...words];
  }
  const type = Number(linuxField(model, 'type', linux));
  const [word] = Object.entries(LINUX_TYPES.short).find(([, value]) => value === type) ?? [];
  return [...words, `MT_${word}`];
}

/** The hardware word of one page entry. */
export function linuxPte(record: unknown): void {
  const { model, linuxFlags } = record as { model: PteModel; linuxFlags: readonly string[] };
  const linux = numberIn(record as Json, 'linux');
  const hw = hardwarePte(model, linux, numberIn(record as Json, 'ext'));
  sameRecord({ hw }, { hw: (record as Json).hw }, model);
  const known = flagWords(model === 'v7-lpae' ? 'lpae' : 'short', linux);
  const missing = linuxFlags.filter((word) => !known.includes(word));
  if (missing.length > 0) throw new Error(`flags ${missing.join(' ')} are not in the word`);
  // Through the helpers, both words.
  if (model === 'v7-lpae') return;
  const memory = new SparseMemory();
  const names = createArmNames('short', memory, { pteModel: model });
  const page = phys(0x8000n);
  const pmd = names.pmd.offset(names.pud.offset(names.p4d.offset(names.pgd.offset(phys(0x4000n), 0n), 0n), 0n), 0n);
  names.pmd.populate(pmd, page);
  names.pte.set(names.pte.offset(pmd, 0n), linux, numberIn(record as Json, 'ext'));
  const words = { linux: readWord(memory, page, 4), hw: readWord(memory, phys(page + 2048n), 4) };
  sameRecord(words, { linux: (record as Json).linux, hw: (record as Json).hw }, 'stored');
}

/** What the kernel's tests say of one pair. */
export function linuxPmd(record: unknown): void {
  const memory = new SparseMemory();
  const names = createArmNames('short', memory);
  const root = phys(0x4000n);
  const word1 = numberIn(record as Json, 'word1');
  writeWord(memory, root, numberIn(record as Json, 'word0'), 4);
  writeWord(memory, phys(root + 4n), word1, 4);
  const { pgd, p4d, pud, pmd } = names;
  const slot = pgd.offset(root, 0n);
  const word = slot.load();
  sameRecord(
    {
      pmd_none: pmd.none(word),
      pmd_present: pmd.present(word),
      pmd_leaf: pmd.leaf(word),
      pmd_bad: pmd.bad(word),
      secondWordIsLeaf: secondWordIsLeaf(word1),
      pgd_none: pgd.none(word),
      pgd_present: pgd.present(word),
      p4d_none: p4d.none(word),
      pud_none: pud.none(word),
      pud_present: pud.present(word),
      pud_bad: pud.bad(word),
    },
    (record as Json).expect,
    'tests',
  );
}

/** One table, linked. */
export function pmdPopulate(record: unknown): void {
  const { format } = record as { format: 'short' | 'lpae' };
  const memory = new SparseMemory();
  const names = createArmNames(format, memory, { tableBits: numberIn(record as Json, 'prot') });
  const slot = names.pmd.next(names.pgd.offset(phys(0x4000n), 0n) as never);
  names.pmd.populate(slot, phys(numberIn(record as Json, 'ptePage')));
  const bytes = format === 'short' ? 4 : 8;
  const words = {
    word0: readWord(memory, slot.address, bytes),
    ...(format === 'short' ? { word1: readWord(memory, phys(slot.address + 4n), 4) } : {}),
  };
  const { word0, word1 } = record as Json;
  sameRecord(words, { word0, ...(word1 === undefined ? {} : { word1 }) }, 'words');
}

/** What an error of the vectors is called here. */
const SUPERSECTION_RULES: Readonly<Record<string, string>> = {
  'va not 16 MiB aligned': 'supersection-va',
  'pa not 16 MiB aligned': 'supersection-pa',
  'domain is not 0': 'supersection-domain',
};

/** One supersection, or a refusal. */
export function supersection(record: unknown): void {
  const { error, domain = 0 } = record as { error?: string; domain?: number };
  const [va, pa] = [numberIn(record as Json, 'va'), numberIn(record as Json, 'pa')];
  if (error !== undefined) {
    try {
      planSupersections({ va, pa, prot: 2n, domain });
    } catch (thrown) {
      if (thrown instanceof PagefoldError && thrown.rule === SUPERSECTION_RULES[error]) return;
      throw thrown;
    }
    throw new Error(`not refused: ${error}`);
  }
  const [plan] = planSupersections({ va, pa, prot: numberIn(record as Json, 'prot') });
  const { firstL1Index, count, word } = record as Json;
  sameRecord(
    { firstL1Index: plan?.firstIndex, count: plan?.count, word: plan?.word },
    { firstL1Index, count, word },
    'words',
  );
}

/** One layout. */
export function layout(record: unknown): void {
  const { cfg, expect } = record as { cfg: Json; expect: Json };
  const start = numberIn(cfg, 'physOffset');
  const { facts } = armLayout({
    vmsplit: cfg.vmsplit as VmSplit,
    lpae: cfg.lpae === true,
    kasan: cfg.kasan === true,
    highmem: cfg.highmem === true,
    thumb2: cfg.thumb2 === true,
    vmallocBytes: numberIn(cfg, 'vmalloc'),
    memory: [{ start, end: start + numberIn(cfg, 'ramBytes') }],
    physOffset: start,
  });
  const { PHYS_OFFSET: _, ...compared } = facts;
  sameRecord(compared, expect, 'numbers');
}
