/**
 * 32-bit Arm long descriptors (LPAE) as data: three levels of 8-byte entries, 40-bit output addresses.
 * Source: Arm Architecture Reference Manual, Armv7-A and Armv7-R (DDI 0406), B3.6 "Long-descriptor translation table
 * format".
 */
import type { AddressPiece, BitTest, Field, Format, Shape, TableEffect } from '@pagefold/core';
import { longFault } from './faults.ts';
import { lpaeAccess, lpaeCommon, lpaeCommonFor } from './lpae-access.ts';

const SECTION = 'B3.6.2 descriptor formats';
const bit = (name: string, at: number, meaning: string): Field => ({
  name,
  bits: [[at, at]],
  meaning,
  section: SECTION,
});

const address: readonly AddressPiece[] = [{ entryLo: 12, addressLo: 12, bits: 28 }];
const base: Field = { name: 'address', bits: [[39, 12]], meaning: 'output or next-table address', section: SECTION };

const leafFields: readonly Field[] = [
  { name: 'sw', bits: [[58, 55]], meaning: 'for software', software: true, section: SECTION },
  bit('xn', 54, 'not executable'),
  bit('pxn', 53, 'not executable by privileged code'),
  bit('contiguous', 52, 'one of a contiguous group'),
  base,
  bit('nG', 11, 'not global'),
  bit('af', 10, 'access flag'),
  {
    name: 'sh',
    bits: [[9, 8]],
    meaning: 'shareability',
    values: { 0: 'non', 1: 'reserved', 2: 'outer', 3: 'inner' },
    section: SECTION,
  },
  bit('ap2', 7, 'AP[2]: read-only'),
  bit('ap1', 6, 'AP[1]: accessible by user code'),
  bit('ns', 5, 'non-secure'),
  { name: 'attrIndx', bits: [[4, 2]], meaning: 'index into MAIR0 and MAIR1', section: SECTION },
  { name: 'type', bits: [[1, 0]], meaning: 'valid, and table or page', section: SECTION },
];

const tableFields: readonly Field[] = [
  bit('nsTable', 63, 'non-secure below'),
  bit('apTable1', 62, 'APTable[1]: no writes below'),
  bit('apTable0', 61, 'APTable[0]: no user access below'),
  bit('xnTable', 60, 'not executable below'),
  bit('pxnTable', 59, 'not executable by privileged code below'),
  { name: 'ignored', bits: [[58, 52]], meaning: 'ignored', software: true, section: SECTION },
  base,
  { name: 'type', bits: [[1, 0]], meaning: 'table', section: SECTION },
];

const EFFECTS: readonly TableEffect[] = [
  { field: 'apTable1', on: 'ap2', op: 'or' },
  { field: 'apTable0', on: 'ap1', op: 'clear' },
  { field: 'xnTable', on: 'xn', op: 'or' },
  { field: 'pxnTable', on: 'pxn', op: 'or' },
];

const VALID_TABLE: BitTest = { mask: 3n, equals: 3n };
const VALID_BLOCK: BitTest = { mask: 3n, equals: 1n };
const CONTIGUOUS: BitTest = { mask: 1n << 52n, equals: 1n << 52n };
const run = { entries: 16, address: 'own' } as const;

const page: Shape = {
  name: 'page',
  kind: 'leaf',
  match: [VALID_TABLE],
  levels: [0],
  address,
  fields: leafFields,
  section: SECTION,
};
const block: Shape = {
  name: 'block',
  kind: 'leaf',
  match: [VALID_BLOCK],
  levels: [1, 2],
  address,
  fields: leafFields,
  section: SECTION,
};

/** Long descriptors. */
export const armLpae: Format = {
  name: 'arm-lpae',
  title: '32-bit Arm long descriptors (LPAE)',
  entryBytes: 8,
  features: { 'tiny-root': 'the root has only as many entries as a contiguous group (TxSZ = 7)' },
  shapes: [
    {
      name: 'invalid',
      kind: 'empty',
      match: [{ mask: 1n, equals: 0n }],
      reason: 'invalid_descriptor',
      fields: [
        { name: 'software', bits: [[63, 1]], meaning: 'ignored', software: true, section: SECTION },
        bit('valid', 0, 'zero: not valid'),
      ],
      section: SECTION,
    },
    { ...page, name: 'contiguous-page', match: [VALID_TABLE, CONTIGUOUS], run },
    page,
    {
      name: 'table',
      kind: 'table',
      match: [VALID_TABLE],
      levels: [1, 2],
      address,
      fields: tableFields,
      effects: EFFECTS,
      section: SECTION,
    },
    {
      ...block,
      name: 'contiguous-block',
      match: [VALID_BLOCK, CONTIGUOUS],
      levels: [1],
      // The hint says nothing where the group would be the whole root.
      when: ['!tiny-root'],
      run,
    },
    block,
  ],
  unmatched: 'reserved_descriptor',
  nonCanonical: 'no_table_base',
  attributes: ['sw', 'xn', 'pxn', 'contiguous', 'nG', 'af', 'sh', 'ap2', 'ap1', 'ns', 'attrIndx'],
  common: lpaeCommon,
  access: lpaeAccess,
  fault: longFault,
};

/** Long descriptors whose memory types are read through this MAIR1:MAIR0. */
export function lpaeFormatWith(mair: bigint): Format {
  return { ...armLpae, common: lpaeCommonFor(mair) };
}
