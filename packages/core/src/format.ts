/**
 * The format contract: what an architecture says about its page-table entries, as data.
 *
 * A format is described once. The codec, the decoder, `explain`, the documentation tables and the pictures are all
 * derived from the description; what a format may leave out is listed, with what then holds, in `format-defaults.ts`.
 * Levels count from the leaves: level 0 holds only leaves. A level number of the hardware appears only in output.
 */
import type { FeatureCondition, LevelCondition } from './condition.ts';

/** A run of bits `hi` down to `lo`, both included. */
export type BitRange = readonly [hi: number, lo: number];

/** A named bit field of an entry or a register, possibly scattered. */
export interface Field {
  /** Short name, unique within its shape: `r`, `ppn`, `attrIndx`. */
  readonly name: string;
  /** Where it lies; the first range holds the most significant bits. */
  readonly bits: readonly BitRange[];
  /** What it means, in a few words. */
  readonly meaning: string;
  /** Names of particular values. */
  readonly values?: Readonly<Record<number, string>>;
  /** Section of the specification that defines it. */
  readonly section?: string;
  /** Ignored by hardware, free for software. Not supplied: false. */
  readonly software?: boolean;
  /**
   * Must be zero in a table entry or a leaf: the reason with which the hardware refuses an entry where it is not.
   * Makes a {@link MalformedRule}. Not supplied: any value will do, unless a rule says otherwise.
   */
  readonly reserved?: string;
  /**
   * Hardware may change it in any one entry of a run and mean them all: with `or` one that is set counts for all
   * (accessed, dirty), with `and` one that is clear does (a read-only bit that stands for "clean"). Not supplied: what
   * an entry of a run says holds for itself.
   */
  readonly acrossRun?: 'or' | 'and';
  /** Exists only under these features. Not supplied: always. */
  readonly when?: FeatureCondition;
}

/**
 * A piece of an address inside an entry: entry bits `entryLo + bits - 1 .. entryLo` hold address bits
 * `addressLo + bits - 1 .. addressLo`. An address is a list of such pieces, so a split 52-bit address is nothing special.
 */
export interface AddressPiece {
  readonly entryLo: number;
  readonly addressLo: number;
  readonly bits: number;
  /** Exists only under these features. Not supplied: always. */
  readonly when?: FeatureCondition;
}

/** A test on the bits of an entry: `(entry & mask)` either equals or differs from a value. */
export type BitTest =
  | { readonly mask: bigint; readonly equals: bigint }
  | { readonly mask: bigint; readonly differs: bigint };

interface ShapeBase {
  /** Short name: `page`, `block`, `table`, `napot`. */
  readonly name: string;
  /** The word has this shape if all tests hold; the first shape of the list that fits wins. */
  readonly match: readonly BitTest[];
  /** Levels at which the shape exists. Not supplied: all. */
  readonly levels?: LevelCondition;
  /** Features under which it exists. Not supplied: always. */
  readonly when?: FeatureCondition;
  /** Its bit fields, from the top bit down or in the order that the specification lists them. */
  readonly fields: readonly Field[];
  /** Section of the specification. */
  readonly section?: string;
}

/** A word that maps nothing and points nowhere. */
export interface EmptyShape extends ShapeBase {
  readonly kind: 'empty';
  /** The reason that a walk reports here: `v_clear`. */
  readonly reason: string;
}

/** How a field of a table entry limits or extends every leaf below it. */
export interface TableEffect {
  /** Field of the table shape. */
  readonly field: string;
  /** Field of the leaf shapes that it acts on, or a name of its own that the access rules and attributes then see. */
  readonly on: string;
  /** `or` sets, `and` keeps only where both are set, `clear` clears where the table's bit is set. */
  readonly op: 'or' | 'and' | 'clear';
  /** Acts only under these features. Not supplied: always. */
  readonly when?: FeatureCondition;
}

/** A field of a table entry that the hardware sets by itself when a translation passes through the entry. */
export interface TableMark {
  /** Field of the table shape; all its bits are set. */
  readonly field: string;
  /** Happens only under these features. Not supplied: always. */
  readonly when?: FeatureCondition;
}

/** A word that points to a table of the next level. */
export interface TableShape extends ShapeBase {
  readonly kind: 'table';
  /** Where the next table's physical address lies. */
  readonly address: readonly AddressPiece[];
  /** How its fields act on the leaves below. Not supplied: not at all. */
  readonly effects?: readonly TableEffect[];
  /** What hardware sets in it when it is used (accessed flags of tables). Not supplied: nothing. */
  readonly marks?: readonly TableMark[];
}

/** Several adjacent entries that act as one translation (NAPOT, the contiguous hint, large pages, supersections). */
export interface Run {
  /** Entries in the run, a power of two above 1; the run starts at a multiple of it. */
  readonly entries: number;
  /** Whether each entry stores its `own` address or all store the `shared` address of the run. */
  readonly address: 'own' | 'shared';
}

/** A word that maps memory. */
export interface LeafShape extends ShapeBase {
  readonly kind: 'leaf';
  /** Where the physical address lies. Pieces below the leaf's size are not read. */
  readonly address: readonly AddressPiece[];
  /** Set if the leaf is one entry of a run. Not supplied: the entry stands alone. */
  readonly run?: Run;
}

/** What a word can look like. */
export type Shape = EmptyShape | TableShape | LeafShape;

/** A rule that makes a non-empty entry malformed. Rules are judged in their order; the first is "the" reason. */
export interface MalformedRule {
  /** The reason's name: `w_without_r`. */
  readonly reason: string;
  /** The reason in words. */
  readonly meaning: string;
  /**
   * The entry breaks the rule if all tests hold. Two words stand for tests on its address: `misaligned` for "a leaf with
   * address bits set below its own size" (without such a rule the hardware ignores those bits; they are zero in entries
   * that we encode), `address-size` for "address bits set at or above the physical bits of the geometry".
   */
  readonly tests: readonly BitTest[] | 'misaligned' | 'address-size';
  /** Kinds of shape it speaks of. Not supplied: tables and leaves. */
  readonly kinds?: readonly ('table' | 'leaf')[];
  /** Names of the shapes it speaks of. Not supplied: every shape of those kinds. */
  readonly shapes?: readonly string[];
  /** Levels it speaks of. Not supplied: all. */
  readonly levels?: LevelCondition;
  /** Features under which it holds. Not supplied: always. */
  readonly when?: FeatureCondition;
  /** Section of the specification. */
  readonly section?: string;
}

/**
 * Stands in a list of rules for the rules of all fields that are `reserved`. In a list without it they are judged before
 * all others.
 */
export const RESERVED_FIELDS = 'reserved-fields';

/** What kind of access is made. */
export type AccessKind = 'read' | 'write' | 'execute';

/** Who makes it. */
export type Privilege = 'user' | 'supervisor';

/** An access to be judged. `options` are the format's own (named in {@link AccessRules.options}). */
export interface AccessRequest {
  readonly kind: AccessKind;
  readonly privilege: Privilege;
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

/** Field values by name. Every field is at most 32 bits wide except addresses, which do not appear here. */
export type FieldValues = Readonly<Record<string, number>>;

/** What an access check answers for a well-formed leaf. */
export interface AccessVerdict {
  /** Why the access is refused, in checking order; empty if it is allowed. */
  readonly reasons: readonly string[];
  /** Bits that the hardware sets in the leaf by itself (accessed, dirty), if the access is allowed. */
  readonly set?: bigint;
  /** Bits that it clears (a read-only bit that stands for "clean"). */
  readonly clear?: bigint;
}

/** An option of the access check: a control bit of the machine that changes the answer. */
export interface AccessOption {
  readonly name: string;
  readonly meaning: string;
  /**
   * Allowed values; the first is the default. Booleans are listed as `false`, `true`. An empty list: any number of at
   * most 32 bits, 0 by default.
   */
  readonly values: readonly (string | number | boolean)[];
  readonly section?: string;
}

/** How a format judges accesses. */
export interface AccessRules {
  readonly options: readonly AccessOption[];
  /**
   * Judges one access.
   * @param leaf fields of the leaf after the effects of the tables above it
   * @param request the access, with every option filled in
   * @param features the features that are on
   */
  check(leaf: FieldValues, request: Required<AccessRequest>, features: ReadonlySet<string>): AccessVerdict;
}

/** Why a walk stopped, before the architecture gives it a name and a code. */
export interface FaultEvent {
  /** The reason: of an empty shape, a malformed rule, the access rules, `non_canonical` or `no_memory`. */
  readonly reason: string;
  /** All reasons, in checking order; the first is {@link reason}. */
  readonly reasons: readonly string[];
  /** What stage of checking found it. */
  readonly stage: 'address' | 'entry' | 'access' | 'memory';
  /** Level from the leaves; `undefined` if no entry had been read. */
  readonly level: number | undefined;
  /** The access that was tried, with every option of the access check filled in. */
  readonly request: Required<AccessRequest>;
  /** The features that are on. */
  readonly features: ReadonlySet<string>;
}

/** The architecture's own name for a fault. */
export interface FaultReport {
  /** `page_fault`, `translation`, `permission`, … */
  readonly type: string;
  /** The code that the hardware reports: scause, FSC, FSR, error code. */
  readonly code?: number;
  /** The level that the hardware reports, in its own numbering. Not supplied: that of the entry. */
  readonly level?: number;
}

/** The vocabulary that all formats share. A format maps into it and says what is lost. */
export interface CommonAttributes {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly user: boolean;
  readonly global: boolean;
  readonly accessed: boolean;
  readonly dirty: boolean;
  /** `normal`, `uncached` (normal, not cached), `device` or a name of the format's own. */
  readonly memory: string;
  /** Shareability where the format has one: `none`, `inner`, `outer`. */
  readonly shareability?: string;
}

/** What {@link AttributeRules.fromCommon} gives: fields, and what could not be said with them. */
export interface CommonEncoding {
  readonly fields: FieldValues;
  /** Names of common attributes that the fields do not (or not exactly) express. */
  readonly lost: readonly (keyof CommonAttributes)[];
}

/** How a format's leaf fields relate to the common vocabulary. */
export interface AttributeRules {
  /** The common attributes of a leaf with these fields. */
  toCommon(leaf: FieldValues, features: ReadonlySet<string>): CommonAttributes;
  /** Fields for the wanted attributes; what is not wanted explicitly is chosen as a kernel would. */
  fromCommon(wanted: Partial<CommonAttributes>, features: ReadonlySet<string>): CommonEncoding;
}

/** A format: the entries of one architecture (or of one of its table formats). */
export interface Format {
  /** Unique: kebab-case or the architecture's own word. */
  readonly name: string;
  /** One line for people. */
  readonly title: string;
  /** Bytes of an entry. */
  readonly entryBytes: 4 | 8;
  /** Features by name, each with its meaning. Not supplied: none. */
  readonly features?: Readonly<Record<string, string>>;
  /** Sets of features that shut each other out: no machine has two of one set. Not supplied: any may come together. */
  readonly exclusive?: readonly (readonly string[])[];
  /** What words can look like, in the order of matching. */
  readonly shapes: readonly Shape[];
  /** What makes them malformed besides reserved fields, in the order of checking. Not supplied: nothing. */
  readonly rules?: readonly (MalformedRule | typeof RESERVED_FIELDS)[];
  /** The reason when no shape fits. Not supplied: `reserved_encoding`. */
  readonly unmatched?: string;
  /** The reason for an address outside the geometry's virtual range. Not supplied: `non_canonical`. */
  readonly nonCanonical?: string;
  /** Attribute fields, in the order in which they are printed. Not supplied: all fields of the leaf shapes but reserved ones. */
  readonly attributes?: readonly string[];
  /** Mapping into the common vocabulary. Not supplied: nothing is known of it, `common` is undefined. */
  readonly common?: AttributeRules;
  /** The access check. Not supplied: every access to a leaf is allowed. */
  readonly access?: AccessRules;
  /** Names a fault as the architecture does. Not supplied: the type is the reason, without a code. */
  fault?(event: FaultEvent): FaultReport;
}
