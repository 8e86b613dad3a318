/**
 * Addresses as branded `bigint`s, and their text form.
 *
 * Inside hot paths addresses travel as doubles: every multiple of 4 KiB up to 2^64, and every multiple of 8 up to
 * 2^56, is exact in a double. The public surface only ever shows `bigint`.
 */

declare const virtBrand: unique symbol;
declare const physBrand: unique symbol;

/** A virtual address: an unsigned 64-bit number, 0 to 2^64 - 1 (an exclusive end may be 2^64). */
export type VirtAddr = bigint & { readonly [virtBrand]: true };

/** A physical address (or the intermediate address that a further stage translates): unsigned, below 2^56. */
export type PhysAddr = bigint & { readonly [physBrand]: true };

/** 2^64: the size of the address ring and the largest legal exclusive end. */
export const TWO_64: bigint = 1n << 64n;

/**
 * Brands a number as a virtual address, wrapped to 64 bits, so that `virt(-1n)` is the last address.
 * @param value any integer; taken modulo 2^64
 */
export function virt(value: bigint | number): VirtAddr {
  return BigInt.asUintN(64, BigInt(value)) as VirtAddr;
}

/**
 * Brands a number as a physical address.
 * @param value a non-negative integer
 * @throws RangeError if it is negative or not an integer
 */
export function phys(value: bigint | number): PhysAddr {
  const address = BigInt(value);
  if (address < 0n) throw new RangeError(`phys: ${address} is negative`);
  return address as PhysAddr;
}

/**
 * Lower-case hexadecimal with `0x`, optionally zero-padded.
 * @param value any integer; negative numbers print with a leading minus sign
 * @param digits pad to at least this many digits
 */
export function hex(value: bigint | number, digits = 0): string {
  const number = BigInt(value);
  const text = (number < 0n ? -number : number).toString(16).padStart(digits, '0');
  return `${number < 0n ? '-' : ''}0x${text}`;
}

/** Units of {@link sizeText}, each 1024 times the one before. */
const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E'] as const;

/**
 * A size in the largest unit that divides it exactly, as page-table dumps print it: `4K`, `2M`, `1536K`.
 * @param bytes a non-negative size in bytes
 */
export function sizeText(bytes: bigint | number): string {
  let rest = BigInt(bytes);
  let unit = 0;
  while (rest !== 0n && rest % 1024n === 0n && unit < UNITS.length - 1) {
    rest /= 1024n;
    unit++;
  }
  return unit === 0 ? `${rest}B` : `${rest}${UNITS[unit]}`;
}
