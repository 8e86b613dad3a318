/**
 * RISC-V page-table entries as data.
 *
 * Sources: RISC-V Instruction Set Manual, Volume II (Privileged Architecture): "Sv32", "Sv39", "Sv48", "Sv57",
 * "Svnapot", "Svpbmt", "Svade/Svadu"; T-Head memory types as in Linux 6.12 arch/riscv/include/asm/pgtable-64.h and
 * asm/errata_list.h. All 64-bit modes share one format; Sv32 is the same with a narrower page number and nothing above.
 */
import {
  type AddressPiece,
  type BitTest,
  type Field,
  type Format,
  type MalformedRule,
  RESERVED_FIELDS,
  type Shape,
} from '@pagefold/core';
import { riscvAccess, riscvFault } from './access.ts';
import { riscvCommon } from './attributes.ts';

const V = 1n << 0n;
const R = 1n << 1n;
const W = 1n << 2n;
const X = 1n << 3n;
const U = 1n << 4n;
const A = 1n << 6n;
const D = 1n << 7n;
const PBMT = 3n << 61n;
const N = 1n << 63n;
const PPN_LO = 10;
/** PPN[3:0] of a 64 KiB NAPOT leaf is 1000b, the only encoding that Svnapot 1.0 defines. */
const NAPOT_MASK = 0xfn << BigInt(PPN_LO);
const NAPOT_64K = 0x8n << BigInt(PPN_LO);

const valid: BitTest = { mask: V, equals: V };
const isLeaf: BitTest = { mask: R | W | X, differs: 0n };

const SV = 'Sv32, Addressing and Memory Protection';

/** Bits 9:0, the same in every mode. */
const lowFields: readonly Field[] = [
  { name: 'rsw', bits: [[9, 8]], meaning: 'for supervisor software', software: true, section: SV },
  { name: 'd', bits: [[7, 7]], meaning: 'dirty: written since the bit was cleared', acrossRun: 'or', section: SV },
  { name: 'a', bits: [[6, 6]], meaning: 'accessed since the bit was cleared', acrossRun: 'or', section: SV },
  { name: 'g', bits: [[5, 5]], meaning: 'global: in all address spaces', section: SV },
  { name: 'u', bits: [[4, 4]], meaning: 'accessible to user mode', section: SV },
  { name: 'x', bits: [[3, 3]], meaning: 'executable', section: SV },
  { name: 'w', bits: [[2, 2]], meaning: 'writable', section: SV },
  { name: 'r', bits: [[1, 1]], meaning: 'readable', section: SV },
  { name: 'v', bits: [[0, 0]], meaning: 'valid', section: SV },
];

/** Bits above the page number, 64-bit entries only. */
const highFields: readonly Field[] = [
  {
    name: 'n',
    bits: [[63, 63]],
    meaning: 'one of a naturally aligned power-of-two run',
    section: 'Svnapot',
    when: ['!xtheadmae'],
  },
  {
    name: 'pbmt',
    bits: [[62, 61]],
    meaning: 'page-based memory type',
    values: { 0: 'PMA', 1: 'NC', 2: 'IO', 3: 'reserved' },
    section: 'Svpbmt',
    when: ['!xtheadmae'],
  },
  { name: 'so', bits: [[63, 63]], meaning: 'T-Head: strong order', section: 'T-Head MAE', when: ['xtheadmae'] },
  { name: 'c', bits: [[62, 62]], meaning: 'T-Head: cacheable', section: 'T-Head MAE', when: ['xtheadmae'] },
  { name: 'b', bits: [[61, 61]], meaning: 'T-Head: bufferable', section: 'T-Head MAE', when: ['xtheadmae'] },
  { name: 'sh', bits: [[60, 60]], meaning: 'T-Head: shareable', section: 'T-Head MAE', when: ['xtheadmae'] },
  { name: 'sec', bits: [[59, 59]], meaning: 'T-Head: trustable', section: 'T-Head MAE', when: ['xtheadmae'] },
  {
    name: 'rsw60t59',
    bits: [[60, 59]],
    meaning: 'for supervisor software',
    software: true,
    section: 'Svrsw60t59b',
    when: ['svrsw60t59b', '!xtheadmae'],
  },
  {
    name: 'reserved_60_54',
    bits: [[60, 54]],
    meaning: 'reserved, must be zero',
    reserved: 'reserved_bits_60_54',
    section: 'Sv39',
    when: ['!svrsw60t59b', '!xtheadmae'],
  },
  {
    name: 'reserved_58_54',
    bits: [[58, 54]],
    meaning: 'reserved, must be zero',
    reserved: 'reserved_bits_58_54',
    section: 'Sv39, Svrsw60t59b, T-Head MAE',
    when: [['svrsw60t59b', 'xtheadmae']],
  },
];

function shapesOf(xlen: 32 | 64): readonly Shape[] {
  const ppnBits = xlen === 64 ? 44 : 22;
  const address: readonly AddressPiece[] = [{ entryLo: PPN_LO, addressLo: 12, bits: ppnBits }];
  const ppn: Field = {
    name: 'ppn',
    bits: [[PPN_LO + ppnBits - 1, PPN_LO]],
    meaning: 'physical page number',
    section: SV,
  };
  const fields = xlen === 64 ? [...highFields, ppn, ...lowFields] : [ppn, ...lowFields];
  const napot: Shape = {
    name: 'napot',
    kind: 'leaf',
    match: [valid, isLeaf, { mask: N | NAPOT_MASK, equals: N | NAPOT_64K }],
    levels: [0],
    when: ['svnapot', '!xtheadmae'],
    address,
    run: { entries: 16, address: 'shared' },
    fields,
    section: 'Svnapot',
  };
  return [
    { name: 'invalid', kind: 'empty', match: [{ mask: V, equals: 0n }], reason: 'v_clear', fields, section: SV },
    {
      name: 'table',
      kind: 'table',
      match: [{ mask: V | R | W | X, equals: V }],
      address,
      fields,
      section: SV,
      effects: [{ field: 'g', on: 'g', op: 'or' }],
    },
    ...(xlen === 64 ? [napot] : []),
    { name: 'leaf', kind: 'leaf', match: [valid, isLeaf], address, fields, section: SV },
  ];
}

const UPPER = [1, 2, 3, 4];
const ALGORITHM = 'Virtual Address Translation Process';

/** What makes an entry malformed, in the order in which it is judged. Every one is a page fault of the access. */
function rulesOf(xlen: 32 | 64): Required<Format>['rules'] {
  const shape: readonly MalformedRule[] = [
    {
      reason: 'w_without_r',
      meaning: 'writable but not readable is reserved',
      tests: [{ mask: W | R, equals: W }],
      section: ALGORITHM,
    },
  ];
  const high: readonly MalformedRule[] = [
    {
      reason: 'pbmt_without_svpbmt',
      meaning: 'bits 62 and 61 are reserved without Svpbmt',
      tests: [{ mask: PBMT, differs: 0n }],
      when: ['!svpbmt', '!xtheadmae'],
      section: 'Svpbmt',
    },
    {
      reason: 'n_without_svnapot',
      meaning: 'bit 63 is reserved without Svnapot',
      tests: [{ mask: N, equals: N }],
      when: ['!svnapot', '!xtheadmae'],
      section: 'Svnapot',
    },
    {
      reason: 'pbmt_value_3',
      meaning: 'memory type 3 is reserved',
      tests: [{ mask: PBMT, equals: PBMT }],
      kinds: ['leaf'],
      when: ['svpbmt', '!xtheadmae'],
      section: 'Svpbmt',
    },
    {
      reason: 'nonleaf_pbmt',
      meaning: 'a table pointer has no memory type',
      tests: [{ mask: PBMT, differs: 0n }],
      kinds: ['table'],
      when: ['svpbmt', '!xtheadmae'],
      section: 'Svpbmt',
    },
  ];
  const low: readonly MalformedRule[] = [
    {
      reason: 'nonleaf_dau',
      meaning: 'D, A and U are reserved in a table pointer',
      tests: [{ mask: D | A | U, differs: 0n }],
      kinds: ['table'],
      section: ALGORITHM,
    },
    {
      reason: 'pointer_at_last_level',
      meaning: 'level 0 holds only leaves',
      tests: [],
      kinds: ['table'],
      levels: [0],
      section: ALGORITHM,
    },
    {
      reason: 'misaligned_superpage',
      meaning: 'a superpage must be aligned to its size',
      tests: 'misaligned',
      shapes: ['leaf'],
      levels: UPPER,
      section: ALGORITHM,
    },
  ];
  const napot: readonly MalformedRule[] = [
    {
      reason: 'napot_at_upper_level',
      meaning: 'N is reserved above level 0',
      tests: [{ mask: N, equals: N }],
      levels: UPPER,
      when: ['svnapot', '!xtheadmae'],
      section: 'Svnapot',
    },
    {
      reason: 'napot_bad_encoding',
      meaning: 'only PPN[3:0] = 1000b (64 KiB) is defined',
      tests: [{ mask: N, equals: N }],
      shapes: ['leaf', 'table'],
      levels: [0],
      when: ['svnapot', '!xtheadmae'],
      section: 'Svnapot',
    },
  ];
  return xlen === 64 ? [...shape, RESERVED_FIELDS, ...high, ...low, ...napot] : [...shape, ...low];
}

function formatOf(xlen: 32 | 64): Format {
  return {
    name: `riscv${xlen}`,
    title: xlen === 64 ? 'RISC-V Sv39, Sv48 and Sv57 entries' : 'RISC-V Sv32 entries',
    entryBytes: xlen === 64 ? 8 : 4,
    features:
      xlen === 64
        ? {
            svnapot: 'Svnapot: 64 KiB runs of 16 entries',
            svpbmt: 'Svpbmt: memory types in bits 62:61',
            svrsw60t59b: 'Svrsw60t59b: bits 60 and 59 are for software',
            xtheadmae: 'T-Head memory attributes in bits 63:59 (excludes Svnapot and Svpbmt)',
          }
        : {},
    exclusive: xlen === 64 ? ['svnapot', 'svpbmt', 'svrsw60t59b'].map((feature) => ['xtheadmae', feature]) : [],
    shapes: shapesOf(xlen),
    rules: rulesOf(xlen),
    attributes:
      xlen === 64
        ? ['n', 'pbmt', 'so', 'c', 'b', 'sh', 'sec', 'rsw60t59', 'rsw', 'd', 'a', 'g', 'u', 'x', 'w', 'r']
        : ['rsw', 'd', 'a', 'g', 'u', 'x', 'w', 'r'],
    common: riscvCommon,
    access: riscvAccess,
    fault: riscvFault,
  };
}

/** 64-bit entries: Sv39, Sv48, Sv57. */
export const riscv64: Format = formatOf(64);

/** 32-bit entries: Sv32. */
export const riscv32: Format = formatOf(32);
