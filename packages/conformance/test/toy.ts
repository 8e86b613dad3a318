/**
 * Toy formats: small, regular, made up. Between them they have everything that a format can have, so that the checks
 * can be seen to pass, and by changing one member to fail.
 *
 * An entry: bit 0 valid, bit 1 table, bits 2 to 9 attributes, bit 10 "one of a run", bit 11 for software, the address
 * from bit 12 up. Entries of 8 bytes have the address up to bit 47, four more address bits at `splitAt` if there are
 * more than 48, software bits from 56 up, and nothing else.
 */
import {
  type AccessRules,
  type AddressPiece,
  type AttributeRules,
  type BitTest,
  type CommonAttributes,
  createPaging,
  type Field,
  type Format,
  type GeometryDescription,
  type LevelCondition,
  type MalformedRule,
  type Run,
  type Shape,
} from '@pagefold/core';
import type { ConformanceSubject } from '../src/index.ts';

const VALID: BitTest = { mask: 1n, equals: 1n };
const TABLE: BitTest = { mask: 2n, equals: 2n };
const LEAF: BitTest = { mask: 2n, equals: 0n };
const RUN: BitTest = { mask: 1n << 10n, equals: 1n << 10n };

function field(name: string, hi: number, lo: number = hi, more: Partial<Field> = {}): Field {
  return { name, bits: [[hi, lo]], meaning: name, ...more };
}

/** What differs from toy to toy. */
export interface ToyOptions {
  readonly name: string;
  readonly entryBytes?: 4 | 8;
  /** Log2 of the smallest leaf. */
  readonly granule?: number;
  /** Physical bits; above 48 the address is split. */
  readonly paBits?: number;
  /** Entry bit where address bits 48 and up lie. */
  readonly splitAt?: number;
  readonly run?: Run & { readonly levels: LevelCondition };
  /** Levels that have leaves. Not supplied: all. */
  readonly leafLevels?: LevelCondition;
  /** Tables limit and extend what is below them. */
  readonly effects?: boolean;
  /** Lowest address bit of a table pointer. Not supplied: that of leaves. */
  readonly tableLo?: number;
}

function leafFields(wide: boolean): readonly Field[] {
  return [
    ...(wide ? [field('sw2', 63, 56, { software: true })] : []),
    field('sw', 11, 11, { software: true }),
    field('run', 10),
    field('mt', 9, 8, { values: { 0: 'normal', 1: 'uncached', 2: 'device', 3: 'reserved' } }),
    field('d', 7),
    field('a', 6),
    field('g', 5),
    field('u', 4),
    field('x', 3),
    field('w', 2),
    field('t', 1),
    field('v', 0),
  ];
}

function addressPieces({ entryBytes = 8, granule = 12, paBits = 48, splitAt = 52 }: ToyOptions): AddressPiece[] {
  const top = entryBytes === 4 ? 32 : 48;
  const pieces = [{ entryLo: granule, addressLo: granule, bits: Math.min(top, paBits) - granule }];
  return paBits > 48 ? [...pieces, { entryLo: splitAt, addressLo: 48, bits: paBits - 48 }] : pieces;
}

/** A toy format. */
export function toyFormat(options: ToyOptions): Format {
  const { name, entryBytes = 8, run, leafLevels, effects = false } = options;
  const wide = entryBytes === 8;
  const fields = leafFields(wide);
  const address = addressPieces(options);
  const tableLo = options.tableLo ?? 12;
  const tableReserved = ((1n << BigInt(tableLo)) - 1n) & ~0x3fn;
  const held = address.reduce((mask, { entryLo, bits }) => mask | (((1n << BigInt(bits)) - 1n) << BigInt(entryLo)), 0n);
  const levels = leafLevels === undefined ? {} : { levels: leafLevels };
  const empty: Shape = { name: 'empty', kind: 'empty', match: [{ mask: 1n, equals: 0n }], reason: 'not_valid', fields };
  const table: Shape = {
    name: 'table',
    kind: 'table',
    match: [VALID, TABLE],
    levels: [1, 2, 3, 4],
    address: addressPieces({ ...options, granule: options.tableLo ?? options.granule ?? 12 }),
    fields: [
      ...(wide ? [field('sw2', 63, 56, { software: true })] : []),
      field('reserved', tableLo - 1, 6),
      field('gt', 5),
      field('ut', 4),
      field('nx', 3),
      field('wt', 2),
      field('t', 1),
      field('v', 0),
    ],
    ...(effects
      ? {
          effects: [
            { field: 'gt', on: 'g', op: 'or' },
            { field: 'ut', on: 'u', op: 'and' },
            { field: 'wt', on: 'w', op: 'and' },
            { field: 'nx', on: 'x', op: 'clear' },
          ],
        }
      : {}),
  };
  const part: Shape[] =
    run === undefined
      ? []
      : [{ name: 'part', kind: 'leaf', match: [VALID, LEAF, RUN], levels: run.levels, address, run, fields }];
  const leaf: Shape = { name: 'leaf', kind: 'leaf', match: [VALID, LEAF], ...levels, address, fields };
  // Whatever is neither address nor attribute.
  const unused = ((1n << 56n) - (1n << 12n)) & ~held;
  const rules: readonly MalformedRule[] = [
    {
      reason: 'reserved_table',
      meaning: 'bits from 6 up to the address',
      tests: [{ mask: tableReserved, differs: 0n }],
      kinds: ['table'],
    },
    ...(wide ? [{ reason: 'reserved', meaning: 'bits of no use', tests: [{ mask: unused, differs: 0n }] }] : []),
    { reason: 'reserved_type', meaning: 'memory type 3', tests: [{ mask: 0x300n, equals: 0x300n }], kinds: ['leaf'] },
    { reason: 'no_run', meaning: 'no runs here', tests: [RUN], shapes: ['leaf'] },
    { reason: 'misaligned', meaning: 'an address below the leaf', tests: 'misaligned' },
  ];
  return {
    name,
    title: `toy format ${name}`,
    entryBytes,
    shapes: [empty, table, ...part, leaf],
    rules,
    attributes: ['sw', 'run', 'mt', 'd', 'a', 'g', 'u', 'x', 'w'],
    common: toyCommon,
    access: toyAccess,
    fault: ({ reason, stage }) => ({ type: `toy_${stage}_${reason}`, code: 7 }),
  };
}

const TYPES = ['normal', 'uncached', 'device', 'reserved'] as const;

/** Everything is readable; the rest is said one to one. */
export const toyCommon: AttributeRules = {
  toCommon: (leaf): CommonAttributes => ({
    read: true,
    write: leaf.w === 1,
    execute: leaf.x === 1,
    user: leaf.u === 1,
    global: leaf.g === 1,
    accessed: leaf.a === 1,
    dirty: leaf.d === 1,
    memory: TYPES[leaf.mt ?? 0] ?? 'reserved',
  }),
  fromCommon(wanted) {
    const lost: (keyof CommonAttributes)[] = [];
    if (wanted.read === false) lost.push('read');
    if (wanted.shareability !== undefined) lost.push('shareability');
    const type = TYPES.indexOf((wanted.memory ?? 'normal') as (typeof TYPES)[number]);
    const known = type >= 0 && type < 3;
    if (!known) lost.push('memory');
    const fields = {
      w: Number(wanted.write ?? false),
      x: Number(wanted.execute ?? false),
      u: Number(wanted.user ?? false),
      g: Number(wanted.global ?? false),
      a: Number(wanted.accessed ?? true),
      d: Number(wanted.dirty ?? false),
      mt: known ? type : 0,
    };
    return { fields, lost };
  },
};

/** Accessed and dirty are set by hardware if `ad` is on; otherwise a clear bit refuses. */
export const toyAccess: AccessRules = {
  options: [
    { name: 'wp', meaning: 'supervisors may not write what is read-only', values: [true, false] },
    { name: 'ad', meaning: 'hardware sets accessed and dirty', values: ['hardware', 'fault'] },
  ],
  check(leaf, { kind, privilege, options }) {
    const reasons: string[] = [];
    if (privilege === 'user' && leaf.u === 0) reasons.push('not_user');
    if (kind === 'write' && leaf.w === 0 && (privilege === 'user' || options.wp === true)) reasons.push('read_only');
    if (kind === 'execute' && leaf.x === 0) reasons.push('no_execute');
    if (options.ad === 'fault') {
      if (leaf.a === 0) reasons.push('not_accessed');
      return { reasons };
    }
    return { reasons, set: (1n << 6n) | (kind === 'write' ? 1n << 7n : 0n) };
  },
};

/** Index bits by level, leaves first, and what else a geometry has. */
export function toyGeometry(
  name: string,
  granule: number,
  indexBits: readonly number[],
  more: Partial<GeometryDescription> = {},
): GeometryDescription {
  let shift = granule;
  const levels = indexBits.map((bits) => {
    const level = { shift, indexBits: bits };
    shift += bits;
    return level;
  });
  return { name, levels, vaBits: shift, paBits: 48, ...more };
}

/** Attribute sets that every toy leaf takes. */
export const toyAttributes: ConformanceSubject['attributes'] = [
  { w: 1, a: 1 },
  { x: 1, u: 1, g: 1, mt: 1 },
  { w: 1, u: 1, a: 1, d: 1, sw: 1, mt: 2 },
  {},
  0x0c4n,
  (leaf) => (leaf.level === 0 ? { sw: 1 } : { sw: 0 }),
];

/** A subject of a toy format and geometry. */
export function toySubject(
  options: ToyOptions,
  indexBits: readonly number[],
  geometry: Partial<GeometryDescription> = {},
  subject: Partial<ConformanceSubject> = {},
): ConformanceSubject {
  const { name, granule = 12, paBits = 48, entryBytes = 8 } = options;
  const description = toyGeometry(name, granule, indexBits, { paBits, ...geometry });
  // In large granules the bits between the attributes and the address mean nothing.
  const ignored = ((1n << BigInt(granule)) - 1n) & ~0xfffn;
  const unused = entryBytes === 8 ? { part: ignored, leaf: ignored, table: ignored } : {};
  return {
    name,
    paging: createPaging(toyFormat(options), description),
    attributes: toyAttributes,
    ignoredBits: unused,
    ...subject,
  };
}

const own16 = { entries: 16, address: 'own' } as const;
const shared16 = { entries: 16, address: 'shared' } as const;

/** The toys: two to five levels, both entry sizes, three granules, every kind of root, run and upper half. */
export const toys: readonly ConformanceSubject[] = [
  toySubject({ name: 'two levels of 4 bytes', entryBytes: 4, paBits: 32 }, [10, 10], { wordBits: 32 }),
  toySubject(
    {
      name: 'small tables under a large root',
      entryBytes: 4,
      paBits: 32,
      run: { ...own16, levels: [0, 1] },
      tableLo: 10,
    },
    [8, 12],
    { wordBits: 32, upper: 'zero' },
  ),
  toySubject({ name: 'three levels with own runs', run: { ...own16, levels: [0, 1] } }, [9, 9, 9]),
  toySubject({ name: 'three levels with effects', effects: true, run: { ...own16, levels: [0] } }, [9, 9, 9]),
  toySubject({ name: 'four levels, lower half', run: { ...shared16, levels: [0] } }, [9, 9, 9, 9], { upper: 'zero' }),
  toySubject({ name: 'five levels with shared runs', run: { ...shared16, levels: [0, 2] } }, [9, 9, 9, 9, 9]),
  toySubject({ name: '16K granule, partial root', granule: 14, run: { ...own16, levels: [0, 1] } }, [11, 11, 4], {
    upper: 'one',
  }),
  toySubject(
    { name: '64K granule, split address', granule: 16, paBits: 52, splitAt: 12, run: { ...own16, levels: [0] } },
    [13, 13, 6],
    {},
    { ignoredBits: {} },
  ),
  toySubject({ name: 'split address above', paBits: 52, leafLevels: [0, 1, 2] }, [9, 9, 9, 9], { upper: 'one' }),
  toySubject({ name: 'concatenated root', paBits: 40 }, [9, 9, 10], { upper: 'zero' }),
  toySubject({ name: 'tagged addresses' }, [9, 9, 9], { ignored: { bits: [63, 56] } }),
];
