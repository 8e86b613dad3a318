/**
 * Comparing two address spaces by what they map, not by how their tables look: they may stand in different memories,
 * have different numbers of levels, even different formats.
 *
 * Both are walked side by side. Two tables that were found equal once are not looked at again, so tables that many
 * entries share (an early shadow, say) cost nothing.
 */

import type { PhysAddr, VirtAddr } from './address.ts';
import { type Content, contentOf, type DiffLeaf, type DiffSide, entries, NOTHING } from './diff-content.ts';
import { applyEffects, numericFields } from './effective.ts';
import type { CommonAttributes, FieldValues } from './format.ts';
import type { OddEntry } from './leaves.ts';
import { type AddressSpace, stretches, type VirtRange, vaOf } from './space.ts';
import { sameEffects } from './table-effects.ts';

/** What one side maps in a range: leaves of one size with one set of attributes, whose addresses continue each other. */
export interface MappedSide {
  /** Physical address of the start of the range. */
  readonly pa: PhysAddr;
  /** Level from the leaves. */
  readonly level: number;
  /** The hardware's number of the level. */
  readonly hardwareLevel: number;
  readonly name: string;
  readonly shape: string;
  readonly leafBytes: bigint;
  /** Fields of the leaves after the effects of the tables above them. */
  readonly fields: FieldValues;
  readonly common: CommonAttributes | undefined;
  /** Label of the root. */
  readonly root: string;
}

/** In what two mappings of an address differ. `size`: leaves of one level but of runs of different lengths. */
export type ChangedPart = 'pa' | 'level' | 'size' | 'attributes';

/** A range that the two sides map differently. */
export interface Difference {
  readonly kind: 'only-a' | 'only-b' | 'changed';
  readonly start: VirtAddr;
  /** Exclusive; may be 2^64. */
  readonly end: bigint;
  /** `undefined` if only the other side maps it. */
  readonly a: MappedSide | undefined;
  readonly b: MappedSide | undefined;
  /** For `changed`: in what. */
  readonly changed: readonly ChangedPart[];
}

/** Options of {@link diffSpaces}. */
export interface DiffOptions {
  /** Stop after this many differences. Not supplied: never. */
  readonly limit?: number;
  /** Told of malformed entries and of tables outside memory, which map nothing. Not supplied: nobody is. */
  readonly odd?: (side: 'a' | 'b', entry: OddEntry) => void;
}

/** The outcome. */
export interface DiffResult {
  /** In rising order of addresses. */
  readonly differences: readonly Difference[];
  /** Were there more than the limit? */
  readonly truncated: boolean;
}

/** A piece that differs: at least one side maps all of it with one leaf. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly a: DiffLeaf | undefined;
  readonly b: DiffLeaf | undefined;
  readonly changed: readonly ChangedPart[];
}

function sameValues(a: object | undefined, b: object | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Are the attributes of two leaves the same? Formats that differ are compared in the common vocabulary. */
function sameAttributes(a: DiffLeaf, b: DiffLeaf): boolean {
  if (a.side.format !== b.side.format) return sameValues(commonOf(a), commonOf(b));
  const alike = a.compiled.shape.name === b.compiled.shape.name && sameEffects(a.effects, b.effects);
  return (alike && a.bits === b.bits) || sameValues(fieldsOf(a), fieldsOf(b));
}

function fieldsOf({ compiled, bits, effects }: DiffLeaf): FieldValues {
  return applyEffects(numericFields(compiled, bits), effects);
}

function commonOf(leaf: DiffLeaf): CommonAttributes | undefined {
  const { format, features } = leaf.side.root.paging;
  return format.common?.toCommon(fieldsOf(leaf), features);
}

function changes(a: DiffLeaf, b: DiffLeaf, at: number): ChangedPart[] {
  const parts: ChangedPart[] = [];
  if (a.pa + (at - a.start) !== b.pa + (at - b.start)) parts.push('pa');
  if (a.level !== b.level) parts.push('level');
  else if (a.compiled.leafBytes !== b.compiled.leafBytes) parts.push('size');
  if (!sameAttributes(a, b)) parts.push('attributes');
  return parts;
}

/** Pairs of tables that are equal, whatever address they are reached at. */
type EqualPairs = Set<string>;

function pairKey(a: Content, b: Content): string | undefined {
  if (a.type !== 'table' || b.type !== 'table' || a.span !== b.span || a.entries !== b.entries) return undefined;
  return `${a.key}|${b.key}`;
}

/** Everything in a range in which two contents differ, in rising order. */
function* pieces(a: Content, b: Content, start: number, end: number, equal: EqualPairs): Generator<Piece> {
  if (a.type === 'nothing' && b.type === 'nothing') return;
  if (a.type !== 'table' && b.type !== 'table') {
    const one = a.type === 'leaf' ? a.leaf : undefined;
    const two = b.type === 'leaf' ? b.leaf : undefined;
    const changed = one !== undefined && two !== undefined ? changes(one, two, start) : [];
    if (changed.length > 0 || one === undefined || two === undefined) yield { start, end, a: one, b: two, changed };
    return;
  }
  const key = pairKey(a, b);
  if (key !== undefined && equal.has(key)) return;
  // The coarser of two tables is cut first; what does not end there goes down unchanged.
  const span = Math.max(a.type === 'table' ? a.span : 0, b.type === 'table' ? b.span : 0);
  let differs = false;
  let whole = true;
  for (let at = start; at < end; ) {
    const next = Math.min((Math.floor(at / span) + 1) * span, end);
    whole &&= at % span === 0 && next % span === 0;
    for (const piece of pieces(entries(a, span, at), entries(b, span, at), at, next, equal)) {
      differs = true;
      yield piece;
    }
    at = next;
  }
  const complete = a.type === 'table' && end - start === span * a.entries;
  if (key !== undefined && !differs && whole && complete) equal.add(key);
}

function sideOf(leaf: DiffLeaf | undefined, at: number): MappedSide | undefined {
  if (leaf === undefined) return undefined;
  const { side, compiled, level } = leaf;
  const { hardware, name } = side.root.paging.codec(level).level;
  return {
    pa: BigInt(leaf.pa + (at - leaf.start)) as PhysAddr,
    level,
    hardwareLevel: hardware,
    name,
    shape: compiled.shape.name,
    leafBytes: BigInt(compiled.leafBytes),
    fields: fieldsOf(leaf),
    common: commonOf(leaf),
    root: side.root.label,
  };
}

/** Does a leaf continue another one that was met before it? */
function continues(before: DiffLeaf | undefined, after: DiffLeaf | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  return (
    before.side === after.side &&
    before.level === after.level &&
    before.compiled === after.compiled &&
    before.bits === after.bits &&
    sameEffects(before.effects, after.effects) &&
    before.pa + (after.start - before.start) === after.pa
  );
}

/** Joins pieces that continue each other. */
function* folded(list: Iterable<Piece>): Generator<Difference> {
  let open: { first: Piece; last: Piece; end: number } | undefined;
  const close = ({ first, end }: NonNullable<typeof open>): Difference => ({
    kind: first.a === undefined ? 'only-b' : first.b === undefined ? 'only-a' : 'changed',
    start: vaOf(first.start),
    end: BigInt(end),
    a: sideOf(first.a, first.start),
    b: sideOf(first.b, first.start),
    changed: first.changed,
  });
  for (const piece of list) {
    const joins =
      open !== undefined &&
      open.end === piece.start &&
      continues(open.last.a, piece.a) &&
      continues(open.last.b, piece.b) &&
      sameValues(open.last.changed, piece.changed);
    if (open !== undefined && joins) {
      open.last = piece;
      open.end = piece.end;
      continue;
    }
    if (open !== undefined) yield close(open);
    open = { first: piece, last: piece, end: piece.end };
  }
  if (open !== undefined) yield close(open);
}

/** What one side says about a stretch of addresses. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly content: Content;
}

function partsOf(space: AddressSpace, range: VirtRange, name: 'a' | 'b', options: DiffOptions): Part[] {
  return stretches(space, range, true).map(({ root, start, end }) => {
    const side: DiffSide = {
      root,
      memory: space.memory,
      format: root.paging.format.name,
      odd: (entry) => options.odd?.(name, entry),
    };
    return { start, end, content: contentOf(side) };
  });
}

/** Cuts the stretches of both sides at each other's edges. */
function* together(a: readonly Part[], b: readonly Part[]): Generator<Piece> {
  const edges = [...new Set([...a, ...b].flatMap(({ start, end }) => [start, end]))].sort((x, y) => x - y);
  const at = (parts: readonly Part[], start: number): Content =>
    parts.find((part) => start >= part.start && start < part.end)?.content ?? NOTHING;
  const equal: EqualPairs = new Set();
  for (const [i, start] of edges.entries()) {
    const end = edges[i + 1];
    if (end !== undefined) yield* pieces(at(a, start), at(b, start), start, end, equal);
  }
}

/**
 * Compares what two address spaces map.
 * @param range half-open, of whole smallest leaves; parts that a side does not translate count as not mapped
 * @throws ArgumentError for a bad range
 */
export function diffSpaces(a: AddressSpace, b: AddressSpace, range: VirtRange, options: DiffOptions = {}): DiffResult {
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  const differences: Difference[] = [];
  for (const difference of folded(together(partsOf(a, range, 'a', options), partsOf(b, range, 'b', options)))) {
    if (differences.length >= limit) return { differences, truncated: true };
    differences.push(difference);
  }
  return { differences, truncated: false };
}
