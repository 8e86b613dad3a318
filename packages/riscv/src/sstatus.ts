/**
 * sstatus: the bits of the supervisor's status register, two of which change what an access may do.
 * Source: RISC-V ISA Volume II, "Supervisor Status (sstatus) Register".
 */
import { type AccessRequest, decodeRegister, type Field, type RegisterFormat } from '@pagefold/core';
import type { Xlen } from './entry-bits.ts';

const SECTION = 'sstatus';

/** State of a unit with a lot of registers. */
const UNIT = { 0: 'off', 1: 'initial', 2: 'clean', 3: 'dirty' } as const;

const common: readonly Field[] = [
  { name: 'mxr', bits: [[19, 19]], meaning: 'loads may read executable pages', section: SECTION },
  { name: 'sum', bits: [[18, 18]], meaning: 'supervisor may load from and store to user pages', section: SECTION },
  { name: 'xs', bits: [[16, 15]], meaning: 'state of other extensions', values: UNIT, section: SECTION },
  { name: 'fs', bits: [[14, 13]], meaning: 'state of the floating-point unit', values: UNIT, section: SECTION },
  { name: 'vs', bits: [[10, 9]], meaning: 'state of the vector unit', values: UNIT, section: SECTION },
  {
    name: 'spp',
    bits: [[8, 8]],
    meaning: 'privilege before the trap',
    values: { 0: 'user', 1: 'supervisor' },
    section: SECTION,
  },
  { name: 'ube', bits: [[6, 6]], meaning: 'user memory accesses are big-endian', section: SECTION },
  { name: 'spie', bits: [[5, 5]], meaning: 'interrupts were on before the trap', section: SECTION },
  { name: 'sie', bits: [[1, 1]], meaning: 'interrupts are on', section: SECTION },
];

/** sstatus of RV64, CSR 0x100. Bits of extensions that have nothing to do with paging are left out. */
export const sstatus64: RegisterFormat = {
  name: 'sstatus',
  bits: 64,
  title: 'supervisor status, RV64',
  section: SECTION,
  fields: [
    { name: 'sd', bits: [[63, 63]], meaning: 'one of the units is dirty', section: SECTION },
    { name: 'uxl', bits: [[33, 32]], meaning: 'width of user mode', values: { 1: '32', 2: '64' }, section: SECTION },
    ...common,
  ],
};

/** sstatus of RV32, CSR 0x100. */
export const sstatus32: RegisterFormat = {
  name: 'sstatus',
  bits: 32,
  title: 'supervisor status, RV32',
  section: SECTION,
  fields: [{ name: 'sd', bits: [[31, 31]], meaning: 'one of the units is dirty', section: SECTION }, ...common],
};

/**
 * Options of the access check as a status value sets them.
 * @throws ArgumentError `register-width` if the value is wider than the register
 */
export function sstatusOptions(xlen: Xlen, value: bigint): NonNullable<AccessRequest['options']> {
  const { sum, mxr } = decodeRegister(xlen === 64 ? sstatus64 : sstatus32, value);
  return { sum: sum === 1n, mxr: mxr === 1n };
}
