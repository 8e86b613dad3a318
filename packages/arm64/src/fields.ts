/**
 * Bit fields of VMSAv8-64 descriptors.
 * Source: Arm Architecture Reference Manual (DDI 0487), "VMSAv8-64 descriptor formats".
 */
import type { AddressPiece, Field } from '@pagefold/core';
import { type Granule, levelShift, PAGE_BITS } from './granule.ts';

const LEAF = 'Block and page descriptors, stage 1';
const TABLE = 'Table descriptor format';
const STAGE2 = 'Block and page descriptors, stage 2';

const bit = (name: string, at: number, meaning: string, section: string, extra: Partial<Field> = {}): Field => ({
  name,
  bits: [[at, at]],
  meaning,
  section,
  ...extra,
});

const type: Field = {
  name: 'type',
  bits: [[1, 0]],
  meaning: 'valid, and table or page',
  section: 'Descriptor encodings',
};
const software: Field = { name: 'sw', bits: [[58, 55]], meaning: 'for software', software: true, section: LEAF };
const shareability = (granule: Granule, section: string): Field => ({
  name: 'sh',
  bits: [[9, 8]],
  meaning: 'shareability',
  values: { 0: 'non', 1: 'reserved', 2: 'outer', 3: 'inner' },
  ...(granule === '64K' ? {} : { when: ['!lpa2'] }),
  section,
});

/** The lowest address bit: that of pages and tables, or of the smallest blocks. Below, blocks have another field. */
function lowestBit(granule: Granule, block: boolean): number {
  return block ? levelShift(granule, 2) : PAGE_BITS[granule];
}

/** Where the output or next-table address lies: plain, with LPA2, or with 52 bits under 64K pages. */
export function addressPieces(granule: Granule, block = false): readonly AddressPiece[] {
  const low = lowestBit(granule, block);
  if (granule === '64K') {
    return [
      { entryLo: low, addressLo: low, bits: 48 - low },
      { entryLo: 12, addressLo: 48, bits: 4, when: ['pa52'] },
    ];
  }
  return [
    { entryLo: low, addressLo: low, bits: 48 - low, when: ['!lpa2'] },
    { entryLo: low, addressLo: low, bits: 50 - low, when: ['lpa2'] },
    { entryLo: 8, addressLo: 50, bits: 2, when: ['lpa2'] },
  ];
}

/** The same as a named field. */
function addressField(granule: Granule, section: string, block = false): Field[] {
  const low = lowestBit(granule, block);
  const meaning = 'output or next-table address';
  if (granule === '64K') {
    return [
      { name: 'address', bits: [[47, low]], meaning, section, when: ['!pa52'] },
      {
        name: 'address',
        bits: [
          [15, 12],
          [47, low],
        ],
        meaning,
        section,
        when: ['pa52'],
      },
    ];
  }
  return [
    { name: 'address', bits: [[47, low]], meaning, section, when: ['!lpa2'] },
    {
      name: 'address',
      bits: [
        [9, 8],
        [49, low],
      ],
      meaning,
      section,
      when: ['lpa2'],
    },
  ];
}

/** Stage-1 leaves. `block`: above the last level, where bit 16 exists. */
export function leafFields(granule: Granule, block: boolean): readonly Field[] {
  return [
    bit('ign63', 63, 'ignored (or AMEC)', LEAF, { software: true }),
    { name: 'pbha', bits: [[62, 59]], meaning: 'page-based hardware attributes, or POIndex in 62:60', section: LEAF },
    software,
    bit('uxn', 54, 'not executable at EL0', LEAF, { when: ['!el2'] }),
    bit('xn', 54, 'not executable', LEAF, { when: ['el2'] }),
    bit('pxn', 53, 'not executable at EL1', LEAF, { when: ['!el2'] }),
    bit('contiguous', 52, 'one of a contiguous group', LEAF),
    bit('dbm', 51, 'dirty bit modifier: writable, AP[2] says clean', LEAF),
    bit('gp', 50, 'guarded page', LEAF),
    ...addressField(granule, LEAF, block),
    ...(block ? [bit('nT', 16, 'block translation entry (FEAT_BBM)', LEAF)] : []),
    bit('nG', 11, 'not global: tagged with the ASID', LEAF),
    bit('af', 10, 'access flag', LEAF, { acrossRun: 'or' }),
    shareability(granule, LEAF),
    // With DBM a clear bit means dirty, and hardware clears it in one entry of a group for all.
    bit('ap2', 7, 'AP[2]: read-only', LEAF, { acrossRun: 'and' }),
    bit('ap1', 6, 'AP[1]: accessible at EL0', LEAF),
    bit('ns', 5, 'non-secure', LEAF),
    { name: 'attrIndx', bits: [[4, 2]], meaning: 'index into MAIR', section: LEAF },
    type,
  ];
}

/** Set when a translation passes through. Without the feature the bit is ignored, as those around it are. */
const tableAccessFlag = bit('af', 10, 'access flag of the table', TABLE, { when: ['haft'] });

/** Stage-1 table descriptors: what they say holds for everything below. */
export function tableFields(granule: Granule): readonly Field[] {
  return [
    bit('nsTable', 63, 'non-secure below', TABLE),
    bit('apTable1', 62, 'APTable[1]: no writes below', TABLE),
    bit('apTable0', 61, 'APTable[0]: no EL0 access below', TABLE),
    bit('uxnTable', 60, 'not executable at EL0 below', TABLE, { when: ['!el2'] }),
    bit('xnTable', 60, 'not executable below', TABLE, { when: ['el2'] }),
    bit('pxnTable', 59, 'not executable at EL1 below', TABLE, { when: ['!el2'] }),
    { name: 'ignored', bits: [[58, 51]], meaning: 'ignored', software: true, section: TABLE },
    ...addressField(granule, TABLE),
    tableAccessFlag,
    type,
  ];
}

/** Stage-2 leaves. */
export function stage2LeafFields(granule: Granule, block: boolean): readonly Field[] {
  return [
    software,
    {
      name: 'xn',
      bits: [[54, 53]],
      meaning: 'execute never, for EL1 and EL0',
      values: { 0: 'EL1 and EL0 execute', 1: 'EL0 executes', 2: 'none executes', 3: 'EL1 executes' },
      section: STAGE2,
    },
    bit('contiguous', 52, 'one of a contiguous group', STAGE2),
    bit('dbm', 51, 'dirty bit modifier', STAGE2),
    ...addressField(granule, STAGE2, block),
    ...(block ? [bit('nT', 16, 'block translation entry (FEAT_BBM)', STAGE2)] : []),
    bit('af', 10, 'access flag', STAGE2, { acrossRun: 'or' }),
    shareability(granule, STAGE2),
    {
      name: 's2ap',
      acrossRun: 'or',
      bits: [[7, 6]],
      meaning: 'bit 0 reads, bit 1 writes',
      values: { 0: 'none', 1: 'read', 2: 'write', 3: 'read-write' },
      section: STAGE2,
    },
    { name: 'memAttr', bits: [[5, 2]], meaning: 'memory attributes', section: STAGE2 },
    type,
  ];
}

/** Stage-2 table descriptors have nothing but the address and, with FEAT_HAFT, an access flag. */
export function stage2TableFields(granule: Granule): readonly Field[] {
  return [...addressField(granule, TABLE), tableAccessFlag, type];
}

/** Words that are not valid. */
export const invalidFields: readonly Field[] = [
  { name: 'software', bits: [[63, 1]], meaning: 'for software', software: true, section: 'Descriptor encodings' },
  bit('valid', 0, 'zero: not valid', 'Descriptor encodings'),
];
