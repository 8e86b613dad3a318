/** Numbers turned into words: an entry, a register or an address, field by field, with the specification's section. */
import { checkBigints } from './bigints.ts';
import { gather, rangesWidth } from './bits.ts';
import { applyEffects, numericFields } from './effective.ts';
import { ArgumentError } from './errors.ts';
import type { CommonAttributes, Field } from './format.ts';
import { TABLE_NAMES, type TableName } from './geometry.ts';
import type { Kind } from './level-codec.ts';
import type { Paging } from './paging.ts';
import { decodeRegister, type RegisterFormat, unnamedBits } from './register.ts';
import { untagged } from './space.ts';

/** One field of a word, explained. */
export interface ExplainedField {
  readonly name: string;
  /** Where it lies: `63`, `62:61`, `47:12,9:8`. */
  readonly bits: string;
  readonly value: bigint;
  /** The name of this value, if it has one. */
  readonly text: string | undefined;
  readonly meaning: string;
  readonly section: string | undefined;
  /** Is it ignored by hardware? */
  readonly software: boolean;
}

/** Positions of a field as text. */
export function bitsText(field: Field): string {
  return field.bits.map(([hi, lo]) => (hi === lo ? `${hi}` : `${hi}:${lo}`)).join(',');
}

/** Explains the fields of a word. */
export function explainFields(fields: readonly Field[], word: bigint): ExplainedField[] {
  return fields.map((field) => {
    const value = gather(word, field.bits);
    return {
      name: field.name,
      bits: bitsText(field),
      value,
      text: rangesWidth(field.bits) <= 32 ? field.values?.[Number(value)] : undefined,
      meaning: field.meaning,
      section: field.section,
      software: field.software ?? false,
    };
  });
}

/** An entry, explained. */
export interface ExplainedEntry {
  readonly kind: Kind;
  readonly shape: string | undefined;
  /** Section that defines the shape. */
  readonly section: string | undefined;
  /** Why it is empty or malformed, in checking order. */
  readonly reasons: readonly {
    readonly reason: string;
    readonly meaning: string;
    readonly section: string | undefined;
  }[];
  readonly fields: readonly ExplainedField[];
  /** Address of the next table, or of the first byte of the leaf. */
  readonly address: bigint | undefined;
  readonly leafBytes: bigint | undefined;
  /** A leaf in the common vocabulary, if the format speaks it. */
  readonly common: CommonAttributes | undefined;
}

/**
 * Explains an entry.
 * @param level level, from the leaves, at which it stands
 * @throws FormatError `level` if there is no such level; ArgumentError `entry-width` if the entry does not fit in a slot
 */
export function explainEntry(paging: Paging, level: number, entry: bigint): ExplainedEntry {
  checkBigints({ entry });
  if (BigInt.asUintN(paging.format.entryBytes * 8, entry) !== entry) {
    throw new ArgumentError('entry-width', `an entry has ${paging.format.entryBytes * 8} bits`, { entry });
  }
  const decoded = paging.decode(level, entry);
  const compiled = paging.codec(level).shapes.find(({ shape }) => shape.name === decoded.shape);
  const leaf = decoded.kind === 'leaf' && compiled !== undefined;
  return {
    kind: decoded.kind,
    shape: decoded.shape,
    section: compiled?.shape.section,
    reasons: decoded.reasons.map((reason) => {
      const rule = paging.format.rules.find((candidate) => candidate.reason === reason);
      return { reason, meaning: rule?.meaning ?? compiled?.shape.name ?? 'fits no shape', section: rule?.section };
    }),
    fields: explainFields(compiled?.fields ?? [], entry),
    address: decoded.address,
    leafBytes: decoded.leafBytes,
    common: leaf
      ? paging.format.common?.toCommon(applyEffects(numericFields(compiled, entry), []), paging.features)
      : undefined,
  };
}

/** A register value, explained. */
export interface ExplainedRegister {
  readonly register: string;
  readonly value: bigint;
  readonly fields: readonly ExplainedField[];
  /** Set bits that no field names. */
  readonly unnamed: bigint;
}

/** Explains a register value. */
export function explainRegister(register: RegisterFormat, value: bigint): ExplainedRegister {
  decodeRegister(register, value);
  return {
    register: register.name,
    value,
    fields: explainFields(register.fields, value),
    unnamed: unnamedBits(register, value),
  };
}

/** An address cut into indices. */
export interface ExplainedAddress {
  /** Does the geometry translate it? */
  readonly canonical: boolean;
  /** From the root down: the index at each level. */
  readonly indices: readonly {
    readonly level: number;
    readonly hardwareLevel: number;
    readonly name: string;
    /** Bits of the address that make the index: `38:30`. */
    readonly bits: string;
    readonly index: number;
    /** Bytes that one entry maps. */
    readonly entryBytes: bigint;
  }[];
  /** Offset in the smallest leaf. */
  readonly offset: bigint;
  /** The five names: which are folded, and which level each stands for. */
  readonly names: Readonly<Record<TableName, { readonly folded: boolean; readonly level: number }>>;
}

/** Cuts an address into the indices of a geometry. */
export function explainAddress(paging: Paging, va: bigint): ExplainedAddress {
  const { geometry } = paging;
  const address = untagged(geometry.ignored, va);
  const names = {} as Record<TableName, { folded: boolean; level: number }>;
  for (const name of TABLE_NAMES)
    names[name] = { folded: geometry.names[name].folded, level: geometry.names[name].level };
  return {
    canonical: geometry.ranges.some(({ start, end }) => address >= BigInt(start) && address < BigInt(end)),
    indices: [...geometry.levels].reverse().map((level) => {
      const hi = level.shift + level.indexBits - 1;
      return {
        level: level.level,
        hardwareLevel: level.hardware,
        name: level.name,
        bits: `${hi}:${level.shift}`,
        index: Number(gather(va, [[hi, level.shift]])),
        entryBytes: BigInt(level.entrySpan),
      };
    }),
    offset: va % paging.pageBytes,
    names,
  };
}
