/** What stands at a range of addresses on one side of a comparison: nothing, one leaf, or a table to be looked into. */
import type { PhysAddr } from './address.ts';
import { join } from './compiled.ts';
import { accumulateEffects, type Effect } from './effective.ts';
import type { OddEntry } from './leaves.ts';
import { type CompiledShape, LEAF, MALFORMED, TABLE } from './level-codec.ts';
import type { Memory } from './memory.ts';
import { type Root, vaOf } from './space.ts';

/** One side. */
export interface DiffSide {
  readonly root: Root;
  readonly memory: Memory;
  /** Name of the format. */
  readonly format: string;
  readonly odd: (entry: OddEntry) => void;
}

/** One leaf entry. Addresses are exact numbers. */
export interface DiffLeaf {
  readonly side: DiffSide;
  /** First virtual address of the entry, and where it leads. */
  readonly start: number;
  readonly pa: number;
  readonly level: number;
  readonly compiled: CompiledShape;
  /** Entry bits outside the address. */
  readonly bits: bigint;
  readonly effects: readonly Effect[];
}

/** A table. */
export interface DiffTable {
  readonly type: 'table';
  readonly side: DiffSide;
  readonly level: number;
  /** Physical address. */
  readonly table: number;
  /** Bytes that one entry covers, and how many there are. */
  readonly span: number;
  readonly entries: number;
  readonly effects: readonly Effect[];
  /** Same key, same contents: where the table stands, at which level, below which effects. */
  readonly key: string;
}

/** What stands somewhere. */
export type Content = { readonly type: 'nothing' } | { readonly type: 'leaf'; readonly leaf: DiffLeaf } | DiffTable;

/** Nothing is mapped. */
export const NOTHING: Content = { type: 'nothing' };

const NO_EFFECTS: readonly Effect[] = [];

function tableAt(side: DiffSide, level: number, table: number, effects: readonly Effect[]): DiffTable {
  const { entrySpan, entries } = side.root.paging.codec(level).level;
  const key = `${level}:${table}:${effects.map(({ on, op, value }) => `${on}${op}${value}`).join()}`;
  return { type: 'table', side, level, table, span: entrySpan, entries, effects, key };
}

/** The root table of a side. */
export function contentOf(side: DiffSide): Content {
  return tableAt(side, side.root.paging.geometry.root.level, side.root.address, NO_EFFECTS);
}

function odd(at: DiffTable, va: number, slot: number, entry: bigint | undefined, reasons: readonly string[]): Content {
  const { side, level } = at;
  const { hardware } = side.root.paging.codec(level).level;
  side.odd({
    va: vaOf(va),
    level,
    hardwareLevel: hardware,
    slot: BigInt(slot) as PhysAddr,
    entry,
    reasons,
    root: side.root.label,
  });
  return NOTHING;
}

/** What an entry of a table holds. */
function entryAt(at: DiffTable, va: number): Content {
  const { side, level, table, span, entries, effects } = at;
  const codec = side.root.paging.codec(level);
  const page = Math.floor(va / span);
  const index = page - Math.floor(page / entries) * entries;
  const { entryBytes } = side.root.paging.format;
  const slot = table + index * entryBytes;
  const window = side.memory.window(slot);
  if (window === undefined) return odd(at, va, slot, undefined, ['no_memory']);
  const word = (slot - window.base) / 4;
  const lo = window.words[word] as number;
  const hi = entryBytes === 8 ? (window.words[word + 1] as number) : 0;
  if (lo === 0 && hi === 0) return NOTHING;
  const code = codec.classify(lo, hi);
  const compiled = codec.shapes[code >> 2];
  const kind = code & 3;
  if (kind === MALFORMED) return odd(at, va, slot, join(lo, hi), codec.reasons(lo, hi));
  if (compiled === undefined || (kind !== LEAF && kind !== TABLE)) return NOTHING;
  const address = compiled.address.decode(lo, hi);
  if (kind === TABLE) return tableAt(side, level - 1, address, accumulateEffects(compiled, join(lo, hi), effects));
  const pa = compiled.sharedAddress ? address + (index % compiled.runEntries) * span : address;
  const bits = join(lo, hi) & ~compiled.address.mask;
  return { type: 'leaf', leaf: { side, start: page * span, pa, level, compiled, bits, effects } };
}

/** The part of a content under one entry of `span` bytes: a coarser or equal content as it is there. */
export function entries(content: Content, span: number, va: number): Content {
  return content.type === 'table' && content.span === span ? entryAt(content, va) : content;
}
