/** Replays of the groups about geometries and single entries. */
import { createNames, type Paging, phys, SparseMemory, TABLE_NAMES, type TableName, writeWord } from '@pagefold/core';
import {
  entryMask,
  linuxPredicates,
  RISCV_MODES,
  type RiscvFeature,
  type RiscvMode,
  riscvGeometries,
  riscvPaging,
  SATP_MODES,
} from '../../src/index.ts';
import { type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

const FEATURES = ['svnapot', 'svpbmt'] as const;

/** The extensions that are on in a record's `ext`. */
export function featuresOf(ext: Json): RiscvFeature[] {
  knowsMembers(ext, FEATURES);
  return FEATURES.filter((name) => ext[name] === true);
}

const pagings = new Map<string, Paging>();

/** A mode's paging, compiled once. */
export function pagingOf(mode: RiscvMode, features: readonly RiscvFeature[]): Paging {
  const key = [mode, ...features].join(' ');
  const paging = pagings.get(key) ?? riscvPaging(mode, features);
  pagings.set(key, paging);
  return paging;
}

/** `geometry`: everything that follows from a mode, with Linux's constants as built and its folded names. */
export function geometry(record: unknown): void {
  const expected = record as Json;
  const mode = wordIn(expected, 'mode', RISCV_MODES);
  const paging = riscvPaging(mode, mode === 'sv32' ? [] : ['svnapot']);
  const { levels, names, ranges, root, vaBits, paBits, wordBits } = paging.geometry;
  const ppn = entryMask(wordBits, 'ppn');
  const ppnShift = (ppn & -ppn).toString(2).length - 1;
  const [low, high] = ranges;
  const ends = (range: (typeof ranges)[number] | undefined) =>
    range === undefined ? null : [BigInt(range.start), BigInt(range.end) - 1n];
  const built = riscvGeometries[mode].folding?.built ?? {};
  sameMembers(
    {
      mode,
      xlen: wordBits,
      va_bits: vaBits,
      pa_bits: paBits,
      levels: levels.length,
      index_bits: root.indexBits,
      entries: root.entries,
      pte_size: paging.format.entryBytes,
      table_bytes: root.tableBytes,
      ppn_bits: ppn.toString(2).length - ppnShift,
      ppn_shift: ppnShift,
      satp_mode: SATP_MODES[mode],
      canonical: { low: ends(low), high: ends(high), sign_bit: high === undefined ? null : vaBits - 1 },
      level: levels.map((level) => ({
        level: level.hardware,
        linux: level.name.toLowerCase(),
        shift: level.shift,
        index_bits: level.indexBits,
        entries: level.entries,
        leaf_size: BigInt(level.entrySpan),
        table_span: BigInt(level.entrySpan) * BigInt(level.entries),
        index_mask: BigInt(level.entries - 1) << BigInt(level.shift),
      })),
      linux: {
        PGDIR_SHIFT: names.pgd.shift,
        P4D_SHIFT: names.p4d.shift,
        PUD_SHIFT: names.pud.shift,
        PMD_SHIFT: names.pmd.shift,
        PAGE_SHIFT: names.pte.shift,
        PTRS_PER_PGD: names.pgd.entries,
        PTRS_PER_P4D: names.p4d.entries,
        PTRS_PER_PUD: names.pud.entries,
        PTRS_PER_PMD: names.pmd.entries,
        PTRS_PER_PTE: names.pte.entries,
        CONFIG_PGTABLE_LEVELS: TABLE_NAMES.filter((name) => !names[name].folded || built[name]).length,
        pgtable_l4_enabled: !names.pud.folded,
        pgtable_l5_enabled: !names.p4d.folded,
      },
      linux_folded: TABLE_NAMES.filter((name) => names[name].folded),
      napot_sizes: paging.leafChoices.filter(({ shape }) => shape === 'napot').map(({ leafBytes }) => leafBytes),
    },
    expected,
  );
}

/** What Linux says of an entry that stands at a hardware level, reached through folded names if that is how it is. */
function linuxView(paging: Paging, level: number, entry: bigint): Json {
  const { wordBits, names: views, levels } = paging.geometry;
  const config = { xlen: wordBits, thp: true };
  const predicates = linuxPredicates(config);
  const memory = new SparseMemory();
  const at = phys(0x8000_0000n);
  writeWord(memory, at, entry, paging.format.entryBytes);
  const helpers = createNames(memory, paging, { predicates });
  // Names that share a slot with this one, from the top; the lowest owns the word and judges it.
  const sharing = TABLE_NAMES.filter((name) => views[name].level === level);
  const owner = sharing.at(-1) as TableName;
  const name = levels[level]?.name.toLowerCase();
  const view: Record<string, unknown> = { name, none: helpers.byName(owner).none(entry) };
  if (level === 0) {
    const { pte } = predicates;
    const { none: _, pfn, ...tests } = pte;
    for (const [test, holds] of Object.entries(tests)) view[test] = (holds as (word: bigint) => boolean)(entry);
    view.pfn = pfn(entry);
    if (wordBits === 64) view.pfn_svnapot = linuxPredicates({ ...config, svnapot: true }).pte.pfn(entry);
    return view;
  }
  const helper = helpers.byName(owner);
  Object.assign(view, { present: helper.present(entry), bad: helper.bad(entry), leaf: helper.leaf(entry) });
  if (owner !== name) view.as = owner;
  for (const folded of sharing.slice(0, -1)) {
    const above = helpers.byName(folded);
    view[`${folded}_none`] = above.none(entry);
    view[`${folded}_present`] = above.present(entry);
    view[`${folded}_bad`] = above.bad(entry);
  }
  return view;
}

const KINDS = { empty: 'invalid', table: 'table', leaf: 'leaf', malformed: 'malformed' } as const;

const PTE_GIVEN = ['id', 'mode', 'level', 'pte', 'ext', 'fields', 'linux'];
const PTE_FOUND = ['kind', 'reasons', 'pa', 'size', 'napot', 'next_table'];

/** `pte`: fields, kind, reasons as a set, addresses, and all of Linux's tests. */
export function pte(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, [...PTE_GIVEN, ...PTE_FOUND]);
  const mode = wordIn(expected, 'mode', RISCV_MODES);
  const paging = pagingOf(mode, featuresOf(expected.ext as Json));
  const level = Number(expected.level);
  const entry = numberIn(expected, 'pte');
  const { kind, fields, reasons, address, leafBytes, shape } = paging.decode(level, entry);
  const fieldsAsWritten = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, name === 'ppn' ? value : Number(value)]),
  );
  sameMembers(fieldsAsWritten, expected.fields as Json);
  const wanted: Record<string, unknown> = { ...expected };
  if (Array.isArray(expected.reasons)) wanted.reasons = [...expected.reasons].sort();
  const seen: Record<string, unknown> = { kind: KINDS[kind] };
  if (kind === 'malformed') seen.reasons = [...reasons].sort();
  if (kind === 'leaf') Object.assign(seen, { pa: address, size: leafBytes, napot: shape === 'napot' });
  if (kind === 'table') seen.next_table = address;
  sameMembers(seen, wanted, PTE_FOUND);
  sameMembers(linuxView(paging, level, entry), expected.linux as Json);
  if (kind === 'leaf' || kind === 'table') sameMembers({ pte: rebuilt(paging, level, entry) }, expected, ['pte']);
}

/** The entry taken apart and put together again. */
function rebuilt(paging: Paging, level: number, entry: bigint): bigint {
  const { kind, fields, address = 0n, shape } = paging.decode(level, entry);
  const { ppn: _, ...rest } = fields;
  const values = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, Number(value)]));
  if (kind === 'table') return paging.encodeTable(level, address, values);
  return paging.encodeLeaf(level, address, values, shape);
}
