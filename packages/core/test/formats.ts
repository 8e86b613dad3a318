/**
 * Formats for the tests of core's operations. Between them they use everything that the format contract promises; the
 * list at the end is what the property tests run over. They are written down anew here and share nothing with the
 * architecture packages.
 */
import type { AddressPiece, Field, FieldValues, Format } from '../src/format.ts';
import type { GeometryDescription } from '../src/geometry.ts';
import { createPaging, type Paging } from '../src/paging.ts';
import { andedFormat, andedGeometry, napotFormat, napotGeometry } from './formats-anded.ts';
import {
  arm64Format,
  arm64Geometry,
  armShortFormat,
  armShortGeometry,
  lpaeFormat,
  lpaeGeometry,
} from './formats-arm.ts';

const bit = (name: string, at: number, extra: Partial<Field> = {}): Field => ({
  name,
  bits: [[at, at]],
  meaning: name,
  ...extra,
});

/** Address bits 41:40 lie at 9:8, 39:24 at 55:40, and the rest below 32. */
const miniPieces = (from: number): readonly AddressPiece[] => [
  { entryLo: 8 + from, addressLo: from, bits: 24 - from },
  { entryLo: 40, addressLo: 24, bits: 16 },
  { entryLo: 8, addressLo: 40, bits: 2 },
];

const ZERO_63 = bit('zero', 63, { meaning: 'bit 63 must be zero', reserved: 'reserved_63' });

const miniFields = (pat: number): readonly Field[] => [
  ZERO_63,
  { name: 'soft', bits: [[62, 60]], meaning: 'software', software: true },
  {
    name: 'key',
    bits: [
      [57, 57],
      [39, 38],
      [33, 33],
    ],
    meaning: 'a key in three pieces',
    values: { 5: 'five' },
  },
  bit('pat', pat),
  bit('d', 11, { acrossRun: 'or' }),
  bit('a', 6, { acrossRun: 'or' }),
  bit('nx', 5),
  bit('u', 4),
  bit('w', 3),
  bit('run', 2),
  bit('valid', 0),
];
const VALID_LEAF = { mask: 3n, equals: 1n } as const;

/**
 * Eight entries a table, so that whole address spaces can be tried. Pages come alone or in runs of four that share an
 * address with 10 in its low bits; blocks alone or in pairs with addresses of their own. Blocks keep `pat` where pages
 * have an address bit, and bit 7 is theirs as `big`.
 */
export const miniFormat: Format = {
  name: 'mini',
  title: 'eight entries a table',
  entryBytes: 8,
  features: { flat: 'tables do nothing to leaves', nopair: 'no runs of blocks', marks: 'tables are marked when used' },
  shapes: [
    { name: 'empty', kind: 'empty', reason: 'not_valid', match: [{ mask: 1n, equals: 0n }], fields: [] },
    {
      name: 'table',
      kind: 'table',
      levels: [1, 2, 3],
      match: [{ mask: 3n, equals: 3n }],
      address: [
        { entryLo: 14, addressLo: 6, bits: 18 },
        { entryLo: 40, addressLo: 24, bits: 16 },
        { entryLo: 8, addressLo: 40, bits: 2 },
      ],
      fields: [ZERO_63, bit('tnx', 59), bit('nowrite', 58), bit('ta', 5), bit('tu', 4)],
      marks: [{ field: 'ta', when: ['marks'] }],
      effects: [
        { field: 'tu', on: 'u', op: 'and', when: ['!flat'] },
        { field: 'tnx', on: 'nx', op: 'or', when: ['!flat'] },
        { field: 'nowrite', on: 'w', op: 'clear', when: ['!flat'] },
      ],
    },
    {
      name: 'page-run',
      kind: 'leaf',
      levels: [0],
      match: [VALID_LEAF, { mask: 4n | (3n << 20n), equals: 4n | (2n << 20n) }],
      address: miniPieces(12),
      run: { entries: 4, address: 'shared' },
      fields: miniFields(7),
    },
    {
      name: 'page',
      kind: 'leaf',
      levels: [0],
      match: [VALID_LEAF, { mask: 4n, equals: 0n }],
      address: miniPieces(12),
      fields: miniFields(7),
    },
    {
      name: 'block-pair',
      kind: 'leaf',
      levels: [1],
      when: ['!nopair'],
      match: [VALID_LEAF, { mask: 0x84n, equals: 0x84n }],
      address: miniPieces(15),
      run: { entries: 2, address: 'own' },
      fields: [bit('big', 7), ...miniFields(20)],
    },
    {
      name: 'block',
      kind: 'leaf',
      levels: [1, 2],
      match: [VALID_LEAF, { mask: 0x84n, equals: 0x80n }],
      address: miniPieces(15),
      fields: [bit('big', 7), ...miniFields(20)],
    },
  ],
  rules: [
    {
      reason: 'u_without_a',
      meaning: 'user leaves must be accessed',
      tests: [{ mask: 0x50n, equals: 0x10n }],
      kinds: ['leaf'],
    },
    { reason: 'misaligned', meaning: 'not aligned to its size', tests: 'misaligned', shapes: ['block'] },
  ],
  access: {
    options: [
      { name: 'update', meaning: 'hardware sets a and d', values: [false, true] },
      { name: 'level', meaning: 'how strict', values: ['low', 'high'] },
    ],
    check(leaf, { kind, privilege, options }) {
      const reasons: string[] = [];
      if (leaf.a === 0 && options.update !== true) reasons.push('a_clear');
      if (privilege === 'user' && leaf.u === 0) reasons.push('not_user');
      if (kind === 'write' && leaf.w === 0) reasons.push('not_writable');
      if (kind === 'execute' && (leaf.nx === 1 || options.level === 'high')) reasons.push('not_executable');
      const set = (leaf.a === 0 ? 1n << 6n : 0n) | (kind === 'write' && leaf.d === 0 ? 1n << 11n : 0n);
      return { reasons, set, clear: options.level === 'high' ? 1n << 60n : 0n };
    },
  },
  common: {
    toCommon: (leaf) => ({
      read: true,
      write: leaf.w === 1,
      execute: leaf.nx === 0,
      user: leaf.u === 1,
      global: false,
      accessed: leaf.a === 1,
      dirty: leaf.d === 1,
      memory: leaf.pat === 1 ? 'uncached' : 'normal',
    }),
    fromCommon: () => ({ fields: {}, lost: [] }),
  },
  fault: ({ reason, stage, level, request }) => ({
    type: `${stage}:${reason}`,
    code: { read: 1, write: 2, execute: 3 }[request.kind],
    ...(level === undefined ? { level: 9 } : {}),
  }),
};

/** Two to four levels: 2 MiB of virtual addresses with three. */
export function miniGeometry(levels: number, more: Partial<GeometryDescription> = {}): GeometryDescription {
  return {
    name: `mini${levels}`,
    levels: Array.from({ length: levels }, (_, level) => ({
      shift: 12 + 3 * level,
      indexBits: 3,
      hardware: 10 - level,
      name: `L${level}`,
      leafName: level === 0 ? 'page' : 'block',
    })),
    vaBits: 12 + 3 * levels,
    paBits: 42,
    ...more,
  };
}

/** The mini format with three levels under both ends of the address space. */
export const mini: Paging = createPaging(miniFormat, miniGeometry(3));

/** What the property tests run over. */
export interface Subject {
  readonly name: string;
  readonly format: Format;
  readonly geometry: GeometryDescription;
  readonly features: readonly string[];
  readonly paging: Paging;
  /** Sets of field values that every leaf of the format can have. */
  readonly looks: readonly [FieldValues, FieldValues, FieldValues];
}

function subject(
  name: string,
  format: Format,
  geometry: GeometryDescription,
  looks: Subject['looks'],
  features: readonly string[] = [],
): Subject {
  const all = [...features, ...(geometry.features ?? [])];
  return { name, format, geometry, features: all, paging: createPaging(format, geometry, { features }), looks };
}

const MINI: Subject['looks'] = [
  { a: 1, w: 1, u: 1, pat: 1, key: 5 },
  { a: 1, nx: 1, soft: 5, key: 10 },
  { a: 0, d: 1, pat: 1 },
];
const ARM64: Subject['looks'] = [
  { af: 1, attr: 1, uxn: 1, pxn: 1, dbm: 1 },
  { af: 1, ap1: 1, ap2: 1, ng: 1, sw: 9, pxn: 1 },
  { af: 0, attr: 7, gp: 1, pbha: 3, ns: 1 },
];
const LPAE: Subject['looks'] = [
  { af: 1, attr: 7, sh: 3, xn: 1 },
  { af: 1, ap1: 1, ap2: 1, ng: 1, sw: 9 },
  { attr: 4, pxn: 1, xn: 1 },
];
const SHORT: Subject['looks'] = [
  { ap: 1, tex: 5, cb: 3, xn: 1 },
  { ap: 3, tex: 2, cb: 1, ng: 1, s: 1 },
  { ap: 2, ap2: 1, tex: 7, cb: 2, xn: 1 },
];
const ANDED: Subject['looks'] = [
  { rw: 1, us: 1, a: 1, d: 1, pat: 1, g: 1 },
  { rw: 0, us: 1, a: 1, xd: 1, avl: 5, pk: 9 },
  { rw: 1, us: 0, pat: 1, pcd: 1, pwt: 1, avl_high: 100 },
];
const NAPOT: Subject['looks'] = [
  { r: 1, w: 1, a: 1, d: 1, g: 1 },
  { r: 1, x: 1, u: 1, rsw: 2 },
  { r: 1, w: 1, pbmt: 2, a: 1 },
];

/** Every configuration. */
export const SUBJECTS: readonly Subject[] = [
  subject('mini, both ends', miniFormat, miniGeometry(3), MINI),
  subject('mini, low', miniFormat, miniGeometry(3, { upper: 'zero' }), MINI, ['flat']),
  subject('mini, high', miniFormat, miniGeometry(3, { upper: 'one' }), MINI, ['nopair']),
  subject('mini, four levels', miniFormat, miniGeometry(4, { upper: 'one' }), MINI),
  subject(
    '16 entries at the root, 52 bits',
    arm64Format(12),
    arm64Geometry(12, 52, { upper: 'one', features: ['wide'] }),
    ARM64,
  ),
  subject('4K, 39 bits, tags', arm64Format(12), arm64Geometry(12, 39, { ignored: { bits: [63, 56] } }), ARM64),
  subject('2 entries at the root, 16K', arm64Format(14), arm64Geometry(14, 48, { upper: 'one' }), ARM64),
  subject('64K, 52 bits', arm64Format(16), arm64Geometry(16, 52, { features: ['wide'] }), ARM64, ['hpd']),
  subject('concatenated root', arm64Format(12), arm64Geometry(12, 40, { concatenated: 1 }), ARM64),
  subject('short', armShortFormat, armShortGeometry(), SHORT),
  subject('short, a quarter', armShortFormat, armShortGeometry(30), SHORT),
  subject('long, 32 bits', lpaeFormat, lpaeGeometry(0, 'zero'), LPAE),
  subject('long, top of 32 bits', lpaeFormat, lpaeGeometry(2, 'one'), LPAE),
  subject('and-ed tables', andedFormat, andedGeometry(4), ANDED, ['nx', 'huge']),
  subject('and-ed tables, five levels', andedFormat, andedGeometry(5), ANDED, ['nx']),
  subject('runs with a pattern', napotFormat, napotGeometry(3), NAPOT),
  subject('runs with a pattern, five levels', napotFormat, napotGeometry(5), NAPOT),
];

/** A subject by its name. */
export function named(name: string): Subject {
  const found = SUBJECTS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no subject ${name}`);
  return found;
}
