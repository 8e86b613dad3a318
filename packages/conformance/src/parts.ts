/** What the checks ask of a paging again and again: its leaves, its addresses, its attribute sets. */
import {
  type Attributes,
  type CompiledShape,
  type Field,
  type FieldValues,
  featuresHold,
  gather,
  type LeafChoice,
  maskOf,
  type Paging,
  piecesMask,
  rangesMask,
  rangesWidth,
} from '@pagefold/core';
import type { Context } from './context.ts';

/** One leaf that can be made. */
export interface LeafKind {
  readonly level: number;
  readonly shape: string;
  readonly compiled: CompiledShape;
  readonly choice: LeafChoice;
  readonly leafBytes: bigint;
  readonly entryBytes: bigint;
}

/** Every leaf of every level, smallest first. */
export function leafKinds(paging: Paging): LeafKind[] {
  const kinds = paging.levels.flatMap(({ leaves, level }) =>
    leaves.map((compiled): LeafKind => {
      const entryBytes = 1n << BigInt(level.shift);
      const leafBytes = entryBytes * BigInt(compiled.runEntries);
      const shape = compiled.shape.name;
      const choice = { level: level.level, shape, leafBytes, entryBytes, runEntries: compiled.runEntries };
      return { level: level.level, shape, compiled, choice, leafBytes, entryBytes };
    }),
  );
  return kinds.sort((a, b) => (a.leafBytes < b.leafBytes ? -1 : a.leafBytes > b.leafBytes ? 1 : 0));
}

/** The smallest leaf that stands alone at a level. */
export function aloneAt(kinds: readonly LeafKind[], level: number): LeafKind | undefined {
  return kinds.find((kind) => kind.level === level && kind.compiled.runEntries === 1);
}

/** A range of virtual addresses, half-open. */
export interface Span {
  readonly start: bigint;
  readonly end: bigint;
}

/** The addresses that are translated, computed from the geometry's numbers alone. */
export function canonicalSpans(paging: Paging): Span[] {
  const { vaBits, wordBits, upper } = paging.geometry;
  const size = 1n << BigInt(vaBits);
  const word = 1n << BigInt(wordBits);
  if (vaBits === wordBits || upper === 'zero') return [{ start: 0n, end: size }];
  if (upper === 'one') return [{ start: word - size, end: word }];
  return [
    { start: 0n, end: size / 2n },
    { start: word - size / 2n, end: word },
  ];
}

/** Log2 of the first physical address that a shape cannot hold; at most the geometry's bits. */
export function reachBits({ features, geometry }: Paging, { shape }: CompiledShape, from: number): number {
  if (shape.kind === 'empty') return 0;
  let held = 0n;
  for (const { addressLo, bits, when } of shape.address) {
    if (featuresHold(when, features)) held |= maskOf(bits, addressLo);
  }
  let reach = from;
  while (reach < geometry.paBits && ((held >> BigInt(reach)) & 1n) === 1n) reach++;
  return reach;
}

/** Bytes from physical address 0 up that a leaf can map. */
export function leafSpace(paging: Paging, { compiled, entryBytes, leafBytes }: LeafKind): bigint {
  const unit = compiled.sharedAddress ? leafBytes : entryBytes;
  return 1n << BigInt(reachBits(paging, compiled, unit.toString(2).length - 1));
}

/** Bytes from physical address 0 up that every leaf can map. */
export function mappableSpace(paging: Paging): bigint {
  const whole = 1n << BigInt(paging.geometry.paBits);
  return leafKinds(paging).reduce((least, kind) => {
    // A leaf that is larger than what it could hold is never made.
    const space = leafSpace(paging, kind);
    return space <= kind.leafBytes ? least : lower(least, space);
  }, whole);
}

/** Bytes from physical address 0 up in which tables can stand. */
export function tableSpace(paging: Paging): bigint {
  return paging.levels.reduce((least, { table, level }) => {
    if (table === undefined) return least;
    const align = paging.geometry.levels[level.level - 1]?.alignBytes ?? 1;
    return lower(least, 1n << BigInt(reachBits(paging, table, Math.log2(align))));
  }, 1n << BigInt(paging.geometry.paBits));
}

/** Addresses worth trying for something of a size in a space that starts at 0: 0, one at random, the highest. */
export function physicalSpots(context: Context, size: bigint, space: bigint): bigint[] {
  const count = space / size;
  if (count <= 1n) return [0n];
  return [...new Set([0n, context.random.belowBig(count) * size, (count - 1n) * size])];
}

/** The same for a leaf: whole leaves that it can hold. */
export function leafSpots(context: Context, kind: LeafKind): bigint[] {
  return physicalSpots(context, kind.leafBytes, leafSpace(context.paging, kind));
}

/** A random virtual address, aligned, with `bytes` after it still translated. */
export function virtualSpot(context: Context, alignment: bigint, bytes: bigint): bigint | undefined {
  const fitting = canonicalSpans(context.paging).filter(({ start, end }) => end - start >= bytes);
  if (fitting.length === 0) return undefined;
  const { start, end } = context.random.pick(fitting);
  const count = (end - start - bytes) / alignment + 1n;
  return start + context.random.belowBig(count) * alignment;
}

/** All entry bits that pieces of an address may use, whatever the size of the leaf. */
export function wholeAddressMask(paging: Paging, { shape }: CompiledShape): bigint {
  if (shape.kind === 'empty') return 0n;
  return piecesMask(shape.address.filter(({ when }) => featuresHold(when, paging.features)));
}

/** An attribute set of the subject. */
export interface AttributeSet {
  readonly index: number;
  /** The attributes for one leaf. */
  on(leaf: LeafChoice): Attributes;
  /** Fields that every leaf has, as they read with this set; `undefined` if they differ from leaf to leaf. */
  readonly values: FieldValues | undefined;
}

/**
 * Names of the fields that mean the same on every leaf: present in all leaf shapes, as narrow as a number, and no part
 * of an address or of what makes a shape.
 */
export function commonFields(paging: Paging): string[] {
  const kinds = leafKinds(paging);
  const usable = (kind: LeafKind, field: Field): boolean => {
    const taken = kind.compiled.fixedMask | kind.compiled.address.mask | wholeAddressMask(paging, kind.compiled);
    return rangesWidth(field.bits) <= 32 && (rangesMask(field.bits) & taken) === 0n;
  };
  const names = kinds[0]?.compiled.fields.map(({ name }) => name) ?? [];
  return names.filter((name) =>
    kinds.every((kind) => kind.compiled.fields.some((field) => field.name === name && usable(kind, field))),
  );
}

/** The fields of these names in a leaf's word. */
export function readFields(compiled: CompiledShape, word: bigint, names: readonly string[]): FieldValues {
  const values: Record<string, number> = {};
  for (const { name, bits } of compiled.fields) if (names.includes(name)) values[name] = Number(gather(word, bits));
  return values;
}

/** The subject's attribute sets. */
export function attributeSets(context: Context): AttributeSet[] {
  const { paging, subject } = context;
  const names = commonFields(paging);
  return subject.attributes.map((given, index) => {
    const on = (leaf: LeafChoice): Attributes => (typeof given === 'function' ? given(leaf) : given);
    const read = leafKinds(paging).map((kind) => {
      const attributes = on(kind.choice);
      const word = context.must(
        'attributes-accepted',
        'an attribute set of the subject must be accepted by every leaf',
        { set: index, level: kind.level, shape: kind.shape },
        () => paging.encodeLeaf(kind.level, 0n, attributes, kind.shape),
      );
      return readFields(kind.compiled, word, names);
    });
    const first = read[0] ?? {};
    const same = read.every((values) => names.every((name) => values[name] === first[name]));
    return { index, on, values: same ? first : undefined };
  });
}

/** An attribute set whose fields read the same on every leaf. */
export interface UniformSet extends AttributeSet {
  readonly values: FieldValues;
}

/** The attribute sets that read the same on every leaf: those that changes of attributes can be checked with. */
export function uniformSets(context: Context): UniformSet[] {
  const sets = attributeSets(context).filter((set): set is UniformSet => set.values !== undefined);
  if (sets.length === 0) {
    context.fail('attributes-uniform', 'at least one attribute set must read the same on every leaf');
  }
  return sets;
}

/** Do two sets of values agree? */
export function sameValues(a: FieldValues, b: FieldValues): boolean {
  return Object.keys(a).every((name) => a[name] === b[name]);
}

/** A word's halves, unsigned. */
export function halvesOf(word: bigint): { readonly lo: number; readonly hi: number } {
  return { lo: Number(word & 0xffff_ffffn), hi: Number(word >> 32n) };
}

/** The smaller of two numbers (`Math.min` knows no bigint). */
export function lower(a: bigint, b: bigint): bigint {
  if (b < a) return b;
  return a;
}

/** The larger of two numbers. */
export function higher(a: bigint, b: bigint): bigint {
  if (b > a) return b;
  return a;
}
