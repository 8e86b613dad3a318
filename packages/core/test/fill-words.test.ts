import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DoubleView, fillNarrow, fillWide } from '../src/fill-words.ts';

/** One entry after the other, by exact arithmetic. */
function wanted(slots: number, first: bigint, step: bigint): bigint[] {
  return Array.from({ length: slots }, (_, i) => first + BigInt(i) * step);
}

const lowHalf = (word: bigint): number => Number(word & 0xffff_ffffn);
const highHalf = (word: bigint): number => Number(word >> 32n);

/** High halves around those that doubles treat specially: zeros, tiny numbers, infinities, NaNs, either sign. */
const HIGH = [0, 1, 0x000f_ffff, 0x0010_0000, 0x3ff0_0000, 0x7fef_ffff, 0x7ff0_0000, 0x7ff8_0000, 0x7fff_ffff];
const high = fc.oneof(
  fc.constantFrom(...HIGH),
  fc.constantFrom(...HIGH.map((half) => half + 0x8000_0000)),
  fc.nat({ max: 0xffff_ffff }),
);

describe('rows of entries', () => {
  it('of two words are the same whichever way they are written', () => {
    fc.assert(
      fc.property(
        high,
        fc.nat({ max: 0xffff_ffff }),
        fc.constantFrom(0, 1, 4, 0x400, 0x1000, 0x8_0000),
        fc.integer({ min: 1, max: 600 }),
        fc.nat({ max: 5 }),
        fc.constantFrom(0, 4, 8),
        (hi, lo, step, slots, at, byteOffset) => {
          // The low half must not carry; often it comes as near to that as it can.
          const last = step * (slots - 1);
          const first = lo % 2 === 0 ? 0xffff_ffff - last : lo % (0xffff_ffff - last);
          const words = new Uint32Array(new ArrayBuffer(0x2000), byteOffset, 2 * (slots + 5)).fill(0x5a5a_5a5a);
          fillWide(words, at, slots, first, hi, step, new DoubleView());
          const expected = wanted(slots, (BigInt(hi) << 32n) | BigInt(first), BigInt(step));
          const row = expected.flatMap((word) => [lowHalf(word), highHalf(word)]);
          const around = (length: number): number[] => Array.from({ length }, () => 0x5a5a_5a5a);
          expect([...words]).toEqual([...around(at), ...row, ...around(words.length - at - row.length)]);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('of one word rise by the step', () => {
    const words = new Uint32Array(6);
    fillNarrow(words, 1, 4, 0xffff_f003, 0x400);
    expect([...words]).toEqual([0, 0xffff_f003, 0xffff_f403, 0xffff_f803, 0xffff_fc03, 0]);
  });

  it('are looked at as doubles where those are aligned, each array once in a row', () => {
    const view = new DoubleView();
    const buffer = new ArrayBuffer(64);
    const words = new Uint32Array(buffer, 8, 7);
    const doubles = view.of(words);
    expect([doubles?.byteOffset, doubles?.length]).toEqual([8, 3]);
    expect(view.of(words)).toBe(doubles);
    expect(view.of(new Uint32Array(buffer, 4, 8))).toBeUndefined();
    expect(view.of(words)).toEqual(doubles);
  });
});
