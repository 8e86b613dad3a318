/**
 * Addresses as branded `bigint`s.
 *
 * Inside hot paths addresses travel as doubles: every multiple of 4 KiB up to 2^64, and every multiple of 8 up to
 * 2^56, is exact in a double. The public surface only ever shows `bigint`.
 */

import { ArgumentError } from './errors.ts';

export { hex, sizeText } from './number-text.ts';

declare const virtBrand: unique symbol;
declare const physBrand: unique symbol;

/** A virtual address: an unsigned 64-bit number, 0 to 2^64 - 1 (an exclusive end may be 2^64). */
export type VirtAddr = bigint & { readonly [virtBrand]: true };

/**
 * A physical address (or the intermediate address that a further stage translates): unsigned, below 2^56 (an exclusive
 * end may be 2^56).
 */
export type PhysAddr = bigint & { readonly [physBrand]: true };

/** 2^64: the size of the address ring and the largest legal exclusive end. */
export const TWO_64: bigint = 1n << 64n;

/** 2^56: the largest exclusive end of physical addresses. */
const PHYS_END = 1n << 56n;

function integer(value: bigint | number, kind: string): bigint {
  if (typeof value === 'bigint') return value;
  if (Number.isInteger(value)) return BigInt(value);
  throw new ArgumentError('address-integer', `a ${kind} address must be an integer`, { address: value });
}

/**
 * Brands a number as a virtual address, wrapped to 64 bits, so that `virt(-1n)` is the last address.
 * @param value any integer; taken modulo 2^64
 * @throws ArgumentError `address-integer`
 */
export function virt(value: bigint | number): VirtAddr {
  return BigInt.asUintN(64, integer(value, 'virtual')) as VirtAddr;
}

/**
 * Brands a number as a physical address.
 * @param value an integer from 0 to 2^56
 * @throws ArgumentError `address-integer`; `phys-range` if it is negative or too large
 */
export function phys(value: bigint | number): PhysAddr {
  const address = integer(value, 'physical');
  if (address >= 0n && address <= PHYS_END) return address as PhysAddr;
  throw new ArgumentError('phys-range', 'a physical address must lie within 0 and 2^56', { address });
}
