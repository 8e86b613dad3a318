/**
 * The one error class of this package and the closed list of its rules.
 */
import { type ErrorValues, PagefoldError } from '@pagefold/core';

/** What can be wrong with a request to write something. Stays the same between releases. */
export type EmitRule =
  // memory and tables
  | 'range-align' // a range is empty, or does not start and end at multiples of 8 below 2^56
  | 'range-large' // more bytes than one array can sensibly hold
  | 'no-memory' // part of what is to be written lies outside memory
  | 'memory-differs' // address spaces over different memories were given together
  | 'option' // an option is outside its range
  // ELF cores
  | 'piece-overlap' // two pieces hold the same address
  | 'piece-address' // a piece does not lie below 2^56, or below 2^32 in an ELF32 file
  | 'elf-size' // the file would be larger than its offsets can say
  // pictures
  | 'layout-region' // a region ends before it starts, or outside the machine's words
  | 'shape'; // the level has no shape of that name

/** Something cannot be written as asked. The rule says what, `values` say where, in hex. */
export class EmitError extends PagefoldError {
  declare readonly rule: EmitRule;

  /**
   * @param rule the rule that was broken
   * @param message what is wrong, in words
   * @param values the values involved; numbers are shown in hex
   */
  constructor(rule: EmitRule, message: string, values: ErrorValues = {}) {
    super(rule, message, values);
  }
}

/**
 * Checks an option that is a number.
 * @throws EmitError `option`
 */
export function checkOption(name: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new EmitError('option', `${name} must be a whole number from ${low} to ${high}`, { value: String(value) });
}

/**
 * Checks an option that is a power of two.
 * @throws EmitError `option`
 */
export function checkPower(name: string, value: number, low: number, high: number): number {
  if (Number.isInteger(Math.log2(checkOption(name, value, low, high)))) return value;
  throw new EmitError('option', `${name} must be a power of two`, { value });
}
