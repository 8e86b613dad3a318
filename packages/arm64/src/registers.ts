/**
 * Registers of the translation regimes, as data.
 * Source: Arm Architecture Reference Manual (DDI 0487), section D24 (TCR_EL1, TCR_EL2, TTBRn_ELx, VTCR_EL2, VTTBR_EL2,
 * SCTLR_EL1, MAIR_EL1, ID_AA64MMFRn_EL1).
 */
import type { BitRange, Field, RegisterFormat } from '@pagefold/core';

type Row = readonly [name: string, hi: number, lo: number, meaning: string, values?: Readonly<Record<number, string>>];

const GRANULE0 = { 0: '4K', 1: '64K', 2: '16K', 3: 'reserved' } as const;
const GRANULE1 = { 0: 'reserved', 1: '16K', 2: '4K', 3: '64K' } as const;
const CACHE = { 0: 'non-cacheable', 1: 'write-back, write-allocate', 2: 'write-through', 3: 'write-back' } as const;
const SHARE = { 0: 'non', 1: 'reserved', 2: 'outer', 3: 'inner' } as const;
const SIZES = { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52', 7: '56' } as const;

function register(name: string, title: string, rows: readonly Row[]): RegisterFormat {
  const section = name.toUpperCase();
  const fields = rows.map(([field, hi, lo, meaning, values]): Field => {
    const bits: readonly BitRange[] = [[hi, lo]];
    return { name: field, bits, meaning, section, ...(values === undefined ? {} : { values }) };
  });
  return { name, bits: 64, title, fields, section };
}

/** TCR_EL1. */
export const tcrEl1: RegisterFormat = register('tcr_el1', 'translation control, EL1&0', [
  ['ds', 59, 59, '52-bit descriptors for 4K and 16K (FEAT_LPA2)'],
  ['tcma1', 58, 58, 'unchecked tags, upper range'],
  ['tcma0', 57, 57, 'unchecked tags, lower range'],
  ['e0pd1', 56, 56, 'EL0 access to the upper range faults'],
  ['e0pd0', 55, 55, 'EL0 access to the lower range faults'],
  ['nfd1', 54, 54, 'non-fault walks disabled, upper range'],
  ['nfd0', 53, 53, 'non-fault walks disabled, lower range'],
  ['tbid1', 52, 52, 'top byte ignored for data only, upper range'],
  ['tbid0', 51, 51, 'top byte ignored for data only, lower range'],
  ['hpd1', 42, 42, 'hierarchical permissions disabled, upper range'],
  ['hpd0', 41, 41, 'hierarchical permissions disabled, lower range'],
  ['hd', 40, 40, 'hardware manages the dirty state'],
  ['ha', 39, 39, 'hardware manages the access flag'],
  ['tbi1', 38, 38, 'top byte ignored, upper range'],
  ['tbi0', 37, 37, 'top byte ignored, lower range'],
  ['as', 36, 36, 'ASIDs have 16 bits'],
  ['ips', 34, 32, 'output address size', SIZES],
  ['tg1', 31, 30, 'granule, upper range', GRANULE1],
  ['sh1', 29, 28, 'shareability of walks, upper range', SHARE],
  ['orgn1', 27, 26, 'outer cacheability of walks, upper range', CACHE],
  ['irgn1', 25, 24, 'inner cacheability of walks, upper range', CACHE],
  ['epd1', 23, 23, 'walks disabled, upper range'],
  ['a1', 22, 22, 'ASID comes from TTBR1'],
  ['t1sz', 21, 16, '64 minus input bits, upper range'],
  ['tg0', 15, 14, 'granule, lower range', GRANULE0],
  ['sh0', 13, 12, 'shareability of walks, lower range', SHARE],
  ['orgn0', 11, 10, 'outer cacheability of walks, lower range', CACHE],
  ['irgn0', 9, 8, 'inner cacheability of walks, lower range', CACHE],
  ['epd0', 7, 7, 'walks disabled, lower range'],
  ['t0sz', 5, 0, '64 minus input bits, lower range'],
]);

/** TCR_EL2 with HCR_EL2.E2H = 0. */
export const tcrEl2: RegisterFormat = register('tcr_el2', 'translation control, EL2', [
  ['ds', 32, 32, '52-bit descriptors for 4K and 16K (FEAT_LPA2)'],
  ['res1_31', 31, 31, 'one'],
  ['tcma', 30, 30, 'unchecked tags'],
  ['tbid', 29, 29, 'top byte ignored for data only'],
  ['hpd', 24, 24, 'hierarchical permissions disabled'],
  ['res1_23', 23, 23, 'one'],
  ['hd', 22, 22, 'hardware manages the dirty state'],
  ['ha', 21, 21, 'hardware manages the access flag'],
  ['tbi', 20, 20, 'top byte ignored'],
  ['ps', 18, 16, 'output address size', SIZES],
  ['tg0', 15, 14, 'granule', GRANULE0],
  ['sh0', 13, 12, 'shareability of walks', SHARE],
  ['orgn0', 11, 10, 'outer cacheability of walks', CACHE],
  ['irgn0', 9, 8, 'inner cacheability of walks', CACHE],
  ['t0sz', 5, 0, '64 minus input bits'],
]);

/** VTCR_EL2. */
export const vtcrEl2: RegisterFormat = register('vtcr_el2', 'translation control, stage 2', [
  ['sl2', 33, 33, 'start level -1, with SL0 = 0 and DS'],
  ['ds', 32, 32, '52-bit descriptors for 4K and 16K (FEAT_LPA2)'],
  ['res1_31', 31, 31, 'one'],
  ['hd', 22, 22, 'hardware manages the dirty state'],
  ['ha', 21, 21, 'hardware manages the access flag'],
  ['vs', 19, 19, 'VMIDs have 16 bits'],
  ['ps', 18, 16, 'output address size', SIZES],
  ['tg0', 15, 14, 'granule', GRANULE0],
  ['sh0', 13, 12, 'shareability of walks', SHARE],
  ['orgn0', 11, 10, 'outer cacheability of walks', CACHE],
  ['irgn0', 9, 8, 'inner cacheability of walks', CACHE],
  ['sl0', 7, 6, 'start level'],
  ['t0sz', 5, 0, '64 minus input bits'],
]);

function tableBase(name: string, title: string, id: string, meaning: string): RegisterFormat {
  return register(name, title, [
    [id, 63, 48, meaning],
    ['baddr', 47, 1, 'table base; with 52-bit addresses bits 5:2 are base[51:48]'],
    ['cnp', 0, 0, 'common, not private'],
  ]);
}

/** TTBR0_EL1. */
export const ttbr0El1: RegisterFormat = tableBase(
  'ttbr0_el1',
  'table base, lower range',
  'asid',
  'address space identifier',
);
/** TTBR1_EL1. */
export const ttbr1El1: RegisterFormat = tableBase(
  'ttbr1_el1',
  'table base, upper range',
  'asid',
  'address space identifier',
);
/** TTBR0_EL2. */
export const ttbr0El2: RegisterFormat = tableBase(
  'ttbr0_el2',
  'table base, EL2',
  'asid',
  'address space identifier (with E2H)',
);
/** VTTBR_EL2. */
export const vttbrEl2: RegisterFormat = tableBase(
  'vttbr_el2',
  'table base, stage 2',
  'vmid',
  'virtual machine identifier',
);

/** SCTLR_EL1, the bits that concern translation. */
export const sctlrEl1: RegisterFormat = register('sctlr_el1', 'system control', [
  ['epan', 57, 57, 'PAN counts execute-only pages'],
  ['ee', 25, 25, 'big-endian walks'],
  ['span', 23, 23, 'PAN is left alone on exceptions'],
  ['wxn', 19, 19, 'writable implies execute never'],
  ['i', 12, 12, 'instructions cached'],
  ['c', 2, 2, 'data cached'],
  ['m', 0, 0, 'translation on'],
]);

/** MAIR_EL1: eight memory types of eight bits. */
export const mairEl1: RegisterFormat = register(
  'mair_el1',
  'memory attribute indirection',
  [7, 6, 5, 4, 3, 2, 1, 0].map((i): Row => [`attr${i}`, i * 8 + 7, i * 8, `memory type of index ${i}`]),
);

/** ID_AA64MMFR0_EL1. */
export const idAa64mmfr0: RegisterFormat = register('id_aa64mmfr0_el1', 'memory model features 0', [
  ['tgran4_2', 43, 40, '4K granule at stage 2', { 0: 'as stage 1', 1: 'none', 2: 'yes', 3: 'LPA2' }],
  ['tgran64_2', 39, 36, '64K granule at stage 2', { 0: 'as stage 1', 1: 'none', 2: 'yes' }],
  ['tgran16_2', 35, 32, '16K granule at stage 2', { 0: 'as stage 1', 1: 'none', 2: 'yes', 3: 'LPA2' }],
  ['tgran4', 31, 28, '4K granule', { 0: 'yes', 1: 'LPA2', 15: 'none' }],
  ['tgran64', 27, 24, '64K granule', { 0: 'yes', 15: 'none' }],
  ['tgran16', 23, 20, '16K granule', { 0: 'none', 1: 'yes', 2: 'LPA2' }],
  ['asidbits', 7, 4, 'ASID size', { 0: '8 bits', 2: '16 bits' }],
  ['parange', 3, 0, 'physical address size', SIZES],
]);

/** ID_AA64MMFR1_EL1. */
export const idAa64mmfr1: RegisterFormat = register('id_aa64mmfr1_el1', 'memory model features 1', [
  ['xnx', 31, 28, 'execute never by exception level at stage 2'],
  ['pan', 23, 20, 'privileged access never', { 0: 'none', 1: 'PAN', 2: 'PAN2', 3: 'PAN3' }],
  ['hpds', 15, 12, 'hierarchical permission disables', { 0: 'none', 1: 'HPD', 2: 'HPD2' }],
  ['vmidbits', 7, 4, 'VMID size', { 0: '8 bits', 2: '16 bits' }],
  ['hafdbs', 3, 0, 'hardware flags', { 0: 'none', 1: 'access flag', 2: 'access flag and dirty state' }],
]);

/** ID_AA64MMFR2_EL1. */
export const idAa64mmfr2: RegisterFormat = register('id_aa64mmfr2_el1', 'memory model features 2', [
  ['e0pd', 63, 60, 'E0PD'],
  ['bbm', 55, 52, 'break-before-make level'],
  ['ttl', 51, 48, 'level hints in TLB invalidation'],
  ['fwb', 43, 40, 'stage 2 forced write-back'],
  ['st', 31, 28, 'small translation tables: TxSZ up to 48'],
  ['varange', 19, 16, 'virtual address size', { 0: '48', 1: '52 with 64K pages' }],
  ['cnp', 3, 0, 'common, not private'],
]);

/** All registers, for tools. */
export const arm64Registers: readonly RegisterFormat[] = [
  tcrEl1,
  ttbr0El1,
  ttbr1El1,
  tcrEl2,
  ttbr0El2,
  vtcrEl2,
  vttbrEl2,
  sctlrEl1,
  mairEl1,
  idAa64mmfr0,
  idAa64mmfr1,
  idAa64mmfr2,
];
