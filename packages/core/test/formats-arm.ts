/**
 * Arm formats written down anew for tests: descriptors with split 52-bit addresses, contiguous groups and table
 * attributes (three granules), the long descriptors of 32-bit machines, and the short ones with large pages and
 * supersections.
 */
import type { LevelCondition } from '../src/condition.ts';
import type { AddressPiece, BitTest, Field, Format, LeafShape, TableEffect } from '../src/format.ts';
import type { GeometryDescription } from '../src/geometry.ts';

const bit = (name: string, at: number, extra: Partial<Field> = {}): Field => ({
  name,
  bits: [[at, at]],
  meaning: name,
  ...extra,
});

/** log2 of the page: 4, 16 or 64 KiB. */
export type PageShift = 12 | 14 | 16;

const CONTIGUOUS: BitTest = { mask: 1n << 52n, equals: 1n << 52n };
/** Entries of a contiguous group, by level from the pages. */
const GROUPS: Readonly<Record<PageShift, readonly number[]>> = { 12: [16, 16, 16], 14: [128, 32], 16: [32, 32] };
const BLOCK_LEVELS: Readonly<Record<PageShift, LevelCondition>> = {
  12: [1, 2, { level: 3, when: ['wide'] }],
  14: [1, { level: 2, when: ['wide'] }],
  16: [1, { level: 2, when: ['wide'] }],
};

/** Pieces from a bit on: plain up to bit 47, and where the four top bits of a 52-bit address went. */
function pieces(page: PageShift, from: number): readonly AddressPiece[] {
  const low: AddressPiece = { entryLo: from, addressLo: from, bits: 48 - from };
  return page === 16
    ? [low, { entryLo: 12, addressLo: 48, bits: 4, when: ['wide'] }]
    : [
        low,
        { entryLo: 48, addressLo: 48, bits: 2, when: ['wide'] },
        { entryLo: 8, addressLo: 50, bits: 2, when: ['wide'] },
      ];
}

const EFFECTS: readonly TableEffect[] = [
  { field: 'aptable1', on: 'ap2', op: 'or', when: ['!hpd'] },
  { field: 'aptable0', on: 'ap1', op: 'clear', when: ['!hpd'] },
  { field: 'uxntable', on: 'uxn', op: 'or', when: ['!hpd'] },
  { field: 'pxntable', on: 'pxn', op: 'or', when: ['!hpd'] },
];

function leafFields(page: PageShift, block: boolean): readonly Field[] {
  return [
    bit('ign63', 63, { software: true }),
    { name: 'pbha', bits: [[62, 59]], meaning: 'hardware attributes' },
    { name: 'sw', bits: [[58, 55]], meaning: 'software', software: true },
    bit('uxn', 54),
    bit('pxn', 53),
    bit('cont', 52),
    bit('dbm', 51),
    bit('gp', 50),
    { name: 'oa', bits: [[page === 16 ? 47 : 49, block ? 29 : page]], meaning: 'output address' },
    ...(page === 16
      ? [{ name: 'oa_high', bits: [[15, 12]], meaning: 'output address', when: ['wide'] } as const]
      : [{ name: 'oa_high', bits: [[9, 8]], meaning: 'output address', when: ['wide'] } as const]),
    ...(block ? [bit('nt', 16)] : []),
    bit('ng', 11),
    bit('af', 10),
    { name: 'sh', bits: [[9, 8]], meaning: 'shareability', ...(page === 16 ? {} : { when: ['!wide'] }) },
    bit('ap2', 7),
    bit('ap1', 6),
    bit('ns', 5),
    { name: 'attr', bits: [[4, 2]], meaning: 'memory type' },
    { name: 'type', bits: [[1, 0]], meaning: 'kind of descriptor' },
  ];
}

/** 64-bit descriptors. `wide`: 52-bit addresses; `hpd`: table attributes are ignored. */
export function arm64Format(page: PageShift): Format {
  const leaf = (block: boolean): Omit<LeafShape, 'name'> => ({
    kind: 'leaf',
    match: [{ mask: 3n, equals: block ? 1n : 3n }],
    levels: block ? BLOCK_LEVELS[page] : [0],
    address: pieces(page, block ? { 12: 21, 14: 25, 16: 29 }[page] : page),
    fields: leafFields(page, block),
  });
  const groups = GROUPS[page].map(
    (entries, level): LeafShape => ({
      ...leaf(level > 0),
      name: level > 0 ? 'cont-block' : 'cont-page',
      match: [...leaf(level > 0).match, CONTIGUOUS],
      levels: [level],
      run: { entries, address: 'own' },
    }),
  );
  return {
    name: `test-arm64-${2 ** (page - 10)}k`,
    title: 'descriptors for tests',
    entryBytes: 8,
    features: { wide: '52-bit addresses', hpd: 'table attributes are ignored' },
    unmatched: 'reserved_descriptor',
    nonCanonical: 'input_size',
    shapes: [
      { name: 'invalid', kind: 'empty', reason: 'invalid', match: [{ mask: 1n, equals: 0n }], fields: [] },
      {
        name: 'table',
        kind: 'table',
        levels: [1, 2, 3, 4],
        match: [{ mask: 3n, equals: 3n }],
        address: pieces(page, page),
        effects: EFFECTS,
        fields: [
          bit('nstable', 63),
          bit('aptable1', 62),
          bit('aptable0', 61),
          bit('uxntable', 60),
          bit('pxntable', 59),
          { name: 'ignored', bits: [[58, 52]], meaning: 'software', software: true },
          { name: 'type', bits: [[1, 0]], meaning: 'kind of descriptor' },
        ],
      },
      ...groups,
      { ...leaf(false), name: 'page' },
      { ...leaf(true), name: 'block' },
    ],
    rules: [{ reason: 'address_size', meaning: 'the address is too large', tests: 'address-size' }],
    access: {
      options: [
        { name: 'ha', meaning: 'hardware sets AF', values: [false, true] },
        { name: 'hd', meaning: 'hardware clears AP2', values: [false, true] },
      ],
      check(leaf, { kind, privilege, options }) {
        const reasons: string[] = [];
        if (leaf.af === 0 && options.ha !== true) reasons.push('access_flag');
        const user = privilege === 'user';
        if (user && leaf.ap1 === 0 && kind !== 'execute') reasons.push('permission');
        const clean = kind === 'write' && leaf.ap2 === 1;
        if (clean && !(options.hd === true && leaf.dbm === 1)) reasons.push('permission');
        if (kind === 'execute' && (user ? leaf.uxn : leaf.pxn) === 1) reasons.push('permission');
        return { reasons, set: leaf.af === 0 ? 1n << 10n : 0n, clear: clean ? 1n << 7n : 0n };
      },
    },
    fault({ reason, level }) {
      if (level === undefined) return { type: 'translation', code: 4, level: 0 };
      const base = { address_size: 0, access_flag: 8, permission: 12 }[reason] ?? 4;
      return { type: reason, code: base + 3 - level };
    },
  };
}

/**
 * One half of a 64-bit address space, or (with `concatenated`) a second stage whose root is several tables.
 * @param paBits bits of an address that registers and machine allow
 */
export function arm64Geometry(
  page: PageShift,
  vaBits: number,
  more: Partial<GeometryDescription> & { readonly levels?: never; readonly concatenated?: number } = {},
): GeometryDescription {
  const { concatenated = 0, ...rest } = more;
  const step = page - 3;
  const count = Math.ceil((vaBits - concatenated - page) / step);
  const wide = rest.features?.includes('wide') === true;
  return {
    name: `test-arm64-${2 ** (page - 10)}k-${vaBits}`,
    levels: Array.from({ length: count }, (_, level) => {
      const shift = page + step * level;
      const indexBits = level === count - 1 ? vaBits - shift : step;
      return {
        shift,
        indexBits,
        hardware: 3 - level,
        name: `level ${3 - level}`,
        ...(level === count - 1 ? { alignBytes: Math.max(wide ? 64 : 8, 2 ** indexBits * 8) } : {}),
      };
    }),
    vaBits,
    paBits: wide ? 52 : 48,
    upper: 'zero',
    ...rest,
  };
}

const LPAE_PIECES: readonly AddressPiece[] = [{ entryLo: 12, addressLo: 12, bits: 28 }];
const LPAE_LEAF: readonly Field[] = [
  { name: 'sw', bits: [[58, 55]], meaning: 'software', software: true },
  bit('xn', 54),
  bit('pxn', 53),
  bit('cont', 52),
  { name: 'oa', bits: [[39, 12]], meaning: 'output address' },
  bit('ng', 11),
  bit('af', 10),
  { name: 'sh', bits: [[9, 8]], meaning: 'shareability' },
  bit('ap2', 7),
  bit('ap1', 6),
  bit('ns', 5),
  { name: 'attr', bits: [[4, 2]], meaning: 'memory type' },
  { name: 'type', bits: [[1, 0]], meaning: 'kind of descriptor' },
];

/** Long descriptors of 32-bit machines: 40-bit addresses. */
export const lpaeFormat: Format = {
  name: 'test-lpae',
  title: 'long descriptors for tests',
  entryBytes: 8,
  shapes: [
    { name: 'invalid', kind: 'empty', reason: 'invalid', match: [{ mask: 1n, equals: 0n }], fields: [] },
    {
      name: 'table',
      kind: 'table',
      levels: [1, 2],
      match: [{ mask: 3n, equals: 3n }],
      address: LPAE_PIECES,
      fields: [
        bit('aptable1', 62),
        bit('aptable0', 61),
        bit('xntable', 60),
        bit('pxntable', 59),
        { name: 'ignored', bits: [[58, 52]], meaning: 'software', software: true },
        { name: 'type', bits: [[1, 0]], meaning: 'kind of descriptor' },
      ],
      effects: [
        { field: 'aptable1', on: 'ap2', op: 'or' },
        { field: 'aptable0', on: 'ap1', op: 'clear' },
        { field: 'xntable', on: 'xn', op: 'or' },
        { field: 'pxntable', on: 'pxn', op: 'or' },
      ],
    },
    ...[0, 1].map(
      (level): LeafShape => ({
        name: level === 0 ? 'cont-page' : 'cont-block',
        kind: 'leaf',
        levels: [level],
        match: [{ mask: 3n, equals: level === 0 ? 3n : 1n }, CONTIGUOUS],
        address: LPAE_PIECES,
        run: { entries: 16, address: 'own' },
        fields: LPAE_LEAF,
      }),
    ),
    {
      name: 'page',
      kind: 'leaf',
      levels: [0],
      match: [{ mask: 3n, equals: 3n }],
      address: LPAE_PIECES,
      fields: LPAE_LEAF,
    },
    {
      name: 'block',
      kind: 'leaf',
      levels: [1, 2],
      match: [{ mask: 3n, equals: 1n }],
      address: LPAE_PIECES,
      fields: LPAE_LEAF,
    },
  ],
};

/** The part of a 32-bit space that one base register covers, cut by its size field (0 to 7). */
export function lpaeGeometry(size: number, upper: 'zero' | 'one'): GeometryDescription {
  const vaBits = 32 - size;
  const shifts = size < 2 ? [12, 21, 30] : [12, 21];
  return {
    name: `test-lpae-${size}`,
    levels: shifts.map((shift, level) => ({
      shift,
      indexBits: level === shifts.length - 1 ? vaBits - shift : 9,
      hardware: 3 - level,
    })),
    vaBits,
    paBits: 40,
    wordBits: 32,
    upper,
  };
}

const SECTION_FIELDS: readonly Field[] = [
  bit('ns', 19),
  bit('super', 18),
  bit('ng', 17),
  bit('s', 16),
  bit('ap2', 15),
  { name: 'tex', bits: [[14, 12]], meaning: 'memory type' },
  { name: 'ap', bits: [[11, 10]], meaning: 'access' },
  bit('impl', 9),
  bit('xn', 4),
  { name: 'cb', bits: [[3, 2]], meaning: 'memory type' },
  bit('section', 1),
  bit('pxn', 0),
];
const PAGE_FIELDS: readonly Field[] = [
  bit('ng', 11),
  bit('s', 10),
  bit('ap2', 9),
  { name: 'ap', bits: [[5, 4]], meaning: 'access' },
  { name: 'cb', bits: [[3, 2]], meaning: 'memory type' },
];
const DOMAIN: Field = { name: 'domain', bits: [[8, 5]], meaning: 'group of sections' };

/** Short descriptors: four sizes, two of them runs of sixteen identical words; domain, NS and PXN sit one level up. */
export const armShortFormat: Format = {
  name: 'test-arm-short',
  title: 'short descriptors for tests',
  entryBytes: 4,
  shapes: [
    { name: 'fault', kind: 'empty', reason: 'fault', match: [{ mask: 3n, equals: 0n }], fields: [] },
    {
      name: 'table',
      kind: 'table',
      levels: [1],
      match: [{ mask: 3n, equals: 1n }],
      address: [{ entryLo: 10, addressLo: 10, bits: 22 }],
      fields: [bit('impl', 9), DOMAIN, bit('sbz', 4), bit('ns', 3), bit('pxn', 2)],
      effects: [
        { field: 'domain', on: 'domain', op: 'or' },
        { field: 'ns', on: 'ns', op: 'or' },
        { field: 'pxn', on: 'pxn', op: 'or' },
      ],
    },
    {
      name: 'supersection',
      kind: 'leaf',
      levels: [1],
      match: [{ mask: 0x4_0002n, equals: 0x4_0002n }],
      address: [
        { entryLo: 24, addressLo: 24, bits: 8 },
        { entryLo: 20, addressLo: 32, bits: 4 },
        { entryLo: 5, addressLo: 36, bits: 4 },
      ],
      run: { entries: 16, address: 'shared' },
      fields: SECTION_FIELDS,
    },
    {
      name: 'section',
      kind: 'leaf',
      levels: [1],
      match: [{ mask: 0x4_0002n, equals: 2n }],
      address: [{ entryLo: 20, addressLo: 20, bits: 12 }],
      fields: [...SECTION_FIELDS, DOMAIN],
    },
    {
      name: 'large',
      kind: 'leaf',
      levels: [0],
      match: [{ mask: 3n, equals: 1n }],
      address: [{ entryLo: 16, addressLo: 16, bits: 16 }],
      run: { entries: 16, address: 'shared' },
      fields: [bit('xn', 15), { name: 'tex', bits: [[14, 12]], meaning: 'memory type' }, ...PAGE_FIELDS],
    },
    {
      name: 'small',
      kind: 'leaf',
      levels: [0],
      match: [{ mask: 2n, equals: 2n }],
      address: [{ entryLo: 12, addressLo: 12, bits: 20 }],
      fields: [...PAGE_FIELDS, { name: 'tex', bits: [[8, 6]], meaning: 'memory type' }, bit('xn', 0)],
    },
  ],
};

/** A root of short descriptors for the lowest `2 ** vaBits` bytes. */
export function armShortGeometry(vaBits = 32): GeometryDescription {
  return {
    name: `test-arm-short-${vaBits}`,
    levels: [
      { shift: 12, indexBits: 8, hardware: 2 },
      { shift: 20, indexBits: vaBits - 20, hardware: 1 },
    ],
    vaBits,
    paBits: 40,
    wordBits: 32,
    upper: 'zero',
  };
}
