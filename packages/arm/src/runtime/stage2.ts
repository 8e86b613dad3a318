/**
 * Stage 2 of 32-bit Arm with the virtualization extensions, as KVM used it until Linux 5.6: long descriptors, 40-bit
 * addresses of guests, a root of two concatenated tables.
 * Sources: DDI 0406, B3.6.3 "Memory attributes in the Long-descriptor stage 2", B4.1.159 VTCR, B4.1.160 VTTBR; Linux
 * 5.6 arch/arm/include/asm/kvm_arm.h, kvm_mmu.h, virt/kvm/arm/mmu.c.
 */
import {
  type AccessRules,
  type BitTest,
  createPaging,
  encodeRegister,
  type Field,
  type Format,
  type GeometryDescription,
  type Paging,
  type RegisterFormat,
} from '@pagefold/core';
import { longFault } from '../faults.ts';

const SECTION = 'B3.6.2 descriptor formats, stage 2';
const field = (name: string, hi: number, lo: number, meaning: string, software = false): Field => ({
  name,
  bits: [[hi, lo]],
  meaning,
  section: SECTION,
  ...(software ? { software } : {}),
});

const address = [{ entryLo: 12, addressLo: 12, bits: 28 }];
const base = field('address', 39, 12, 'output or next-table address');

const leafFields: readonly Field[] = [
  field('ignored', 63, 59, 'ignored', true),
  field('sw', 58, 55, 'for software', true),
  field('xn', 54, 54, 'not executable'),
  field('contiguous', 52, 52, 'one of a contiguous group'),
  base,
  field('af', 10, 10, 'access flag'),
  field('sh', 9, 8, 'shareability'),
  field('hap', 7, 6, 'access: 01 read-only, 10 write-only, 11 read-write'),
  field('memAttr', 5, 2, 'memory type'),
  field('type', 1, 0, 'valid, and table or page'),
];

const VALID_TABLE: BitTest = { mask: 3n, equals: 3n };
const VALID_BLOCK: BitTest = { mask: 3n, equals: 1n };

const access: AccessRules = {
  options: [],
  check({ af, hap = 0, xn }, { kind }) {
    const reasons = af === 0 ? ['access_flag'] : [];
    const read = (hap & 1) === 1;
    const allowed = kind === 'read' ? read : kind === 'write' ? (hap & 2) === 2 : read && xn === 0;
    return { reasons: allowed ? reasons : [...reasons, `no_${kind}`] };
  },
};

/** Stage-2 long descriptors. */
export const armStage2: Format = {
  name: 'arm-stage2',
  title: '32-bit Arm long descriptors, stage 2',
  entryBytes: 8,
  shapes: [
    {
      name: 'invalid',
      kind: 'empty',
      match: [{ mask: 1n, equals: 0n }],
      reason: 'invalid_descriptor',
      fields: [field('software', 63, 1, 'ignored', true), field('valid', 0, 0, 'zero: not valid')],
      section: SECTION,
    },
    { name: 'page', kind: 'leaf', match: [VALID_TABLE], levels: [0], address, fields: leafFields, section: SECTION },
    {
      name: 'table',
      kind: 'table',
      match: [VALID_TABLE],
      levels: [1, 2],
      address,
      fields: [field('ignored', 63, 52, 'ignored', true), base, field('type', 1, 0, 'table')],
      section: SECTION,
    },
    {
      name: 'block',
      kind: 'leaf',
      match: [VALID_BLOCK],
      levels: [1, 2],
      address,
      fields: leafFields,
      section: SECTION,
    },
  ],
  unmatched: 'reserved_descriptor',
  nonCanonical: 'no_table_base',
  attributes: ['sw', 'xn', 'contiguous', 'af', 'sh', 'hap', 'memAttr'],
  access,
  fault: longFault,
};

/** Addresses of guests have 40 bits although the processor's word has 32: the root is 1024 entries long. */
export const stage2Geometry: GeometryDescription = {
  name: 'stage2-40',
  title: 'stage 2, 40 bits',
  levels: [
    { shift: 12, indexBits: 9, hardware: 3, name: 'PTE', leafName: 'page' },
    { shift: 21, indexBits: 9, hardware: 2, name: 'PMD', leafName: 'block' },
    { shift: 30, indexBits: 10, hardware: 1, name: 'PGD', leafName: 'block' },
  ],
  vaBits: 40,
  paBits: 40,
  upper: 'zero',
};

/** KVM's stage-2 paging. */
export function stage2Paging(): Paging {
  return createPaging(armStage2, stage2Geometry);
}

/** VTCR. */
export const vtcr: RegisterFormat = {
  name: 'vtcr',
  bits: 32,
  title: 'stage-2 translation control',
  section: 'B4.1.159 VTCR',
  fields: [
    field('sh0', 13, 12, 'shareability of walks'),
    field('orgn0', 11, 10, 'outer cacheability of walks'),
    field('irgn0', 9, 8, 'inner cacheability of walks'),
    field('sl0', 7, 6, 'start level: 0 is level 2, 1 is level 1'),
    field('s', 4, 4, 'sign of T0SZ'),
    field('t0sz', 3, 0, 'guests have 2^(32 - T0SZ) bytes, T0SZ signed'),
  ],
};

/**
 * VTCR as KVM fills it, without its reserved bits.
 * @param bits bits of a guest's address, 25 to 40
 */
export function encodeVtcr(bits = 40): bigint {
  const size = BigInt.asUintN(4, BigInt(32 - bits));
  // S must repeat the top bit of T0SZ. Walks are write-back, write-allocate and inner shareable.
  return encodeRegister(vtcr, { t0sz: size, s: size >> 3n, sl0: bits > 30 ? 1 : 0, irgn0: 1, orgn0: 1, sh0: 3 });
}

/** VTTBR: the root, and the number of the guest. */
export function encodeVttbr(root: bigint, vmid: number): bigint {
  return (BigInt(vmid & 0xff) << 48n) | root;
}

/** What KVM maps memory as. */
export type Stage2Memory = 'write-back' | 'write-through' | 'uncached' | 'device' | 'strongly-ordered';

const MEMORY: Readonly<Record<Stage2Memory, number>> = {
  'write-back': 0xf,
  'write-through': 0xa,
  uncached: 5,
  device: 1,
  'strongly-ordered': 0,
};

/** Fields of KVM's leaves. Nothing is forbidden to be executed by a guest; devices are. */
export function stage2Attributes(memory: Stage2Memory, writable: boolean): Readonly<Record<string, number>> {
  const device = memory === 'device' || memory === 'strongly-ordered';
  return {
    af: 1,
    sh: device ? 0 : 3,
    hap: writable ? 3 : 1,
    memAttr: MEMORY[memory],
    ...(device ? { xn: 1 } : {}),
  };
}
