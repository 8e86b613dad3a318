/**
 * Geometry: how a virtual address is cut into indices, at run time, and how the five names of Linux fold onto the
 * levels that are really there. One geometry object per tree of tables.
 */

import { FormatError } from './errors.ts';
import type { BitRange } from './format.ts';
import { type CompleteGeometry, completeGeometry } from './format-defaults.ts';

/** One level that has tables of its own. */
export interface LevelDescription {
  /** Lowest bit of the virtual address that the index covers; also log2 of the bytes that one entry maps. */
  readonly shift: number;
  /**
   * Bits of the index; a table has `2 ** indexBits` entries. A partial root has fewer than the levels below it, a root
   * of several concatenated tables has more.
   */
  readonly indexBits: number;
  /** Alignment of a table in bytes. Not supplied: its size rounded up to a power of two. */
  readonly alignBytes?: number;
  /** The hardware's own number of this level, for output. Not supplied: counted from the leaves. */
  readonly hardware?: number;
  /** The name of the level for people: `PMD`, `level 2`. Not supplied: `level N`. */
  readonly name?: string;
  /** The name of a leaf here: `megapage`, `section`. Not supplied: none. */
  readonly leafName?: string;
}

/** The five names, from the root down. */
export const TABLE_NAMES = ['pgd', 'p4d', 'pud', 'pmd', 'pte'] as const;

/** One of Linux's five names of levels. */
export type TableName = (typeof TABLE_NAMES)[number];

/** Constants that a kernel was built with where they differ from what folding makes of them. */
export interface NameConstants {
  /** The shift as built. */
  readonly shift?: number;
  /** The pointer count as built (`PTRS_PER_…`). */
  readonly entries?: number;
}

/**
 * How folded names behave. The dialects: the same slot with a count of one; the same slot with the counts kept as
 * built; looking up again inside the same page.
 */
export interface NameFolding {
  /**
   * `same-slot`: the offset helper of a folded name returns the slot it was given. `re-index`: it takes the page of
   * that slot and adds its own index, as a kernel does that was built for more levels than it finds.
   */
  readonly offset: 'same-slot' | 're-index';
  /** Constants as built, where they differ from the effective ones. Not supplied: none. */
  readonly built?: Readonly<Partial<Record<TableName, NameConstants>>>;
  /**
   * Software that keeps pairs of hardware entries under one name and its own copies beside the hardware tables.
   * Not supplied: a name's entry is one hardware entry.
   */
  readonly pairs?: EntryPairs;
}

/** Two-level hardware with small tables under an operating system that wants larger ones. */
export interface EntryPairs {
  /** Hardware entries under one entry of the upper name. */
  readonly upperEntries: number;
  /** Bytes of the page that holds the lower tables of one upper entry and the software copies. */
  readonly pageBytes: number;
  /** Where in that page the hardware tables begin; each software entry stands this many bytes before its twin. */
  readonly hardwareOffset: number;
}

/** A tag in an address: the hardware takes the bit below it in its place, as often as needed. */
export interface IgnoredBits {
  /** Which bits: the top byte is `[63, 56]`. */
  readonly bits: BitRange;
  /** Taken off reads and writes only: an instruction fetch sees all bits. Not supplied: off every access. */
  readonly dataOnly?: boolean;
}

/** A geometry as an architecture describes it. */
export interface GeometryDescription {
  /** Short name: `sv48`. */
  readonly name: string;
  /** One line for people. Not supplied: the name. */
  readonly title?: string;
  /** Levels from the leaves (index 0) to the root. */
  readonly levels: readonly LevelDescription[];
  /** Bits of a virtual address that are translated. */
  readonly vaBits: number;
  /** Bits of a physical address. */
  readonly paBits: number;
  /** Bits of the machine's address word. Not supplied: 64. */
  readonly wordBits?: 32 | 64;
  /**
   * What the bits above `vaBits` must be: copies of the top translated bit (`sign`: two halves under one root), all
   * `zero`, or all `one`. Not supplied: `sign`. Without meaning where `vaBits` equals `wordBits`.
   */
  readonly upper?: 'sign' | 'zero' | 'one';
  /** Bits of an address that the hardware ignores (address tags). Not supplied: none. */
  readonly ignored?: IgnoredBits;
  /** Features that this geometry brings with it. Not supplied: none. */
  readonly features?: readonly string[];
  /** How the five names fold. Not supplied: folded names repeat the slot and count one entry. */
  readonly folding?: NameFolding;
}

/** One level of a {@link Geometry}, complete. */
export interface Level {
  /** Level from the leaves. */
  readonly level: number;
  readonly shift: number;
  readonly indexBits: number;
  readonly entries: number;
  readonly tableBytes: number;
  readonly alignBytes: number;
  /** Bytes that one entry covers, exact as a number. */
  readonly entrySpan: number;
  readonly hardware: number;
  readonly name: string;
  readonly leafName: string;
}

/** One of the five names in a given geometry. */
export interface NameView {
  readonly name: TableName;
  /** The real level whose tables this name's slots lie in (for a folded name: the level it is folded into). */
  readonly level: number;
  /** Has it no tables of its own? */
  readonly folded: boolean;
  /** Shift of the name: its own, or for a folded one that of the name above, unless built otherwise. */
  readonly shift: number;
  /** Pointer count: its own, or for a folded one 1, unless built otherwise. */
  readonly entries: number;
}

/** A half-open range of addresses as exact numbers; `end` may be 2^64. */
export interface NumberRange {
  readonly start: number;
  readonly end: number;
}

/** A checked, complete geometry. */
export interface Geometry {
  readonly name: string;
  readonly title: string;
  readonly levels: readonly Level[];
  readonly root: Level;
  readonly vaBits: number;
  readonly paBits: number;
  readonly wordBits: 32 | 64;
  readonly upper: 'sign' | 'zero' | 'one';
  readonly ignored: IgnoredBits | undefined;
  readonly features: readonly string[];
  readonly folding: NameFolding;
  /** The five names, pgd first. */
  readonly names: Readonly<Record<TableName, NameView>>;
  /** Ranges of virtual addresses that the root translates, in rising order. */
  readonly ranges: readonly NumberRange[];
}

/** Can these bits be a tag? They lie above the page offset, and the bit below them, which takes their place, too. */
export function ignoredFits(
  { levels, wordBits }: Pick<CompleteGeometry, 'levels' | 'wordBits'>,
  { bits: [hi, lo] }: IgnoredBits,
): boolean {
  return Number.isInteger(hi) && Number.isInteger(lo) && lo > (levels[0]?.shift ?? 0) && hi >= lo && hi < wordBits;
}

function check(geometry: CompleteGeometry): void {
  const { levels, name, vaBits, paBits, wordBits } = geometry;
  const fail = (rule: string, message: string, values: Record<string, number>): never => {
    throw new FormatError(rule, `${name}: ${message}`, values);
  };
  if (levels.length < 1 || levels.length > TABLE_NAMES.length) {
    fail('level-count', 'a geometry has one to five levels', { levels: levels.length });
  }
  levels.forEach(({ shift, indexBits, alignBytes }, level) => {
    const below = levels[level - 1];
    if (!Number.isInteger(indexBits) || indexBits < 1) {
      fail('index-bits', 'an index has a whole number of bits, at least one', { level, indexBits });
    }
    if (below !== undefined && shift !== below.shift + below.indexBits) {
      fail('radix-gap', 'a level must start where the one below it ends', { level, shift });
    }
    if (shift < 12) fail('page-size', 'the smallest leaf is at least 4 KiB', { shift });
    if (!Number.isInteger(Math.log2(alignBytes)))
      fail('align', 'alignment must be a power of two', { level, alignBytes });
  });
  const top = levels[levels.length - 1] as (typeof levels)[number];
  if (top.shift + top.indexBits !== vaBits) {
    fail('radix-cover', 'the levels must decode exactly vaBits', { decoded: top.shift + top.indexBits, vaBits });
  }
  if (vaBits > wordBits) fail('va-bits', 'more virtual bits than the machine word has', { vaBits, wordBits });
  if (paBits > 56) fail('pa-bits', 'physical addresses have at most 56 bits', { paBits });
  if (geometry.ignored !== undefined && !ignoredFits(geometry, geometry.ignored)) {
    const [hi, lo] = geometry.ignored.bits;
    fail('ignored-bits', 'ignored bits lie above the page offset and within the word', { hi, lo });
  }
}

function rangesOf({ vaBits, wordBits, upper }: CompleteGeometry): NumberRange[] {
  const size = 2 ** vaBits;
  const word = 2 ** wordBits;
  if (vaBits === wordBits || upper === 'zero') return [{ start: 0, end: size }];
  if (upper === 'one') return [{ start: word - size, end: word }];
  return [
    { start: 0, end: size / 2 },
    { start: word - size / 2, end: word },
  ];
}

/**
 * Lays the five names over the levels. With n levels the root is pgd and the others take the lowest names; the names
 * between them fold, each into the one above (asm-generic's nop4d, nopud, nopmd).
 */
function namesOf(levels: readonly Level[], folding: NameFolding): Record<TableName, NameView> {
  const views = {} as Record<TableName, NameView>;
  const root = levels.length - 1;
  let above: NameView | undefined;
  TABLE_NAMES.forEach((name, depth) => {
    const natural = TABLE_NAMES.length - 1 - depth; // pte 0 … pgd 4
    const folded = depth !== 0 && natural >= root;
    const built = folding.built?.[name];
    const level = levels[depth === 0 ? root : Math.min(natural, root)] as Level;
    const grouped = folding.pairs !== undefined && level.level > 0 ? folding.pairs.upperEntries : 1;
    const view: NameView = {
      name,
      level: level.level,
      folded,
      shift: built?.shift ?? (folded && above !== undefined ? above.shift : level.shift + Math.log2(grouped)),
      entries:
        built?.entries ??
        (folded
          ? 1
          : level.level === 0 && folding.pairs
            ? level.entries * folding.pairs.upperEntries
            : level.entries / grouped),
    };
    views[name] = view;
    above = view;
  });
  return views;
}

/**
 * Checks a description and computes what follows from it.
 * @param description the levels and their rules
 * @param entryBytes bytes of an entry of the format that uses it
 * @throws FormatError if levels leave a gap, overlap, or do not decode exactly `vaBits`
 */
export function createGeometry(description: GeometryDescription, entryBytes: 4 | 8): Geometry {
  const complete = completeGeometry(description, entryBytes);
  check(complete);
  const levels = complete.levels.map(
    (level, index): Level => ({
      level: index,
      shift: level.shift,
      indexBits: level.indexBits,
      entries: 2 ** level.indexBits,
      tableBytes: 2 ** level.indexBits * entryBytes,
      alignBytes: level.alignBytes,
      entrySpan: 2 ** level.shift,
      hardware: level.hardware,
      name: level.name,
      leafName: level.leafName,
    }),
  );
  const { name, title, vaBits, paBits, wordBits, upper, ignored, features, folding } = complete;
  return {
    name,
    title,
    levels,
    root: levels[levels.length - 1] as Level,
    vaBits,
    paBits,
    wordBits,
    upper,
    ignored,
    features,
    folding,
    names: namesOf(levels, folding),
    ranges: rangesOf(complete),
  };
}
