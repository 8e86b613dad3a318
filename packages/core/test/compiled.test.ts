import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactMultiple, floorMultiple, maskedHalves, toBig } from '../src/compiled.ts';

const TWO_64 = 1n << 64n;

describe('exact numbers', () => {
  const unit = fc.integer({ min: 12, max: 33 }).map((shift) => 2 ** shift);
  const near = fc
    .tuple(fc.constantFrom(0n, 1n << 31n, 1n << 32n, 1n << 53n, 1n << 56n, 1n << 63n, TWO_64), fc.integer())
    .map(([at, steps]) => at + BigInt(steps) * 0x1000n);
  const value = fc.oneof(
    near,
    fc.bigInt({ min: -TWO_64, max: 2n * TWO_64 }),
    fc.bigInt({ min: 0n, max: TWO_64 }).map((n) => n & ~0xfffn),
  );

  it('come of multiples from 0 to 2^64, and only of those', () => {
    fc.assert(
      fc.property(value, unit, (number, bytes) => {
        const got = exactMultiple(number, bytes);
        const is = number >= 0n && number <= TWO_64 && number % BigInt(bytes) === 0n;
        // Units beyond 2^32 may be given up, never answered wrongly.
        if (is && bytes <= 2 ** 32) expect(got).toBe(Number(number));
        else if (!Number.isNaN(got)) expect([is, BigInt(got)]).toEqual([true, number]);
      }),
      { numRuns: 2000 },
    );
  });

  it('lie at or below every number that has 64 bits', () => {
    fc.assert(
      fc.property(value, unit, (number, bytes) => {
        const got = floorMultiple(number, bytes);
        if (number < 0n || number >= TWO_64) expect(got).toBeNaN();
        else expect(BigInt(got)).toBe(number - (number % BigInt(bytes)));
      }),
      { numRuns: 2000 },
    );
  });

  it('have halves, of which a mask keeps some bits', () => {
    expect(maskedHalves(0xffff_ffff_8000_0fffn, { lo: -1, hi: 0xff })).toEqual({ lo: -0x7fff_f001, hi: 0xff });
    expect(maskedHalves(0x1234_5678_9abc_def0n, { lo: 0xfff, hi: 0 })).toEqual({ lo: 0xef0, hi: 0 });
  });

  it('and BigInts come of them again', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: TWO_64 }), (number) => {
        const page = number & ~0xfffn;
        expect(toBig(exactMultiple(page, 0x1000))).toBe(page);
      }),
    );
    expect(toBig(2 ** 64)).toBe(TWO_64);
  });
});
