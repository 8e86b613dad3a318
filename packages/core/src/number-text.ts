/** Addresses and sizes as text. Apart from addresses, because errors show numbers and addresses throw errors. */

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
