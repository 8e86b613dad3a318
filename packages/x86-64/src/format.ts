/**
 * Paging-structure entries of 4-level and 5-level paging, as data.
 * Sources: Intel SDM vol. 3A, chapter 5 "Paging", sections 5.5.4, 5.6, 5.7 (chapter 4 in editions before 2024); AMD APM
 * vol. 2, sections 5.3 and 5.4. Both vendors agree but for bit 8 of the pointers at the two upper levels.
 */
import type { AddressPiece, BitTest, Format, MalformedRule, Shape, TableEffect } from '@pagefold/core';
import { x86Access } from './access.ts';
import { x86Attributes } from './attributes.ts';
import { x86Fault } from './faults.ts';
import { emptyFields, leafFields, tableFields } from './fields.ts';
import { LINUX_PAT } from './memory-types.ts';

const PRESENT: BitTest = { mask: 1n << 0n, equals: 1n << 0n };
const PAGE_SIZE: BitTest = { mask: 1n << 7n, equals: 1n << 7n };
const BIT_8: BitTest = { mask: 1n << 8n, differs: 0n };

/** Bits 51 down: entries of all kinds store the physical address where it stands. */
function addressFrom(shift: number): readonly AddressPiece[] {
  return [{ entryLo: shift, addressLo: shift, bits: 52 - shift }];
}

/** A page is writable, or a user's, only if every entry on the way says so; one entry suffices to forbid execution. */
const EFFECTS: readonly TableEffect[] = [
  { field: 'rw', on: 'rw', op: 'and' },
  { field: 'us', on: 'us', op: 'and' },
  { field: 'nx', on: 'nx', op: 'or', when: ['nx'] },
];

const SHAPES: readonly Shape[] = [
  {
    name: 'not-present',
    kind: 'empty',
    match: [{ mask: 1n, equals: 0n }],
    reason: 'not_present',
    fields: emptyFields,
    section: 'SDM 5.5.4',
  },
  {
    name: 'page',
    kind: 'leaf',
    levels: [0],
    match: [PRESENT],
    address: addressFrom(12),
    fields: leafFields(12),
    section: 'SDM 5.5.4, table 5-20',
  },
  {
    name: 'large-page',
    kind: 'leaf',
    levels: [1],
    match: [PRESENT, PAGE_SIZE],
    address: addressFrom(21),
    fields: leafFields(21),
    section: 'SDM 5.5.4, table 5-18',
  },
  {
    name: 'huge-page',
    kind: 'leaf',
    levels: [2],
    when: ['gbpages'],
    match: [PRESENT, PAGE_SIZE],
    address: addressFrom(30),
    fields: leafFields(30),
    section: 'SDM 5.5.4, table 5-16',
  },
  {
    name: 'table',
    kind: 'table',
    levels: [1, 2, 3, 4],
    match: [PRESENT],
    address: addressFrom(12),
    fields: tableFields,
    effects: EFFECTS,
    // The processor sets A in every entry that a translation uses (SDM 5.8).
    marks: [{ field: 'a' }],
    section: 'SDM 5.5.4, tables 5-14, 5-15, 5-17, 5-19',
  },
];

/**
 * Besides the reserved fields. All of them are page faults with RSVD set (SDM 5.7); which bit it was, the processor does
 * not say.
 */
const RULES: readonly MalformedRule[] = [
  {
    reason: 'reserved_address',
    meaning: 'the address has a bit set at or above the physical-address width',
    tests: 'address-size',
    section: 'SDM 5.5.4, 5.1.4',
  },
  {
    // Also at level 2 without 1 GiB pages: there is no leaf shape then, so the word is taken for a pointer.
    reason: 'reserved_ps',
    meaning: 'the page-size bit is reserved where there are no leaves',
    tests: [{ mask: PAGE_SIZE.mask, differs: 0n }],
    kinds: ['table'],
    section: 'SDM 5.5.4, tables 5-14 and 5-15; 5.1.4',
  },
  {
    reason: 'reserved_8',
    meaning: 'bit 8 of a PML4E or PML5E must be zero on AMD processors',
    tests: [BIT_8],
    kinds: ['table'],
    levels: [3, 4],
    when: ['amd'],
    section: 'APM 5.3.3',
  },
];

const FORMAT: Format = {
  name: 'x86-64',
  title: 'x86-64 entries of 4-level and 5-level paging',
  entryBytes: 8,
  features: {
    nx: 'EFER.NXE: bit 63 forbids execution; without it the bit is reserved',
    gbpages: 'leaves of 1 GiB (CPUID.80000001H:EDX.Page1GB); without them PS is reserved there',
    pk: 'CR4.PKE or CR4.PKS: bits 62:59 of leaves are a protection key; without them they are for software',
    amd: 'an AMD processor: bit 8 of pointers at the two upper levels must be zero',
  },
  shapes: SHAPES,
  rules: RULES,
  attributes: ['nx', 'pk', 'avl_keys', 'avl_high', 'avl', 'g', 'pat', 'd', 'a', 'pcd', 'pwt', 'us', 'rw'],
  common: x86Attributes(LINUX_PAT),
  access: x86Access,
  fault: x86Fault,
};

/**
 * The format.
 * @param pat the PAT register: what memory types the indices mean. Not supplied: as Linux programs it.
 */
export function x86Format(pat?: bigint): Format {
  return pat === undefined ? FORMAT : { ...FORMAT, common: x86Attributes(pat) };
}
