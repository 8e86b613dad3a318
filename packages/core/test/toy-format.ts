/**
 * Formats for tests that need no architecture: the toy format of the generic vectors, and one with 32-bit entries whose
 * last level exists twice.
 */
import type { Format } from '../src/format.ts';
import type { GeometryDescription } from '../src/geometry.ts';
import { createPaging, type Paging } from '../src/paging.ts';

const ADDRESS = [{ entryLo: 12, addressLo: 12, bits: 44 }] as const;
const PRESENT = { name: 'present', bits: [[0, 0]], meaning: 'the entry is used' } as const;
const TABLE = { name: 'table', bits: [[1, 1]], meaning: 'the entry points to a table' } as const;
const WRITE = { name: 'write', bits: [[2, 2]], meaning: 'writes are allowed' } as const;

/** 64-bit words: bit 0 present, bit 1 table, bit 2 write, the address in the page-aligned bits. */
export const toyFormat: Format = {
  name: 'toy',
  title: 'toy format of the generic vectors',
  entryBytes: 8,
  shapes: [
    { name: 'empty', kind: 'empty', reason: 'not_present', match: [{ mask: 1n, equals: 0n }], fields: [PRESENT] },
    {
      name: 'table',
      kind: 'table',
      levels: [1, 2, 3, 4],
      match: [{ mask: 3n, equals: 3n }],
      address: ADDRESS,
      fields: [TABLE, PRESENT],
    },
    {
      name: 'leaf',
      kind: 'leaf',
      match: [{ mask: 3n, equals: 1n }],
      address: ADDRESS,
      fields: [WRITE, TABLE, PRESENT],
    },
  ],
};

/** A table entry of the toy format. */
export const toyTable = (address: bigint): bigint => address | 3n;

/** A leaf of the toy format. */
export const toyLeaf = (address: bigint, write = false): bigint => address | 1n | (write ? 4n : 0n);

/** 4 KiB pages, 9 bits a level. */
export function toyGeometry(levels: number, more: Partial<GeometryDescription> = {}): GeometryDescription {
  return {
    name: `toy${levels}`,
    levels: Array.from({ length: levels }, (_, level) => ({ shift: 12 + 9 * level, indexBits: 9 })),
    vaBits: 12 + 9 * levels,
    paBits: 56,
    ...more,
  };
}

/** The toy format with 2 to 5 levels. */
export const toyPaging = (levels: number): Paging => createPaging(toyFormat, toyGeometry(levels));

/** As a kernel built for five levels folds at run time: the slot repeats, but the counts stay as built. */
export function builtPaging(levels: 3 | 4 | 5): Paging {
  const entries = 512;
  return createPaging(
    toyFormat,
    toyGeometry(levels, { folding: { offset: 'same-slot', built: { p4d: { entries }, pud: { entries } } } }),
  );
}

/** As a kernel built for five levels of 4 KiB pages that finds four: the folded name looks up again in the same page. */
export const reindexPaging: Paging = createPaging(
  toyFormat,
  toyGeometry(4, {
    name: 'toy4-of-5',
    folding: { offset: 're-index', built: { pgd: { shift: 48, entries: 16 }, p4d: { shift: 39, entries: 512 } } },
  }),
);

/** 16 KiB pages, built for four levels, run with three: p4d folded when built, pud at run time. */
export const reindex16kPaging: Paging = createPaging(toyFormat, {
  name: 'toy3-of-4-16k',
  levels: [14, 25, 36].map((shift) => ({ shift, indexBits: 11 })),
  vaBits: 47,
  paBits: 56,
  folding: { offset: 're-index', built: { pgd: { shift: 47, entries: 32 }, pud: { shift: 36, entries: 2048 } } },
});

const SHORT_TABLE = [{ entryLo: 10, addressLo: 10, bits: 22 }] as const;

/** 32-bit words: bits 1:0 are 01 table and 10 leaf. */
export const shortFormat: Format = {
  name: 'short',
  title: 'two levels of 32-bit entries',
  entryBytes: 4,
  shapes: [
    { name: 'empty', kind: 'empty', reason: 'type_zero', match: [{ mask: 3n, equals: 0n }], fields: [] },
    {
      name: 'table',
      kind: 'table',
      levels: [1],
      match: [{ mask: 3n, equals: 1n }],
      address: SHORT_TABLE,
      fields: [{ name: 'domain', bits: [[8, 5]], meaning: 'a group of sections' }],
    },
    {
      name: 'leaf',
      kind: 'leaf',
      match: [{ mask: 3n, equals: 2n }],
      address: [{ entryLo: 12, addressLo: 12, bits: 20 }],
      fields: [],
    },
  ],
};

/** 4096 words of 1 MiB over 256 words of 4 KiB; software sees 2048 pairs over 512 entries. */
export const shortPaging: Paging = createPaging(shortFormat, {
  name: 'short',
  levels: [
    { shift: 12, indexBits: 8 },
    { shift: 20, indexBits: 12 },
  ],
  vaBits: 32,
  paBits: 32,
  wordBits: 32,
  folding: { offset: 'same-slot', pairs: { upperEntries: 2, pageBytes: 4096, hardwareOffset: 2048 } },
});

/** Three levels in a 32-bit space: a root of four entries. */
export const longPaging: Paging = createPaging(toyFormat, {
  name: 'long',
  levels: [
    { shift: 12, indexBits: 9 },
    { shift: 21, indexBits: 9 },
    { shift: 30, indexBits: 2 },
  ],
  vaBits: 32,
  paBits: 40,
  wordBits: 32,
});
