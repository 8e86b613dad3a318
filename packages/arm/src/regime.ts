/**
 * From TTBCR and the table bases to roots.
 * Source: DDI 0406, B3.5.4 "Selecting between TTBR0 and TTBR1, Short-descriptor", B3.6.4 "... Long-descriptor".
 */
import { createPaging, type Format, type Paging, type RootDescription } from '@pagefold/core';
import { lpaeGeometry, shortGeometry } from './geometry.ts';
import { lpaeFormatWith } from './lpae-format.ts';
import { LINUX_MAIR, LINUX_REMAP } from './memory-types.ts';
import { shortFormatWith } from './short-format.ts';

/** Register values of a 32-bit Arm. */
export interface ArmRegisters {
  readonly ttbcr: bigint;
  readonly ttbr0?: bigint | undefined;
  readonly ttbr1?: bigint | undefined;
  /** Domain access control. Not supplied: every domain a client. */
  readonly dacr?: number | undefined;
  /** Type remap of short descriptors. Not supplied: what Linux programs. */
  readonly prrr?: bigint | undefined;
  readonly nmrr?: bigint | undefined;
  /** Memory types of long descriptors. Not supplied: what Linux programs. */
  readonly mair0?: bigint | undefined;
  readonly mair1?: bigint | undefined;
}

/** The short format as these registers make it. */
export function shortFormatOf({ prrr = LINUX_REMAP.prrr, nmrr = LINUX_REMAP.nmrr }: Partial<ArmRegisters>): Format {
  return shortFormatWith({ prrr, nmrr });
}

/** Short descriptors as a processor with these features and registers has them. */
export function shortPaging(
  features: Iterable<ShortFeature> = ASSUMED_FEATURES,
  bits = 32,
  registers: Partial<ArmRegisters> = {},
): Paging {
  const on = new Set(features);
  return createPaging(shortFormatOf(registers), shortGeometry(bits, on.has('supersections')), { features: on });
}

/** The long format as these registers make it. */
export function lpaeFormatOf({ mair0, mair1 }: Partial<ArmRegisters>): Format {
  return lpaeFormatWith(((mair1 ?? LINUX_MAIR >> 32n) << 32n) | (mair0 ?? LINUX_MAIR & 0xffff_ffffn));
}

/** Features of short descriptors. */
export type ShortFeature = 'pxn' | 'supersections' | 'afe' | 'tre';

/** What is assumed of a processor that nobody described: everything, so that no entry looks reserved. */
export const ASSUMED_FEATURES: readonly ShortFeature[] = ['pxn', 'supersections', 'tre'];

const ALL_CLIENTS = 0x5555_5555;
const WORD = 1n << 32n;

/** Is the long format on (TTBCR.EAE)? */
export function isLpae(ttbcr: bigint): boolean {
  return ((ttbcr >> 31n) & 1n) === 1n;
}

/** A base address with what lies below its alignment taken off. */
function aligned(value: bigint, bytes: number): bigint {
  return value - (value % BigInt(bytes));
}

/** Roots under short descriptors. */
export function shortRoots(
  registers: ArmRegisters,
  features: Iterable<ShortFeature> = ASSUMED_FEATURES,
): RootDescription[] {
  const { ttbcr, ttbr0, ttbr1, dacr } = registers;
  const on = new Set(features);
  const n = Number(ttbcr & 7n);
  const control = { dacr: dacr ?? ALL_CLIENTS };
  const disabled = (bit: bigint): { fault?: string } =>
    ((ttbcr >> bit) & 1n) === 1n ? { fault: 'walk_disabled' } : {};
  const roots: RootDescription[] = [];
  if (ttbr0 !== undefined) {
    const paging = shortPaging(on, 32 - n, registers);
    roots.push({
      paging,
      address: aligned(ttbr0, paging.geometry.root.tableBytes),
      label: 'TTBR0',
      control,
      ...disabled(4n),
    });
  }
  if (ttbr1 !== undefined && n > 0) {
    const paging = shortPaging(on, 32, registers);
    const ranges = [{ start: 1n << BigInt(32 - n), end: WORD }];
    roots.push({
      paging,
      address: aligned(ttbr1, paging.geometry.root.tableBytes),
      label: 'TTBR1',
      ranges,
      control,
      ...disabled(5n),
    });
  }
  return roots;
}

/**
 * Roots under long descriptors. The test for TTBR1 comes second and wins; with T1SZ = 0 TTBR1 has what TTBR0 leaves.
 */
export function lpaeRoots(registers: ArmRegisters): RootDescription[] {
  const { ttbcr, ttbr0, ttbr1 } = registers;
  const format = lpaeFormatOf(registers);
  const t0 = Number(ttbcr & 7n);
  const t1 = Number((ttbcr >> 16n) & 7n);
  const base = (value: bigint, bytes: number): bigint => aligned(value & 0xff_ffff_ffffn, bytes);
  const disabled = (bit: bigint): { fault?: string } =>
    ((ttbcr >> bit) & 1n) === 1n ? { fault: 'walk_disabled' } : {};
  const lowEnd = 1n << BigInt(32 - t0);
  const highStart = t1 > 0 ? WORD - (1n << BigInt(32 - t1)) : lowEnd;
  const roots: RootDescription[] = [];
  if (ttbr0 !== undefined) {
    const paging = createPaging(format, lpaeGeometry(32 - t0));
    const end = t1 > 0 && highStart < lowEnd ? highStart : lowEnd;
    roots.push({
      paging,
      address: base(ttbr0, paging.geometry.root.tableBytes),
      label: 'TTBR0',
      ranges: [{ start: 0n, end }],
      ...disabled(7n),
    });
  }
  if (ttbr1 !== undefined && highStart < WORD) {
    const paging = createPaging(format, lpaeGeometry(32 - t1, t1 > 0 ? 'one' : 'zero'));
    roots.push({
      paging,
      address: base(ttbr1, paging.geometry.root.tableBytes),
      label: 'TTBR1',
      ranges: [{ start: highStart, end: WORD }],
      ...disabled(23n),
    });
  }
  return roots;
}

/** Roots under whichever format TTBCR.EAE selects. */
export function armRoots(registers: ArmRegisters, features?: Iterable<ShortFeature>): RootDescription[] {
  return isLpae(registers.ttbcr) ? lpaeRoots(registers) : shortRoots(registers, features);
}
