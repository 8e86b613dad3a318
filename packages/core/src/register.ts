/** Registers as data: the same fields as entries, read, written and explained by the same code. */
import { checkBigints } from './bigints.ts';
import { fieldsOf, fitsRanges, rangesMask, scatter } from './bits.ts';
import { ArgumentError } from './errors.ts';
import type { Field } from './format.ts';

/** A register, described by its fields. */
export interface RegisterFormat {
  /** Its name, in lower case: `satp`, `tcr_el1`. Registers of one name and different widths are told apart by `bits`. */
  readonly name: string;
  /** Width. */
  readonly bits: 32 | 64;
  /** One line for people. */
  readonly title: string;
  readonly fields: readonly Field[];
  /** Section of the specification. */
  readonly section?: string;
}

function checkWidth(register: RegisterFormat, value: bigint): void {
  if (typeof value !== 'bigint') checkBigints({ [register.name]: value });
  if (BigInt.asUintN(register.bits, value) !== value) {
    throw new ArgumentError('register-width', `${register.name} has ${register.bits} bits`, { value });
  }
}

/**
 * Field values of a register.
 * @throws ArgumentError if the value is wider than the register
 */
export function decodeRegister(register: RegisterFormat, value: bigint): Record<string, bigint> {
  checkWidth(register, value);
  return fieldsOf(register.fields, value);
}

/** Bits of a value that no field of the register names: reserved, or unknown to us. */
export function unnamedBits(register: RegisterFormat, value: bigint): bigint {
  checkWidth(register, value);
  return value & ~register.fields.reduce((mask, field) => mask | rangesMask(field.bits), 0n);
}

/**
 * A register value from field values; fields that are not given are zero.
 * @throws ArgumentError for an unknown field or a value that does not fit
 */
export function encodeRegister(register: RegisterFormat, values: Readonly<Record<string, bigint | number>>): bigint {
  let word = 0n;
  for (const [name, value] of Object.entries(values)) {
    const field = register.fields.find((candidate) => candidate.name === name);
    if (field === undefined) {
      throw new ArgumentError('register-field', `${register.name} has no field of that name`, { field: name });
    }
    if (!fitsRanges(value, field.bits)) {
      throw new ArgumentError('register-field', `a value does not fit a field of ${register.name}`, {
        field: name,
        value,
      });
    }
    word |= scatter(BigInt(value), field.bits);
  }
  return word;
}
