/**
 * From TTBCR and the table bases to roots.
 * Source: DDI 0406, B3.5.4 "Selecting between TTBR0 and TTBR1, Short-descriptor", B3.6.4 "... Long-descriptor".
 */
import { createPaging, type RootDescription } from '@pagefold/core';
import { lpaeGeometry, shortGeometry } from './geometry.ts';
import { armLpae } from './lpae-format.ts';
import { armShort } from './short-format.ts';

/** Register values of a 32-bit Arm. */
export interface ArmRegisters {
  readonly ttbcr: bigint;
  readonly ttbr0?: bigint | undefined;
  readonly ttbr1?: bigint | undefined;
  /** Domain access control. Not supplied: every domain a client. */
  readonly dacr?: number | undefined;
}

/** Features of short descriptors. */
export type ShortFeature = 'pxn' | 'supersections' | 'afe' | 'tre';

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
  { ttbcr, ttbr0, ttbr1, dacr }: ArmRegisters,
  features: Iterable<ShortFeature> = ['pxn', 'supersections', 'tre'],
): RootDescription[] {
  const n = Number(ttbcr & 7n);
  const control = { dacr: dacr ?? ALL_CLIENTS };
  const disabled = (bit: bigint): { fault?: string } =>
    ((ttbcr >> bit) & 1n) === 1n ? { fault: 'walk_disabled' } : {};
  const roots: RootDescription[] = [];
  if (ttbr0 !== undefined) {
    const paging = createPaging(armShort, shortGeometry(32 - n), { features });
    roots.push({
      paging,
      address: aligned(ttbr0, paging.geometry.root.tableBytes),
      label: 'TTBR0',
      control,
      ...disabled(4n),
    });
  }
  if (ttbr1 !== undefined && n > 0) {
    const paging = createPaging(armShort, shortGeometry(), { features });
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
export function lpaeRoots({ ttbcr, ttbr0, ttbr1 }: ArmRegisters): RootDescription[] {
  const t0 = Number(ttbcr & 7n);
  const t1 = Number((ttbcr >> 16n) & 7n);
  const base = (value: bigint, bytes: number): bigint => aligned(value & 0xff_ffff_ffffn, bytes);
  const disabled = (bit: bigint): { fault?: string } =>
    ((ttbcr >> bit) & 1n) === 1n ? { fault: 'walk_disabled' } : {};
  const lowEnd = 1n << BigInt(32 - t0);
  const highStart = t1 > 0 ? WORD - (1n << BigInt(32 - t1)) : lowEnd;
  const roots: RootDescription[] = [];
  if (ttbr0 !== undefined) {
    const paging = createPaging(armLpae, lpaeGeometry(32 - t0));
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
    const paging = createPaging(armLpae, lpaeGeometry(32 - t1, t1 > 0 ? 'one' : 'zero'));
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
