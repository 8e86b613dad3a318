/** The two inflaters that no library has: by hand, against pages of the reference compressors, and on damaged streams. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inflateLzo } from '../src/lzo.ts';
import { inflateSnappy } from '../src/snappy.ts';
import { PAGES, type PageName, stored } from './kdump-builder.ts';

const NAMES = Object.keys(PAGES) as PageName[];
const END = [0x11, 0, 0];

function inflate(how: typeof inflateLzo, bytes: readonly number[] | Uint8Array, room = 1 << 17): Uint8Array {
  const target = new Uint8Array(room);
  return target.subarray(0, how(Uint8Array.from(bytes), target));
}

const letters = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

describe('LZO1X', () => {
  it.each(NAMES)('gives back what the reference compressed: %s', (name) => {
    for (const method of ['lzo', 'lzo999'] as const) {
      expect(inflate(inflateLzo, stored(name, method), 4096)).toEqual(PAGES[name]);
    }
  });

  it.each([
    ['literals at the start', [17 + 5, ...letters('hello'), ...END], 'hello'],
    ['literals of a length that needs more bytes', [0, 2, ...letters('x'.repeat(20)), ...END], 'x'.repeat(20)],
    ['a match of two after few literals', [17 + 3, ...letters('abc'), 0b0000_0100, 0, ...END], 'abcbc'],
    [
      'a match of three to eight, overlapping',
      [17 + 4, ...letters('abcd'), 0b1110_0000, 0, ...END],
      'abcddddddddd'.slice(0, 12),
    ],
    ['literals behind a match', [17 + 4, ...letters('abcd'), 0b0100_1101, 0, 90, ...END], 'abcdabcZ'],
    ['a match with distance in two bytes', [17 + 4, ...letters('abcd'), 0b0010_0010, 3 << 2, 0, ...END], 'abcdabcd'],
    [
      'a match whose length needs more bytes',
      [17 + 4, ...letters('abcd'), 0b0010_0000, 9, 3 << 2, 0, ...END],
      `abcd${'abcd'.repeat(10)}ab`,
    ],
  ])('knows %s', (_, stream, expected) => {
    expect(textOf(inflate(inflateLzo, stream))).toBe(expected);
  });

  it('reaches far back', () => {
    const literals = Array.from({ length: 0x4000 + 0x4000 + 300 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    const run = literals.length - 18;
    const length = [0, ...new Array<number>(Math.ceil(run / 255) - 1).fill(0), run - (Math.ceil(run / 255) - 1) * 255];
    // Distances of 0x4000 + 44 and, with the H bit, of 0x8000 + 44; each copies five bytes.
    const far = [0b0001_0011, 44 << 2, 0];
    const further = [0b0001_1011, (44 + 5) << 2, 0];
    const out = inflate(inflateLzo, [...length, ...literals, ...far, ...further, ...END]);
    const at = literals.length;
    expect([...out.subarray(at, at + 5)]).toEqual(literals.slice(at - 0x4000 - 44).slice(0, 5));
    expect([...out.subarray(at + 5)]).toEqual(literals.slice(at + 5 - 0x8000 - 49).slice(0, 5));
  });
});

describe('Snappy', () => {
  it.each(NAMES)('gives back what the reference compressed: %s', (name) => {
    expect(inflate(inflateSnappy, stored(name, 'snappy'), 4096)).toEqual(PAGES[name]);
  });

  it.each([
    ['short literals', [3, 2 << 2, ...letters('abc')], 'abc'],
    ['literals with a length of one byte', [70, 60 << 2, 69, ...letters('y'.repeat(70))], 'y'.repeat(70)],
    ['a copy with a distance of eleven bits', [8, 3 << 2, ...letters('abcd'), 0b0000_0001, 4], 'abcdabcd'],
    ['a copy with a distance of two bytes', [7, 3 << 2, ...letters('abcd'), (2 << 2) | 2, 2, 0], 'abcdcdc'],
    ['a copy with a distance of four bytes', [6, 3 << 2, ...letters('abcd'), (1 << 2) | 3, 1, 0, 0, 0], 'abcddd'],
  ])('knows %s', (_, block, expected) => {
    expect(textOf(inflate(inflateSnappy, block))).toBe(expected);
  });
});

describe.each([
  ['LZO1X', inflateLzo, 'lzo'],
  ['Snappy', inflateSnappy, 'snappy'],
] as const)('a damaged stream of %s', (_, how, method) => {
  it('ends in output or a RangeError, whatever is damaged', () => {
    const damage = fc.array(fc.tuple(fc.nat(5000), fc.nat(255)), { maxLength: 8 });
    fc.assert(
      fc.property(fc.constantFrom(...NAMES), damage, fc.nat(6000), fc.nat(5000), (name, changes, size, room) => {
        const bytes = stored(name, method).slice(0, size);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          expect(inflate(how, bytes, room).length).toBeLessThanOrEqual(room);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('is refused if it is cut off', () => {
    const whole = stored('text', method);
    for (let size = 0; size < whole.length; size++) {
      expect(() => inflate(how, whole.subarray(0, size), 4096)).toThrow(RangeError);
    }
    expect(() => inflate(how, whole, 4095)).toThrow(RangeError);
  });
});
