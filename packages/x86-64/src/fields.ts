/**
 * Bit fields of paging-structure entries.
 * Sources: Intel SDM vol. 3A, section 5.5.4 "Linear-Address Translation with 4-Level Paging and 5-Level Paging", tables
 * 5-14 to 5-20 (chapter 4 and tables 4-14 to 4-20 in editions before 2024); AMD APM vol. 2, section 5.3 "Long-Mode Page
 * Translation", 5.4 "Page-Translation-Table Entry Fields", 5.6 "Page-Protection Checks".
 */
import type { Field } from '@pagefold/core';

const TABLES = 'SDM 5.5.4, tables 5-14 to 5-20';

function bit(name: string, at: number, meaning: string, section: string = TABLES): Field {
  return { name, bits: [[at, at]], meaning, section };
}

function software(name: string, hi: number, lo: number): Field {
  return { name, bits: [[hi, lo]], meaning: 'ignored: for software', software: true, section: TABLES };
}

const NX: Field = {
  ...bit('nx', 63, 'no execution', 'SDM 5.6, APM 5.6'),
  when: ['nx'],
};
const NX_RESERVED: Field = {
  ...bit('reserved_63', 63, 'reserved while EFER.NXE is clear'),
  reserved: 'reserved_63',
  when: ['!nx'],
};

const LOW: readonly Field[] = [
  bit('a', 5, 'accessed', 'SDM 5.8'),
  bit('pcd', 4, 'page-level cache disable: bit 1 of the PAT index', 'SDM 5.9.2'),
  bit('pwt', 3, 'page-level write-through: bit 0 of the PAT index', 'SDM 5.9.2'),
  bit('us', 2, 'accessible to user mode', 'SDM 5.6'),
  bit('rw', 1, 'writable', 'SDM 5.6'),
  bit('p', 0, 'present'),
];

const LEAF_HIGH: readonly Field[] = [
  NX,
  NX_RESERVED,
  { name: 'pk', bits: [[62, 59]], meaning: 'protection key', section: 'SDM 5.6.2, APM 5.6', when: ['pk'] },
  { ...software('avl_keys', 62, 59), when: ['!pk'] },
  software('avl_high', 58, 52),
];

/** Fields of a leaf of `2 ** shift` bytes. The PAT bit is bit 7 of a 4 KiB page and bit 12 of larger ones. */
export function leafFields(shift: 12 | 21 | 30): readonly Field[] {
  const address: Field = {
    name: 'address',
    bits: [[51, shift]],
    meaning: 'physical address; bits from the physical-address width up are reserved',
    section: TABLES,
  };
  const pat = bit('pat', shift === 12 ? 7 : 12, 'bit 2 of the PAT index', 'SDM 5.9.2');
  const large: readonly Field[] = [
    {
      name: 'reserved',
      bits: [[shift - 1, 13]],
      meaning: 'reserved, must be zero',
      reserved: `reserved_${shift - 1}_13`,
      section: TABLES,
    },
    pat,
  ];
  return [
    ...LEAF_HIGH,
    address,
    ...(shift === 12 ? [] : large),
    software('avl', 11, 9),
    bit('g', 8, 'global: kept when CR3 is written, if CR4.PGE is set', 'SDM 5.10.2.4'),
    shift === 12 ? pat : bit('ps', 7, 'page size: set in a leaf'),
    bit('d', 6, 'dirty', 'SDM 5.8'),
    ...LOW,
  ];
}

/** Fields of a pointer to a table. Protection keys, PAT, global and dirty do not exist here. */
export const tableFields: readonly Field[] = [
  NX,
  NX_RESERVED,
  software('avl_high', 62, 52),
  { name: 'address', bits: [[51, 12]], meaning: 'physical address of the table', section: TABLES },
  software('avl', 11, 9),
  // AMD processors want zero here at the two upper levels; everywhere else the bit is ignored.
  software('avl_8', 8, 8),
  bit('ps', 7, 'page size: clear in a pointer'),
  software('avl_6', 6, 6),
  ...LOW,
];

/** An entry that is not present belongs to software altogether. */
export const emptyFields: readonly Field[] = [software('software', 63, 1), bit('p', 0, 'present')];
