/**
 * Two more formats written down anew for tests: one whose large leaves move an attribute into what are address bits of
 * small ones and whose tables are and-ed with their leaves, and one whose runs share an address with a pattern
 * in its low bits (RISC-V with NAPOT).
 */
import type { AddressPiece, Field, Format } from '../src/format.ts';
import type { GeometryDescription } from '../src/geometry.ts';

const bit = (name: string, at: number, extra: Partial<Field> = {}): Field => ({
  name,
  bits: [[at, at]],
  meaning: name,
  ...extra,
});

const HIGH: readonly Field[] = [
  bit('xd', 63),
  { name: 'pk', bits: [[62, 59]], meaning: 'protection key' },
  { name: 'avl_high', bits: [[58, 52]], meaning: 'software', software: true },
];
const LOW: readonly Field[] = [
  { name: 'avl', bits: [[11, 9]], meaning: 'software', software: true },
  bit('g', 8),
  bit('d', 6),
  bit('a', 5),
  bit('pcd', 4),
  bit('pwt', 3),
  bit('us', 2),
  bit('rw', 1),
  bit('p', 0),
];
const PRESENT = { mask: 1n, equals: 1n } as const;
const LARGE = { mask: 0x80n, equals: 0x80n } as const;

const address = (from: number): readonly AddressPiece[] => [{ entryLo: from, addressLo: from, bits: 52 - from }];

/** `pku` and `nx` as machines may lack them: then their bits are reserved. */
export const andedFormat: Format = {
  name: 'test-and-tables',
  title: 'entries whose tables limit their leaves, for tests',
  entryBytes: 8,
  features: { nx: 'bit 63 means no execution', huge: 'leaves of 1 GiB' },
  shapes: [
    { name: 'empty', kind: 'empty', reason: 'not_present', match: [{ mask: 1n, equals: 0n }], fields: [] },
    {
      name: 'large',
      kind: 'leaf',
      levels: [1, { level: 2, when: ['huge'] }],
      match: [PRESENT, LARGE],
      address: address(21),
      fields: [
        ...HIGH,
        { name: 'address', bits: [[51, 21]], meaning: 'physical address' },
        { name: 'reserved', bits: [[20, 13]], meaning: 'reserved' },
        bit('pat', 12),
        ...LOW,
        bit('ps', 7),
      ],
    },
    {
      name: 'table',
      kind: 'table',
      levels: [1, 2, 3, 4],
      match: [PRESENT],
      address: address(12),
      fields: [...HIGH, ...LOW, bit('ps', 7)],
      effects: [
        { field: 'rw', on: 'rw', op: 'and' },
        { field: 'us', on: 'us', op: 'and' },
        { field: 'xd', on: 'xd', op: 'or', when: ['nx'] },
      ],
    },
    {
      name: 'page',
      kind: 'leaf',
      levels: [0],
      match: [PRESENT],
      address: address(12),
      fields: [...HIGH, { name: 'address', bits: [[51, 12]], meaning: 'physical address' }, ...LOW, bit('pat', 7)],
    },
  ],
  rules: [
    { reason: 'reserved', meaning: 'address bits above the machine', tests: 'address-size' },
    { reason: 'reserved', meaning: 'bit 63 without nx', tests: [{ mask: 1n << 63n, differs: 0n }], when: ['!nx'] },
    { reason: 'reserved', meaning: 'bit 7 of a pointer', tests: [LARGE], kinds: ['table'] },
    { reason: 'reserved', meaning: 'bits 20:13', tests: [{ mask: 0x1f_e000n, differs: 0n }], shapes: ['large'] },
    { reason: 'reserved', meaning: 'a leaf must be aligned', tests: 'misaligned', shapes: ['large'] },
  ],
};

/** Four or five levels. */
export function andedGeometry(levels: 4 | 5): GeometryDescription {
  return {
    name: `test-and-tables-${levels}`,
    levels: Array.from({ length: levels }, (_, level) => ({
      shift: 12 + 9 * level,
      indexBits: 9,
      hardware: level + 1,
      name: ['PTE', 'PMD', 'PUD', 'P4D', 'PGD'][level] ?? '',
    })),
    vaBits: 12 + 9 * levels,
    paBits: 46,
  };
}

const PPN: readonly AddressPiece[] = [{ entryLo: 10, addressLo: 12, bits: 44 }];
const RISCV_FIELDS: readonly Field[] = [
  bit('n', 63),
  { name: 'pbmt', bits: [[62, 61]], meaning: 'memory type' },
  { name: 'reserved', bits: [[60, 54]], meaning: 'reserved' },
  { name: 'ppn', bits: [[53, 10]], meaning: 'page number' },
  { name: 'rsw', bits: [[9, 8]], meaning: 'software', software: true },
  ...['v', 'r', 'w', 'x', 'u', 'g', 'a', 'd'].map((name, at) => bit(name, at)),
];
const LEAF = { mask: 0xen, differs: 0n } as const;
const VALID = { mask: 1n, equals: 1n } as const;

/** Runs of sixteen pages share an address whose four low bits are 1000. */
export const napotFormat: Format = {
  name: 'test-napot',
  title: 'entries with runs for tests',
  entryBytes: 8,
  shapes: [
    { name: 'invalid', kind: 'empty', reason: 'v_clear', match: [{ mask: 1n, equals: 0n }], fields: [] },
    {
      name: 'table',
      kind: 'table',
      levels: [1, 2, 3, 4],
      match: [{ mask: 0xfn, equals: 1n }],
      address: PPN,
      fields: RISCV_FIELDS,
      effects: [{ field: 'g', on: 'g', op: 'or' }],
    },
    {
      name: 'napot',
      kind: 'leaf',
      levels: [0],
      match: [VALID, LEAF, { mask: (1n << 63n) | 0x3c00n, equals: (1n << 63n) | 0x2000n }],
      address: PPN,
      run: { entries: 16, address: 'shared' },
      fields: RISCV_FIELDS,
    },
    { name: 'leaf', kind: 'leaf', match: [VALID, LEAF], address: PPN, fields: RISCV_FIELDS },
  ],
  rules: [
    { reason: 'w_without_r', meaning: 'writable but not readable', tests: [{ mask: 6n, equals: 4n }] },
    { reason: 'reserved', meaning: 'bits 60:54', tests: [{ mask: 0x7fn << 54n, differs: 0n }] },
    {
      reason: 'nonleaf_dau',
      meaning: 'D, A or U in a pointer',
      tests: [{ mask: 0xd0n, differs: 0n }],
      kinds: ['table'],
    },
    { reason: 'misaligned', meaning: 'not aligned', tests: 'misaligned', shapes: ['leaf'], levels: [1, 2, 3, 4] },
    {
      reason: 'napot',
      meaning: 'bit 63 elsewhere',
      tests: [{ mask: 1n << 63n, differs: 0n }],
      shapes: ['leaf', 'table'],
    },
  ],
};

/** Three to five levels. */
export function napotGeometry(levels: 3 | 4 | 5): GeometryDescription {
  return {
    name: `test-napot-${levels}`,
    levels: Array.from({ length: levels }, (_, level) => ({ shift: 12 + 9 * level, indexBits: 9 })),
    vaBits: 12 + 9 * levels,
    paBits: 56,
  };
}
