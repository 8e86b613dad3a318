/**
 * 32-bit Arm short descriptors as data: two levels whose words have nothing in common, sections and supersections,
 * large and small pages.
 * Source: Arm Architecture Reference Manual, Armv7-A and Armv7-R (DDI 0406), B3.5 "Short-descriptor translation table
 * format".
 */
import type { AddressPiece, BitTest, Field, Format, Shape, TableEffect } from '@pagefold/core';
import { shortFault } from './faults.ts';
import type { RemapRegisters } from './memory-types.ts';
import { shortAccess } from './short-access.ts';
import { shortCommon, shortCommonFor } from './short-attributes.ts';

const L1 = 'B3.5.1 first-level descriptors';
const L2 = 'B3.5.1 second-level descriptors';

const bit = (name: string, at: number, meaning: string, section: string): Field => ({
  name,
  bits: [[at, at]],
  meaning,
  section,
});
const bits = (name: string, hi: number, lo: number, meaning: string, section: string): Field => ({
  name,
  bits: [[hi, lo]],
  meaning,
  section,
});

const type = (mask: bigint, equals: bigint): BitTest => ({ mask, equals });

const tableFields: readonly Field[] = [
  bits('base', 31, 10, 'second-level table', L1),
  bit('impl', 9, 'implementation defined', L1),
  bits('domain', 8, 5, 'domain of the pages below', L1),
  bit('sbz', 4, 'should be zero; Linux sets it', L1),
  bit('ns', 3, 'non-secure', L1),
  bit('pxn', 2, 'not executable by privileged code', L1),
  bits('type', 1, 0, 'table', L1),
];

/** Fields of sections and supersections from bit 19 down. */
const sectionAttributes: readonly Field[] = [
  bit('ns', 19, 'non-secure', L1),
  bit('super', 18, 'supersection', L1),
  bit('nG', 17, 'not global', L1),
  bit('s', 16, 'shareable', L1),
  {
    name: 'ap',
    bits: [
      [15, 15],
      [11, 10],
    ],
    meaning: 'access permissions AP[2:0]',
    section: 'B3.7.1',
  },
  bits('tex', 14, 12, 'type extension', 'B3.8.2'),
  bit('impl', 9, 'implementation defined', L1),
  bit('xn', 4, 'not executable', L1),
  bit('c', 3, 'cacheable', 'B3.8.2'),
  bit('b', 2, 'bufferable', 'B3.8.2'),
  bit('kind', 1, 'section', L1),
  bit('pxn', 0, 'not executable by privileged code', L1),
];

const sectionFields: readonly Field[] = [
  bits('base', 31, 20, 'section base', L1),
  ...sectionAttributes.slice(0, 6),
  bits('domain', 8, 5, 'domain', L1),
  ...sectionAttributes.slice(6),
];

const supersectionFields: readonly Field[] = [
  {
    name: 'base',
    bits: [
      [8, 5],
      [23, 20],
      [31, 24],
    ],
    meaning: 'supersection base PA[39:24]',
    section: L1,
  },
  ...sectionAttributes,
];

const largeFields: readonly Field[] = [
  bits('base', 31, 16, 'large page base', L2),
  bit('xn', 15, 'not executable', L2),
  bits('tex', 14, 12, 'type extension', 'B3.8.2'),
  bit('nG', 11, 'not global', L2),
  bit('s', 10, 'shareable', L2),
  {
    name: 'ap',
    bits: [
      [9, 9],
      [5, 4],
    ],
    meaning: 'access permissions AP[2:0]',
    section: 'B3.7.1',
  },
  bits('sbz', 8, 6, 'should be zero', L2),
  bit('c', 3, 'cacheable', 'B3.8.2'),
  bit('b', 2, 'bufferable', 'B3.8.2'),
  bits('type', 1, 0, 'large page', L2),
];

const smallFields: readonly Field[] = [
  bits('base', 31, 12, 'small page base', L2),
  bit('nG', 11, 'not global', L2),
  bit('s', 10, 'shareable', L2),
  {
    name: 'ap',
    bits: [
      [9, 9],
      [5, 4],
    ],
    meaning: 'access permissions AP[2:0]',
    section: 'B3.7.1',
  },
  bits('tex', 8, 6, 'type extension', 'B3.8.2'),
  bit('c', 3, 'cacheable', 'B3.8.2'),
  bit('b', 2, 'bufferable', 'B3.8.2'),
  bit('page', 1, 'small page', L2),
  bit('xn', 0, 'not executable', L2),
];

const invalidFields: readonly Field[] = [
  { name: 'software', bits: [[31, 2]], meaning: 'ignored', software: true, section: 'B3.5.1' },
  bits('type', 1, 0, 'fault', 'B3.5.1'),
];

const plain = (low: number): readonly AddressPiece[] => [{ entryLo: low, addressLo: low, bits: 32 - low }];

/** Supersections reach beyond 4 GiB: the upper address bits lie in two places. */
const supersectionAddress: readonly AddressPiece[] = [
  { entryLo: 24, addressLo: 24, bits: 8 },
  { entryLo: 20, addressLo: 32, bits: 4 },
  { entryLo: 5, addressLo: 36, bits: 4 },
];

/** What a page takes from the table word above it: it has no such bits of its own. */
const EFFECTS: readonly TableEffect[] = [
  { field: 'domain', on: 'domain', op: 'or' },
  { field: 'ns', on: 'ns', op: 'or' },
  { field: 'pxn', on: 'pxn', op: 'or', when: ['pxn'] },
];

function leafPair(
  name: string,
  match: readonly BitTest[],
  rest: Omit<Shape & { kind: 'leaf' }, 'name' | 'match' | 'kind'>,
): Shape[] {
  // Type 11 is a section with PXN where the processor has PXN, and reserved elsewhere.
  return [
    { ...rest, kind: 'leaf', name, match, when: [...(rest.when ?? []), 'pxn'] },
    { ...rest, kind: 'leaf', name, match: [...match, type(1n, 0n)], when: [...(rest.when ?? []), '!pxn'] },
  ];
}

const SUPER = 1n << 18n;

/** Short descriptors. */
export const armShort: Format = {
  name: 'arm-short',
  title: '32-bit Arm short descriptors',
  entryBytes: 4,
  features: {
    pxn: 'the processor has PXN',
    supersections: 'supersections of 16 MiB',
    afe: 'AP[0] is the access flag (SCTLR.AFE)',
    tre: 'TEX remap (SCTLR.TRE): attributes by PRRR and NMRR',
  },
  shapes: [
    {
      name: 'fault',
      kind: 'empty',
      match: [type(3n, 0n)],
      reason: 'fault_descriptor',
      fields: invalidFields,
      section: 'B3.5.1',
    },
    {
      name: 'table',
      kind: 'table',
      match: [type(3n, 1n)],
      levels: [1],
      address: plain(10),
      fields: tableFields,
      effects: EFFECTS,
      section: L1,
    },
    ...leafPair('supersection', [type(2n | SUPER, 2n | SUPER)], {
      levels: [1],
      when: ['supersections'],
      address: supersectionAddress,
      run: { entries: 16, address: 'shared' },
      fields: supersectionFields,
      section: L1,
    }),
    ...leafPair('section', [type(2n | SUPER, 2n)], {
      levels: [1],
      address: plain(20),
      fields: sectionFields,
      section: L1,
    }),
    {
      name: 'large',
      kind: 'leaf',
      match: [type(3n, 1n)],
      levels: [0],
      address: plain(16),
      run: { entries: 16, address: 'shared' },
      fields: largeFields,
      section: L2,
    },
    {
      name: 'small',
      kind: 'leaf',
      match: [type(2n, 2n)],
      levels: [0],
      address: plain(12),
      fields: smallFields,
      section: L2,
    },
  ],
  unmatched: 'reserved_descriptor',
  nonCanonical: 'no_table_base',
  attributes: ['domain', 'ns', 'nG', 's', 'ap', 'tex', 'c', 'b', 'xn', 'pxn'],
  common: shortCommon,
  access: shortAccess,
  fault: shortFault,
};

/** Short descriptors whose memory types are read through these registers. */
export function shortFormatWith(remap: RemapRegisters): Format {
  return { ...armShort, common: shortCommonFor(remap) };
}
