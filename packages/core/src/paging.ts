/**
 * A paging: one format with one geometry and a set of features, compiled. The object that every operation works from.
 */
import { hex } from './address.ts';
import { fieldsOf, scatter } from './bits.ts';
import { join } from './compiled.ts';
import { AttributeError, FormatError } from './errors.ts';
import type { FieldValues, Format } from './format.ts';
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

/** A format with a geometry and features, compiled. Made by {@link createPaging}. */
export class Paging {
  readonly format: CompleteFormat;
  readonly geometry: Geometry;
  readonly features: ReadonlySet<string>;
  /** Codecs by level, leaves first. */
  readonly levels: readonly LevelCodec[];
  /** Every leaf that can be made, smallest first. */
  readonly leafChoices: readonly LeafChoice[];

  constructor(format: Format, geometry: GeometryDescription, options: PagingOptions = {}) {
    this.format = completeFormat(format);
    this.geometry = createGeometry(geometry, format.entryBytes);
    this.features = new Set([...this.geometry.features, ...(options.features ?? [])]);
    for (const feature of this.features) {
      if (!Object.hasOwn(this.format.features, feature)) {
        throw new FormatError('unknown-feature', `${format.name} has no feature of that name`, { feature });
      }
    }
    this.levels = this.geometry.levels.map((level) => new LevelCodec(this.format, level, this.features));
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

  /** Bytes of the smallest leaf: the unit of every mapping. */
  get pageBytes(): bigint {
    return BigInt(this.geometry.levels[0]?.entrySpan ?? 0);
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
   * The entry bits, outside the address, that give a leaf shape these attributes.
   * @throws AttributeError if a field is unknown to the shape, a value does not fit, raw bits reach into the address,
   *   or the result would not decode to this leaf
   */
  leafBits(compiled: CompiledShape, attributes: Attributes): bigint {
    const bits = typeof attributes === 'bigint' ? attributes : this.#fieldBits(compiled, attributes);
    const addressMask = compiled.address.mask;
    if ((bits & addressMask & ~compiled.fixedMask) !== 0n) {
      throw new AttributeError('attribute-address', 'attribute bits reach into the address', { bits, addressMask });
    }
    if (bits < 0n || bits >> BigInt(this.format.entryBytes * 8) !== 0n) {
      throw new AttributeError('attribute-width', 'attribute bits do not fit in an entry', { bits });
    }
    const word = (bits & ~compiled.fixedMask) | compiled.fixedValue;
    const codec = this.levels.find(({ shapes }) => shapes.includes(compiled)) as LevelCodec;
    const lo = Number(word & 0xffff_ffffn);
    const hi = Number(word >> 32n);
    const code = codec.classify(lo, hi);
    if (code !== (LEAF | (compiled.index << 2))) {
      const kind = KIND_NAMES[code & 3] as Kind;
      const why = (code & 3) === MALFORMED ? codec.reasons(lo, hi).join(' ') : kind;
      throw new AttributeError('attribute-result', `these attributes do not make a ${compiled.shape.name}`, {
        word,
        level: codec.level.level,
        result: why,
      });
    }
    return word;
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
    const bits = this.leafBits(compiled, attributes);
    const at = Number(address);
    return bits | join(compiled.address.encodeLo(at), compiled.address.encodeHi(at));
  }

  /**
   * A table pointer at the given level.
   * @param attributes further bits or fields of the pointer; not supplied, none
   */
  encodeTable(level: number, address: bigint, attributes: Attributes = 0n): bigint {
    const compiled = this.codec(level).table;
    const below = this.geometry.levels[level - 1];
    if (compiled === undefined || below === undefined) {
      throw new FormatError('table-level', `${this.geometry.name} has no table pointers there`, { level });
    }
    this.checkAddress(address, BigInt(below.alignBytes));
    const bits = this.tableBits(compiled, attributes);
    const at = Number(address);
    return bits | join(compiled.address.encodeLo(at), compiled.address.encodeHi(at));
  }

  /** The bits of a table pointer outside its address. */
  tableBits(compiled: CompiledShape, attributes: Attributes): bigint {
    const bits = typeof attributes === 'bigint' ? attributes : this.#fieldBits(compiled, attributes);
    if ((bits & compiled.address.mask & ~compiled.fixedMask) !== 0n) {
      throw new AttributeError('attribute-address', 'table bits reach into the address', { bits });
    }
    const word = (bits & ~compiled.fixedMask) | compiled.fixedValue;
    if (bits < 0n || bits >> BigInt(this.format.entryBytes * 8) !== 0n) {
      throw new AttributeError('attribute-width', 'table bits do not fit in an entry', { bits });
    }
    const codec = this.levels.find(({ shapes }) => shapes.includes(compiled)) as LevelCodec;
    if (codec.classify(Number(word & 0xffff_ffffn), Number(word >> 32n)) !== (TABLE | (compiled.index << 2))) {
      throw new AttributeError('attribute-result', 'these attributes do not make a table pointer', { word });
    }
    return word;
  }

  /** @throws AttributeError unless the address is aligned and within the physical bits of the geometry */
  checkAddress(address: bigint, alignment: bigint): void {
    if (address < 0n || address >> BigInt(this.geometry.paBits) !== 0n || address % alignment !== 0n) {
      throw new AttributeError(
        'physical-address',
        `an address must be a multiple of ${hex(alignment)} below 2^${this.geometry.paBits}`,
        { address },
      );
    }
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
      bits |= scatter(BigInt(value), field.bits);
    }
    return bits;
  }
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
 * @throws FormatError if either contradicts itself or a feature is unknown
 */
export function createPaging(format: Format, geometry: GeometryDescription, options: PagingOptions = {}): Paging {
  return new Paging(format, geometry, options);
}
