/**
 * VMSAv8-64 descriptors as data: one format per granule and stage, features for what a machine or its registers change.
 * Source: Arm Architecture Reference Manual (DDI 0487), "VMSAv8-64 descriptor formats", "The Contiguous bit",
 * "Effect of LPA2".
 */
import type { BitTest, Format, LevelCondition, MalformedRule, Shape, TableEffect } from '@pagefold/core';
import { stage1Access, stage2Access } from './access.ts';
import { stage1Attributes, stage1Common, stage2Common } from './attributes.ts';
import { arm64Fault } from './faults.ts';
import {
  addressPieces,
  invalidFields,
  leafFields,
  stage2LeafFields,
  stage2TableFields,
  tableFields,
} from './fields.ts';
import { contiguousEntries, type Granule, hardwareLevel } from './granule.ts';

const TABLE_OR_PAGE: BitTest = { mask: 3n, equals: 3n };
const BLOCK: BitTest = { mask: 3n, equals: 1n };
const CONTIGUOUS: BitTest = { mask: 1n << 52n, equals: 1n << 52n };

/** Levels (from the pages) that may hold blocks: table "Output address size" of each granule. */
const BLOCK_LEVELS: Readonly<Record<Granule, LevelCondition>> = {
  '4K': [1, 2, { level: 3, when: ['lpa2'] }],
  '16K': [1, { level: 2, when: ['lpa2'] }],
  '64K': [1, { level: 2, when: ['pa52'] }],
};

/** What table descriptors do to the leaves below them, unless hierarchical permissions are disabled. */
const EFFECTS: readonly TableEffect[] = [
  // Kept apart from AP[2]: a table that forbids writes also wins over the dirty bit modifier.
  { field: 'apTable1', on: 'tableReadOnly', op: 'or', when: ['!hpd'] },
  { field: 'apTable0', on: 'ap1', op: 'clear', when: ['!hpd', '!el2'] },
  { field: 'uxnTable', on: 'uxn', op: 'or', when: ['!hpd', '!el2'] },
  { field: 'xnTable', on: 'xn', op: 'or', when: ['!hpd', 'el2'] },
  { field: 'pxnTable', on: 'pxn', op: 'or', when: ['!hpd', '!el2'] },
];

/** The contiguous forms of pages and blocks. A granule's groups of blocks have the same length at every level. */
function contiguousShapes(
  granule: Granule,
  page: Omit<Shape & { kind: 'leaf' }, 'name'>,
  block: Omit<Shape & { kind: 'leaf' }, 'name'>,
): Shape[] {
  const shape = (name: string, base: typeof page, levels: readonly number[]): Shape[] => {
    const known = levels.filter((level) => contiguousEntries(granule, hardwareLevel(level)) !== undefined);
    const entries = contiguousEntries(granule, hardwareLevel(known[0] ?? 0)) as number;
    const match = [...base.match, CONTIGUOUS];
    const section = 'The Contiguous bit';
    return [{ ...base, name, match, levels: known, run: { entries, address: 'own' }, section }];
  };
  return [...shape('contiguous-page', page, [0]), ...shape('contiguous-block', block, [1, 2])];
}

/**
 * Judged after "is it valid at all": an address beyond what the machine or its registers can put out. The access flag and
 * permissions come later, in the access check.
 */
const RULES: readonly MalformedRule[] = [
  {
    reason: 'address_size',
    meaning: 'the address has a bit set at or above the output address size',
    tests: 'address-size',
    section: 'Address size fault',
  },
];

function shapesOf(granule: Granule, stage: 1 | 2): readonly Shape[] {
  const address = addressPieces(granule);
  const fields = (block: boolean): Shape['fields'] =>
    stage === 1 ? leafFields(granule, block) : stage2LeafFields(granule, block);
  const section = `Block and page descriptors, stage ${stage}`;
  const page = { kind: 'leaf', match: [TABLE_OR_PAGE], levels: [0], address, fields: fields(false), section } as const;
  const block = {
    kind: 'leaf',
    match: [BLOCK],
    levels: BLOCK_LEVELS[granule],
    address: addressPieces(granule, true),
    fields: fields(true),
    section,
  } as const;
  const table: Shape = {
    name: 'table',
    kind: 'table',
    match: [TABLE_OR_PAGE],
    levels: [1, 2, 3, 4],
    address,
    fields: stage === 1 ? tableFields(granule) : stage2TableFields(granule),
    section: 'Table descriptor format',
    marks: [{ field: 'af', when: ['ha', 'haft'] }],
    ...(stage === 1 ? { effects: EFFECTS } : {}),
  };
  return [
    {
      name: 'invalid',
      kind: 'empty',
      match: [{ mask: 1n, equals: 0n }],
      reason: 'invalid_descriptor',
      fields: invalidFields,
      section: 'Descriptor encodings',
    },
    ...contiguousShapes(granule, page, block),
    { name: 'page', ...page },
    table,
    { name: 'block', ...block },
  ];
}

function formatOf(granule: Granule, stage: 1 | 2): Format {
  return {
    name: `arm64-${granule.toLowerCase()}-stage${stage}`,
    title: `VMSAv8-64 stage ${stage} descriptors, ${granule} granule`,
    entryBytes: 8,
    features: {
      ...(granule === '64K'
        ? { pa52: 'FEAT_LPA: 52-bit addresses, bits 51:48 in 15:12' }
        : { lpa2: 'FEAT_LPA2 in use: bits 51:50 of addresses in 9:8' }),
      ha: 'hardware sets the access flag (TCR.HA); without it an access through a leaf with AF = 0 faults',
      haft: 'table descriptors have an access flag, which hardware sets with ha (FEAT_HAFT, TCR2.HAFT)',
      hd: 'hardware manages the dirty state (TCR.HD): DBM makes a read-only leaf writable',
      ...(stage === 1
        ? { hpd: 'hierarchical permission disables (TCR.HPDn)', el2: 'a regime with one privilege level (EL2, EL3)' }
        : { xnx: 'FEAT_XNX: execute never by exception level', fwb: 'FEAT_S2FWB: stage 2 forces write-back' }),
    },
    shapes: shapesOf(granule, stage),
    rules: RULES,
    unmatched: 'reserved_descriptor',
    nonCanonical: 'input_size',
    attributes:
      stage === 1
        ? [
            'pbha',
            'sw',
            'uxn',
            'xn',
            'pxn',
            'contiguous',
            'dbm',
            'gp',
            'nG',
            'af',
            'sh',
            'ap2',
            'ap1',
            'ns',
            'attrIndx',
          ]
        : ['sw', 'xn', 'contiguous', 'dbm', 'af', 'sh', 's2ap', 'memAttr'],
    common: stage === 1 ? stage1Common : stage2Common,
    access: stage === 1 ? stage1Access : stage2Access,
    fault: arm64Fault,
  };
}

/** Stage-1 formats by granule. */
export const arm64Stage1: Readonly<Record<Granule, Format>> = {
  '4K': formatOf('4K', 1),
  '16K': formatOf('16K', 1),
  '64K': formatOf('64K', 1),
};

/**
 * A stage-1 format.
 * @param mair what memory types the indices mean. Not supplied: as Linux has them.
 */
export function stage1Format(granule: Granule, mair?: bigint): Format {
  const format = arm64Stage1[granule];
  return mair === undefined ? format : { ...format, common: stage1Attributes(mair) };
}

/** Stage-2 formats by granule. */
export const arm64Stage2: Readonly<Record<Granule, Format>> = {
  '4K': formatOf('4K', 2),
  '16K': formatOf('16K', 2),
  '64K': formatOf('64K', 2),
};
