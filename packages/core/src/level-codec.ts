/**
 * One level of a format, compiled: what a word at this level is, which addresses it holds, how leaves are built.
 *
 * A word is named by a code: its kind in the low two bits, the index of its shape above them. For most words the code
 * comes from a table over the low 8 bits; only words with other tested bits set take the slow road over all tests.
 */
import { rangesMask } from './bits.ts';
import { CompiledAddress, CompiledTests, type Halves, halves } from './compiled.ts';
import { featuresHold, levelHolds } from './condition.ts';
import { FormatError } from './errors.ts';
import type { AddressPiece, BitTest, Field, MalformedRule, Shape, TableEffect } from './format.ts';
import type { CompleteFormat } from './format-defaults.ts';
import type { Level } from './geometry.ts';

/** Kinds of words, the low two bits of a code. */
export const EMPTY = 0;
/** A pointer to a table of the next level. */
export const TABLE = 1;
/** A mapping. */
export const LEAF = 2;
/** A word that the hardware refuses. */
export const MALFORMED = 3;

/** Names of the kinds, by number. */
export const KIND_NAMES = ['empty', 'table', 'leaf', 'malformed'] as const;

/** What a word is: one of {@link KIND_NAMES}. */
export type Kind = (typeof KIND_NAMES)[number];

/** A shape at one level. */
export interface CompiledShape {
  readonly shape: Shape;
  /** Index in {@link LevelCodec.shapes}. */
  readonly index: number;
  readonly kind: number;
  readonly tests: CompiledTests;
  /** Address of the next table or of the leaf; for an empty word without bits. */
  readonly address: CompiledAddress;
  /** All bits of an entry but those of its address, in halves. */
  readonly plain: Halves;
  /** Bytes that one entry maps: the span of an entry. */
  readonly entryBytes: number;
  /** Bytes of the whole translation: an entry or a run. */
  readonly leafBytes: number;
  /** Entries of the run, 1 if the leaf stands alone. */
  readonly runEntries: number;
  /** Do all entries of the run store the run's own address? */
  readonly sharedAddress: boolean;
  /** Bits of a virtual address that a leaf passes on to the physical address, in halves. */
  readonly offset: Halves;
  /**
   * How entries that map one thing after the other differ: within an aligned stretch of `bytes`, each is the one before
   * plus `step` in its low half. Means something for leaves only.
   */
  readonly linear: Linear;
  /** Bits that make the shape what it is, and their values. */
  readonly fixedMask: bigint;
  readonly fixedValue: bigint;
  /** Fields that exist under the features. */
  readonly fields: readonly Field[];
  /** Table effects that act under the features. */
  readonly effects: readonly TableEffect[];
  /** Bits that hardware sets in a table entry when it is used. */
  readonly marks: bigint;
}

/** See {@link CompiledShape.linear}. */
export interface Linear {
  readonly bytes: number;
  readonly step: number;
}

interface CompiledRule {
  readonly rule: MalformedRule;
  readonly tests: CompiledTests;
  readonly shapes: ReadonlySet<number>;
}

/** The tests of a rule that speaks of addresses, for one shape. */
function addressTests(
  rule: MalformedRule,
  compiled: CompiledShape,
  pieces: readonly AddressPiece[],
  paBits: number,
): BitTest[] {
  const mask =
    rule.tests === 'misaligned'
      ? new CompiledAddress(pieces, 0).mask & ~compiled.address.mask
      : new CompiledAddress(pieces, paBits).mask;
  return [{ mask, differs: 0n }];
}

/** Enough for the type and permission bits of every format we know; more would only cost set-up time. */
export const LOW_BITS = 8;

/** One compiled level. */
export class LevelCodec {
  readonly level: Level;
  /** Shapes that exist at this level, in the order of matching. */
  readonly shapes: readonly CompiledShape[];
  /** Leaf shapes, the smallest leaf first. */
  readonly leaves: readonly CompiledShape[];
  /** The shape of a table pointer, if this level can hold one. */
  readonly table: CompiledShape | undefined;
  readonly #format: CompleteFormat;
  readonly #rules: readonly CompiledRule[];
  /**
   * At four times the value of a word's low bits: further bits, in halves, and the code that the word has if they are
   * zero. If they are not, only {@link classify} can tell.
   */
  readonly codes: Int32Array = new Int32Array(1 << (LOW_BITS + 2));
  /** All bits that any test of this level looks at: no other bit has a say in what a word is. */
  readonly tested: Halves;

  constructor(format: CompleteFormat, level: Level, features: ReadonlySet<string>, paBits: number) {
    this.level = level;
    this.#format = format;
    this.shapes = format.shapes
      .filter((shape) => featuresHold(shape.when, features) && levelHolds(shape.levels, level.level, features))
      // A partial root may be shorter than a run: there is no such run then.
      .filter((shape) => shape.kind !== 'leaf' || (shape.run?.entries ?? 1) <= level.entries)
      .map((shape, index) => compileShape(shape, index, level, features));
    this.#rules = format.rules
      .filter((rule) => featuresHold(rule.when, features) && levelHolds(rule.levels, level.level, features))
      .flatMap((rule) => this.#compileRule(rule, features, paBits));
    this.leaves = this.shapes.filter(({ kind }) => kind === LEAF).sort((a, b) => a.leafBytes - b.leafBytes);
    this.table = level.level === 0 ? undefined : this.shapes.find(({ kind }) => kind === TABLE);
    const everything = [...this.shapes, ...this.#rules].map(({ tests }) => tests);
    this.tested = halves(everything.reduce((bits, { mask }) => bits | mask, 0n));
    this.#buildTable(everything);
  }

  /** Rules speak of shapes; those about addresses depend on the shape and become one rule each. */
  #compileRule(rule: MalformedRule, features: ReadonlySet<string>, paBits: number): CompiledRule[] {
    const kinds = rule.kinds ?? ['table', 'leaf'];
    const shapes = this.shapes.filter(
      ({ shape }) =>
        shape.kind !== 'empty' &&
        kinds.includes(shape.kind) &&
        (rule.shapes === undefined || rule.shapes.includes(shape.name)),
    );
    if (rule.tests !== 'misaligned' && rule.tests !== 'address-size') {
      return [{ rule, tests: new CompiledTests(rule.tests), shapes: new Set(shapes.map(({ index }) => index)) }];
    }
    const concerned = rule.tests === 'misaligned' ? shapes.filter(({ kind }) => kind === LEAF) : shapes;
    return concerned.map((compiled) => {
      const { shape } = compiled;
      const pieces = shape.kind === 'empty' ? [] : shape.address.filter((piece) => featuresHold(piece.when, features));
      return {
        rule,
        tests: new CompiledTests(addressTests(rule, compiled, pieces, paBits)),
        shapes: new Set([compiled.index]),
      };
    });
  }

  /** For each value of the low bits: the code when the residual bits are zero, and which bits those are. */
  #buildTable(everything: readonly CompiledTests[]): void {
    const low = (1n << BigInt(LOW_BITS)) - 1n;
    const own = everything.map((tests) => Number(tests.mask & low));
    // Words have few codes, and what is left to test depends on few low bits: each answer is worked out once.
    const known = new Map<number, { readonly by: number; readonly rests: Map<number, Halves> }>();
    for (let bits = 0; bits < 1 << LOW_BITS; bits++) {
      const code = this.#judge(bits, 0);
      let found = known.get(code);
      if (found === undefined) {
        const by = own.reduce(
          (all, each, i) => all | (this.#settled(everything[i] as CompiledTests, code) ? 0 : each),
          0,
        );
        found = { by, rests: new Map() };
        known.set(code, found);
      }
      let rest = found.rests.get(bits & found.by);
      if (rest === undefined) {
        const open = everything.filter((tests) => !this.#settled(tests, code));
        rest = halves(open.reduce((all, tests) => all | tests.residual(low, BigInt(bits)), 0n));
        found.rests.set(bits & found.by, rest);
      }
      this.codes[bits << 2] = rest.lo;
      this.codes[(bits << 2) + 1] = rest.hi;
      this.codes[(bits << 2) + 2] = code;
    }
  }

  /** Does this test no longer matter for a word of that code, because its shape is certain from the low bits? */
  #settled(tests: CompiledTests, code: number): boolean {
    const found = this.shapes[code >> 2];
    if (found === undefined || found.tests.mask >> BigInt(LOW_BITS) !== 0n) return false;
    const shape = this.shapes.find((candidate) => candidate.tests === tests);
    if (shape !== undefined) return shape.index > found.index;
    return this.#rules.some((candidate) => candidate.tests === tests && !candidate.shapes.has(found.index));
  }

  #judge(lo: number, hi: number): number {
    for (const { index, kind, tests } of this.shapes) {
      if (!tests.hold(lo, hi)) continue;
      for (const rule of this.#rules)
        if (rule.shapes.has(index) && rule.tests.hold(lo, hi)) return MALFORMED | (index << 2);
      return kind | (index << 2);
    }
    return MALFORMED | (this.shapes.length << 2);
  }

  /** The code of a word: its kind in the low two bits, its shape's index above (past the end if no shape fits). */
  classify(lo: number, hi: number): number {
    const { codes } = this;
    const at = (lo & ((1 << LOW_BITS) - 1)) << 2;
    const rest = (lo & (codes[at] as number)) | (hi & (codes[at + 1] as number));
    return rest === 0 ? (codes[at + 2] as number) : this.#judge(lo, hi);
  }

  /**
   * Bits by which words are known to have the same code as this one: those that agree with it there. Nothing if the
   * table over the low bits does not tell what this word is.
   */
  telling(lo: number, hi: number): Halves | undefined {
    const { codes } = this;
    const low = (1 << LOW_BITS) - 1;
    const at = (lo & low) << 2;
    const restLo = codes[at] as number;
    const restHi = codes[at + 1] as number;
    if (((lo & restLo) | (hi & restHi)) !== 0) return undefined;
    return { lo: (low & this.tested.lo) | restLo, hi: restHi };
  }

  /** Why a word is malformed, all reasons in checking order; for an empty word its own reason; else nothing. */
  reasons(lo: number, hi: number): readonly string[] {
    const code = this.#judge(lo, hi);
    const compiled = this.shapes[code >> 2];
    if (compiled === undefined) return [this.#format.unmatched];
    if (compiled.shape.kind === 'empty') return [compiled.shape.reason];
    const found = this.#rules.filter(({ shapes, tests }) => shapes.has(compiled.index) && tests.hold(lo, hi));
    return [...new Set(found.map(({ rule }) => rule.reason))];
  }
}

/** How far the address bits from an entry's size up stay together in the low half of the entry. */
function linearOf(address: CompiledAddress, entryBytes: number): Linear {
  const step = address.encodeLo(entryBytes);
  let bytes = entryBytes;
  while (step !== 0 && address.encodeLo(bytes) === step * (bytes / entryBytes)) bytes *= 2;
  return { bytes, step };
}

/** The bits of all marks that are made under the features. */
function marksOf(shape: Shape, features: ReadonlySet<string>): bigint {
  if (shape.kind !== 'table') return 0n;
  const marked = (shape.marks ?? []).filter(({ when }) => featuresHold(when, features)).map(({ field }) => field);
  return shape.fields
    .filter(({ name, when }) => marked.includes(name) && featuresHold(when, features))
    .reduce((bits, field) => bits | rangesMask(field.bits), 0n);
}

function compileShape(shape: Shape, index: number, level: Level, features: ReadonlySet<string>): CompiledShape {
  const run = shape.kind === 'leaf' ? shape.run : undefined;
  const runEntries = run?.entries ?? 1;
  if (run !== undefined && (!Number.isInteger(Math.log2(runEntries)) || runEntries < 2 || runEntries > level.entries)) {
    throw new FormatError('run-entries', `${shape.name}: a run has a power of two of entries within its table`, {
      level: level.level,
      entries: runEntries,
    });
  }
  const sharedAddress = run?.address === 'shared';
  const leafBytes = level.entrySpan * runEntries;
  const addressBytes = sharedAddress ? leafBytes : level.entrySpan;
  const pieces = shape.kind === 'empty' ? [] : shape.address.filter((piece) => featuresHold(piece.when, features));
  // A leaf stores its own address from its size up; a table pointer is read as it stands.
  const fromBit = shape.kind === 'leaf' ? Math.log2(addressBytes) : 0;
  const address = new CompiledAddress(pieces, fromBit);
  let fixedMask = 0n;
  let fixedValue = 0n;
  for (const test of shape.match) {
    if (!('equals' in test)) continue;
    fixedMask |= test.mask;
    fixedValue |= test.equals;
  }
  return {
    shape,
    index,
    kind: shape.kind === 'empty' ? EMPTY : shape.kind === 'table' ? TABLE : LEAF,
    tests: new CompiledTests(shape.match),
    address,
    plain: halves(~address.mask),
    entryBytes: level.entrySpan,
    leafBytes,
    runEntries,
    sharedAddress,
    offset: halves(BigInt(addressBytes) - 1n),
    linear: sharedAddress ? { bytes: leafBytes, step: 0 } : linearOf(address, level.entrySpan),
    fixedMask,
    fixedValue,
    fields: shape.fields.filter((field) => featuresHold(field.when, features)),
    effects:
      shape.kind === 'table' ? (shape.effects ?? []).filter((effect) => featuresHold(effect.when, features)) : [],
    marks: marksOf(shape, features),
  };
}
