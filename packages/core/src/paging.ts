/**
 * A paging: one format with one geometry and a set of features, compiled. The object that every operation works from.
 */
import { hex } from './address.ts';
import { checkBigints } from './bigints.ts';
import { fieldsOf, fitsRanges, piecesMask, rangesMask, rangesWidth, scatter } from './bits.ts';
import { exactMultiple, join } from './compiled.ts';
import { featuresHold } from './condition.ts';
import { AttributeError, FormatError } from './errors.ts';
import type { Field, FieldValues, Format } from './format.ts';
import { checkFormat } from './format-check.ts';
import { type CompleteFormat, completeFormat } from './format-defaults.ts';
import { createGeometry, type Geometry, type GeometryDescription } from './geometry.ts';
import { type CompiledShape, KIND_NAMES, type Kind, LEAF, LevelCodec, MALFORMED, TABLE } from './level-codec.ts';

/** Attributes of a leaf: raw entry bits outside the address, or values of named fields. */
export type Attributes = bigint | FieldValues;

/** What a leaf could be made of: where it stands and how large it is. */
export interface LeafChoice {
  /** Level from the leaves. */
  readonly level: number;
  /** Name of the shape: `page`, `block`, `napot`. */
  readonly shape: string;
  /** Bytes of the whole translation (an entry, or a run). */
  readonly leafBytes: bigint;
  /** Bytes of one entry. */
  readonly entryBytes: bigint;
  /** Entries in the run; 1 if it stands alone. */
  readonly runEntries: number;
}

/** An entry, decoded. */
export interface DecodedEntry {
  readonly kind: Kind;
  /** Name of its shape; for a word that fits none, `undefined`. */
  readonly shape: string | undefined;
  /** Why it is malformed (all reasons, in checking order), or why it is empty. */
  readonly reasons: readonly string[];
  /** Values of its fields. */
  readonly fields: Readonly<Record<string, bigint>>;
  /** Physical address of the next table, or of the first byte of the leaf (of the run, if it is one of a run). */
  readonly address: bigint | undefined;
  /** Bytes that the leaf maps; `undefined` for other kinds. */
  readonly leafBytes: bigint | undefined;
}

/** Options of {@link createPaging}. */
export interface PagingOptions {
  /** Features that are on, by the format's names; those of the geometry are added. Not supplied: none. */
  readonly features?: Iterable<string>;
}

/** What is known of a shape besides its codec: all bits of its address, and its fields that are plain numbers. */
interface ShapeBits {
  readonly address: bigint;
  readonly numeric: readonly Field[];
}

const SHAPE_BITS = new WeakMap<CompiledShape, ShapeBits>();

function noteShape(compiled: CompiledShape, features: ReadonlySet<string>): void {
  const { shape, fields } = compiled;
  const pieces = shape.kind === 'empty' ? [] : shape.address.filter(({ when }) => featuresHold(when, features));
  const address = piecesMask(pieces);
  const numeric = fields.filter(({ bits }) => rangesWidth(bits) <= 32 && (rangesMask(bits) & address) === 0n);
  SHAPE_BITS.set(compiled, { address, numeric });
}

/** Every entry bit that may hold an address in this shape, also those below a leaf's size. */
export function addressBits(compiled: CompiledShape): bigint {
  return SHAPE_BITS.get(compiled)?.address ?? compiled.address.mask;
}

/** The fields of a shape that are numbers: all but those wider than 32 bits and those that hold (a part of) an address. */
export function numericFieldsOf(compiled: CompiledShape): readonly Field[] {
  return SHAPE_BITS.get(compiled)?.numeric ?? [];
}

/** Leaves and tables are asked for by name: at one level, with the features that are on, each name means one shape. */
function checkShapeNames(format: string, { level, shapes }: LevelCodec): void {
  const names = shapes.filter(({ shape }) => shape.kind !== 'empty').map(({ shape }) => shape.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new FormatError('shape-name', `${format}: two shapes of one level share a name`, {
    shape: twice,
    level: level.level,
  });
}

/** A format with a geometry and features, compiled. Made by {@link createPaging}. */
export class Paging {
  readonly format: CompleteFormat;
  readonly geometry: Geometry;
  readonly features: ReadonlySet<string>;
  /** Codecs by level, leaves first. */
  readonly levels: readonly LevelCodec[];
  /** Every leaf that can be made, smallest first. */
  readonly leafChoices: readonly LeafChoice[];
  /** Bytes of the smallest leaf: the unit of every mapping. */
  readonly pageBytes: bigint;
  /** The first physical address beyond those that the geometry has, an exact number. */
  readonly paEnd: number;

  constructor(format: Format, geometry: GeometryDescription, options: PagingOptions = {}) {
    checkFormat(format);
    this.format = completeFormat(format);
    this.geometry = createGeometry(geometry, format.entryBytes);
    this.features = new Set([...this.geometry.features, ...(options.features ?? [])]);
    for (const feature of this.features) {
      if (!Object.hasOwn(this.format.features, feature)) {
        throw new FormatError('unknown-feature', `${format.name} has no feature of that name`, { feature });
      }
    }
    for (const set of this.format.exclusive) {
      const [one, other] = set.filter((feature) => this.features.has(feature));
      if (one === undefined || other === undefined) continue;
      throw new FormatError('exclusive-features', `${format.name}: no machine has both features`, { one, other });
    }
    this.levels = this.geometry.levels.map(
      (level) => new LevelCodec(this.format, level, this.features, this.geometry.paBits),
    );
    for (const codec of this.levels) {
      checkShapeNames(format.name, codec);
      for (const compiled of codec.shapes) noteShape(compiled, this.features);
    }
    this.pageBytes = BigInt(this.geometry.levels[0]?.entrySpan ?? 0);
    this.paEnd = 2 ** this.geometry.paBits;
    this.leafChoices = this.levels
      .flatMap(({ leaves, level }) => leaves.map((leaf) => choiceOf(leaf, level.level)))
      .sort((a, b) => (a.leafBytes < b.leafBytes ? -1 : a.leafBytes > b.leafBytes ? 1 : 0));
  }

  /** The codec of a level. */
  codec(level: number): LevelCodec {
    const codec = this.levels[level];
    if (codec === undefined) throw new FormatError('level', `${this.geometry.name} has no such level`, { level });
    return codec;
  }

  /**
   * Decodes an entry.
   * @param level level from the leaves at which it stands
   * @param entry the word; upper bits beyond the format's entry size must be zero
   */
  decode(level: number, entry: bigint): DecodedEntry {
    const codec = this.codec(level);
    const lo = Number(entry & 0xffff_ffffn);
    const hi = Number(entry >> 32n);
    const code = codec.classify(lo, hi);
    const compiled = codec.shapes[code >> 2];
    const kind = KIND_NAMES[code & 3] as Kind;
    const addressed = compiled !== undefined && ((code & 3) === TABLE || (code & 3) === LEAF);
    let address: bigint | undefined;
    if (addressed) {
      address = BigInt(compiled.address.decode(lo, hi));
      if ((code & 3) === LEAF) address -= address % BigInt(compiled.leafBytes);
    }
    return {
      kind,
      shape: compiled?.shape.name,
      reasons: kind === 'malformed' || kind === 'empty' ? codec.reasons(lo, hi) : [],
      fields: fieldsOf(compiled?.fields ?? [], entry),
      address,
      leafBytes: kind === 'leaf' ? BigInt((compiled as CompiledShape).leafBytes) : undefined,
    };
  }

  /**
   * The entry bits, outside the address, that give a leaf shape these attributes. What makes the shape what it is (its
   * type bits) is filled in, whatever the attributes say about it.
   * @throws AttributeError if a field is unknown to the shape, a value does not fit, raw bits reach into the address,
   *   or the result would not decode to this leaf
   */
  leafBits(compiled: CompiledShape, attributes: Attributes): bigint {
    return this.#shapeBits(compiled, attributes, LEAF);
  }

  /**
   * A whole entry: a leaf of the given shape at a physical address.
   * @param level level from the leaves
   * @param shape the shape's name; not supplied, the leaf of that level that stands alone
   * @throws AttributeError or FormatError if there is no such leaf or it cannot be expressed
   */
  encodeLeaf(level: number, address: bigint, attributes: Attributes, shape?: string): bigint {
    const codec = this.codec(level);
    const compiled = codec.leaves.find((leaf) =>
      shape === undefined ? leaf.runEntries === 1 : leaf.shape.name === shape,
    );
    if (compiled === undefined) {
      throw new FormatError('leaf-level', `${this.geometry.name} has no such leaf`, { level, shape: shape ?? 'alone' });
    }
    this.checkAddress(address, BigInt(compiled.sharedAddress ? compiled.leafBytes : compiled.entryBytes));
    return this.#withAddress(compiled, this.leafBits(compiled, attributes), address);
  }

  /**
   * A table pointer at the given level.
   * @param attributes further bits or fields of the pointer; not supplied, those that limit nothing below it
   * @throws AttributeError or FormatError if there are no table pointers or this one cannot be expressed
   */
  encodeTable(level: number, address: bigint, attributes?: Attributes): bigint {
    const compiled = this.codec(level).table;
    const below = this.geometry.levels[level - 1];
    if (compiled === undefined || below === undefined) {
      throw new FormatError('table-level', `${this.geometry.name} has no table pointers there`, { level });
    }
    this.checkAddress(address, BigInt(below.alignBytes));
    return this.#withAddress(compiled, this.tableBits(compiled, attributes), address);
  }

  /**
   * The bits of a table pointer outside its address.
   * @param attributes bits or fields of the pointer; not supplied, those that limit nothing below it: ones in fields that
   *   leaves are and-ed with, zeros elsewhere
   * @throws AttributeError as {@link leafBits} does
   */
  tableBits(compiled: CompiledShape, attributes?: Attributes): bigint {
    return this.#shapeBits(compiled, attributes ?? neutralBits(compiled), TABLE);
  }

  /**
   * Can a shape hold this address? Some hold fewer bits than the geometry has: sections beside supersections, tables
   * beside leaves.
   * @param address exact, aligned as the shape needs; for an entry of a run its own address
   */
  canHold(compiled: CompiledShape, address: number): boolean {
    const stored = compiled.address.decode(compiled.address.encodeLo(address), compiled.address.encodeHi(address));
    return stored === (compiled.sharedAddress ? address - (address % compiled.leafBytes) : address);
  }

  /** @throws AttributeError unless the address is aligned and within the physical bits of the geometry */
  checkAddress(address: bigint, alignment: bigint): void {
    if (typeof address !== 'bigint') checkBigints({ address });
    // By way of numbers, which is several times faster; what fails there is looked at exactly.
    if (exactMultiple(address, Number(alignment)) < this.paEnd) return;
    if (address < 0n || address >> BigInt(this.geometry.paBits) !== 0n || address % alignment !== 0n) {
      throw new AttributeError(
        'physical-address',
        `an address must be a multiple of ${hex(alignment)} below 2^${this.geometry.paBits}`,
        { address },
      );
    }
  }

  #withAddress(compiled: CompiledShape, bits: bigint, address: bigint): bigint {
    const at = Number(address);
    if (!this.canHold(compiled, at)) {
      throw new AttributeError('physical-address', `a ${compiled.shape.name} cannot hold that address`, { address });
    }
    return bits | join(compiled.address.encodeLo(at), compiled.address.encodeHi(at));
  }

  /** The bits of a shape outside its address, checked: they must decode to that very shape. */
  #shapeBits(compiled: CompiledShape, attributes: Attributes, kind: typeof LEAF | typeof TABLE): bigint {
    if (typeof attributes !== 'bigint' && (typeof attributes !== 'object' || attributes === null)) {
      // An empty number has no fields and would do for none at all.
      throw new AttributeError('attribute-kind', 'attributes are bits as a bigint, or an object of fields', {
        attributes: typeof attributes === 'number' ? attributes : typeof attributes,
      });
    }
    const bits = typeof attributes === 'bigint' ? attributes : this.#fieldBits(compiled, attributes);
    if (bits < 0n || bits >> BigInt(this.format.entryBytes * 8) !== 0n) {
      throw new AttributeError('attribute-width', 'attribute bits do not fit in an entry', { bits });
    }
    const addressMask = addressBits(compiled);
    if ((bits & addressMask & ~compiled.fixedMask) !== 0n) {
      throw new AttributeError('attribute-address', 'attribute bits reach into the address', { bits, addressMask });
    }
    const word = (bits & ~compiled.fixedMask) | compiled.fixedValue;
    const codec = this.levels.find(({ shapes }) => shapes.includes(compiled)) as LevelCodec;
    const lo = Number(word & 0xffff_ffffn);
    const hi = Number(word >> 32n);
    const code = codec.classify(lo, hi);
    if (code !== (kind | (compiled.index << 2))) {
      const result = KIND_NAMES[code & 3] as Kind;
      const why = (code & 3) === MALFORMED ? codec.reasons(lo, hi).join(' ') : result;
      throw new AttributeError('attribute-result', `these attributes do not make a ${compiled.shape.name}`, {
        word,
        level: codec.level.level,
        result: why,
      });
    }
    return word;
  }

  #fieldBits(compiled: CompiledShape, values: FieldValues): bigint {
    let bits = 0n;
    for (const [name, value] of Object.entries(values)) {
      const field = compiled.fields.find((candidate) => candidate.name === name);
      if (field === undefined) {
        throw new AttributeError('attribute-field', `a ${compiled.shape.name} has no field of that name`, {
          field: name,
        });
      }
      if (!fitsRanges(value, field.bits)) {
        throw new AttributeError('attribute-width', `a value does not fit a field of a ${compiled.shape.name}`, {
          field: name,
          value,
        });
      }
      bits |= scatter(BigInt(value), field.bits);
    }
    return bits;
  }
}

/** The bits of a table pointer that limits nothing below it. */
function neutralBits(compiled: CompiledShape): bigint {
  const ands = compiled.effects.filter(({ op }) => op === 'and').map(({ field }) => field);
  return compiled.fields.reduce((bits, { name, bits: at }) => (ands.includes(name) ? bits | rangesMask(at) : bits), 0n);
}

function choiceOf(leaf: CompiledShape, level: number): LeafChoice {
  return {
    level,
    shape: leaf.shape.name,
    leafBytes: BigInt(leaf.leafBytes),
    entryBytes: BigInt(leaf.entryBytes),
    runEntries: leaf.runEntries,
  };
}

/**
 * Compiles a format with a geometry.
 * @throws FormatError if either contradicts itself, a feature is unknown, or two features exclude each other
 */
export function createPaging(format: Format, geometry: GeometryDescription, options: PagingOptions = {}): Paging {
  return new Paging(format, geometry, options);
}
