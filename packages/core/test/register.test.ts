import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gather, scatter } from '../src/bits.ts';
import { ArgumentError, FormatError } from '../src/errors.ts';
import { decodeRegister, encodeRegister, type RegisterFormat, unnamedBits } from '../src/register.ts';
import { thrownBy } from './model.ts';
import { bigBelow, numbers, seeds } from './random-tables.ts';

const base: RegisterFormat = {
  name: 'base',
  bits: 64,
  title: 'a table base in two pieces',
  fields: [
    { name: 'id', bits: [[63, 48]], meaning: 'whose' },
    {
      name: 'address',
      bits: [
        [5, 2],
        [47, 6],
      ],
      meaning: 'where',
    },
    { name: 'on', bits: [[0, 0]], meaning: 'in use' },
  ],
};
const small: RegisterFormat = {
  ...base,
  name: 'small',
  bits: 32,
  fields: [{ name: 'n', bits: [[2, 0]], meaning: '' }],
};

describe('registers', () => {
  it('are read and built field by field, the first range most significant', () => {
    const value = 0xbeef_1234_5678_9a54n | 1n;
    expect(decodeRegister(base, value)).toEqual({ id: 0xbeefn, address: (5n << 42n) | 0x48_d159_e269n, on: 1n });
    expect(encodeRegister(base, { id: 0xbeef, address: (5n << 42n) | 0x48_d159_e269n, on: 1 })).toBe(value);
    expect(encodeRegister(base, {})).toBe(0n);
  });

  it('name the bits that no field has', () => {
    expect(unnamedBits(base, (1n << 64n) - 1n)).toBe(2n);
    expect(unnamedBits(small, 0xffn)).toBe(0xf8n);
  });

  it('come back as they were built', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = numbers(seed);
        const value = bigBelow(random, 1n << 64n);
        expect(encodeRegister(base, decodeRegister(base, value)) | unnamedBits(base, value)).toBe(value);
      }),
    );
  });

  it('refuse values that are too wide, unknown fields, and what does not fit one', () => {
    for (const run of [
      () => decodeRegister(small, 1n << 32n),
      () => unnamedBits(small, -1n),
      () => decodeRegister(base, 1n << 64n),
    ]) {
      expect(thrownBy(run)).toBeInstanceOf(ArgumentError);
      expect(thrownBy(run).rule).toBe('register-width');
    }
    expect(thrownBy(() => decodeRegister(small, 1n << 32n)).values).toEqual({ value: '0x100000000' });
    expect(thrownBy(() => encodeRegister(small, { m: 1 }))).toMatchObject({
      rule: 'register-field',
      values: { field: 'm' },
    });
    for (const [n, value] of [
      [8, '0x8'],
      [-1, '-0x1'],
      [1.5, '1.5'],
      [1n << 40n, '0x10000000000'],
    ] as const) {
      const error = thrownBy(() => encodeRegister(small, { n }));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error).toMatchObject({ rule: 'register-field', values: { field: 'n', value } });
    }
  });
});

describe('bits', () => {
  it('scatter refuses what does not fit', () => {
    expect(scatter(5n, [[3, 1]])).toBe(10n);
    expect(gather(10n, [[3, 1]])).toBe(5n);
    for (const value of [8n, -1n]) {
      const error = thrownBy(() => scatter(value, [[3, 1]]));
      expect(error).toBeInstanceOf(FormatError);
      expect(error.rule).toBe('field-width');
    }
  });
});
