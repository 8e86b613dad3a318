import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../src/errors.ts';
import { createShadow } from '../src/kasan.ts';
import { rangeBetween, rangeOfSize } from '../src/range.ts';

const configs = fc.record({
  scale: fc.integer({ min: 1, max: 8 }),
  wordBits: fc.constantFrom<32 | 64>(32, 64),
  raw: fc.bigInt(0n, (1n << 64n) - 1n),
});

describe('shadow arithmetic', () => {
  it('gives each granule one byte, one after the other around the ring', () => {
    fc.assert(
      fc.property(configs, fc.bigInt(0n, (1n << 64n) - 1n), ({ scale, wordBits, raw }, any) => {
        const shadow = createShadow({ scale, wordBits, offset: BigInt.asUintN(wordBits, raw) });
        const addr = BigInt.asUintN(wordBits, any);
        const { start, bytes, index } = shadow.granuleOf(addr);
        expect(start + index).toBe(addr);
        expect(start % bytes).toBe(0n);
        expect(index).toBeLessThan(bytes);
        expect(shadow.addressOf(shadow.shadowOf(addr))).toBe(start);
        expect(shadow.shadowOf(start + bytes - 1n)).toBe(shadow.shadowOf(addr));
        const last = start + bytes === 1n << BigInt(wordBits);
        const next = BigInt.asUintN(wordBits, shadow.shadowOf(addr) + 1n);
        expect(next).toBe(last ? shadow.end : shadow.shadowOf(start + bytes));
      }),
    );
  });

  it('knows where the shadow of the top of memory starts', () => {
    const shadow = createShadow({ scale: 3, offset: 0xdfff_ffff_0000_0000n });
    expect(shadow.end).toBe(0xffff_ffff_0000_0000n);
    expect(shadow.startFor(38)).toBe(0xffff_fff7_0000_0000n);
    expect(shadow.startFor(38)).toBe(shadow.shadowOf(0xffff_ffc0_0000_0000n));
    // Rounded down to the span of a root entry, as for larger spaces.
    expect(shadow.startFor(47, 1n << 39n)).toBe(0xffff_ef80_0000_0000n);
    const narrow = createShadow({ scale: 3, offset: 0x9f00_0000n, wordBits: 32 });
    expect(narrow.end).toBe(0xbf00_0000n);
    // An address beyond the word is the one it wraps to.
    expect([narrow.shadowOf(1n << 32n), narrow.shadowOf(-1n)]).toEqual([0x9f00_0000n, 0xbeff_ffffn]);
  });

  it('covers a range with all granules it touches', () => {
    const shadow = createShadow({ scale: 3, offset: 0x9f00_0000n, wordBits: 32 });
    expect(shadow.shadowRange(rangeBetween(0xc000_0003n, 0xc000_0011n))).toEqual({
      start: 0xb700_0000n,
      end: 0xb700_0003n,
    });
    const top = createShadow({ scale: 3, offset: 0xe000_0000_0000_0000n });
    expect(top.end).toBe(0n);
    expect(top.shadowRange(rangeOfSize(0xffff_ffff_ffff_f000n, 4096n)).end).toBe(0n);
  });

  it('refuses configurations that cannot be', () => {
    expect(() => createShadow({ scale: 0, offset: 0n })).toThrow(ArgumentError);
    expect(() => createShadow({ scale: 2.5, offset: 0n })).toThrow(/shadow-scale/);
    expect(() => createShadow({ scale: 3, offset: 1n << 32n, wordBits: 32 })).toThrow(/shadow-offset/);
    expect(() => createShadow({ scale: 3, offset: -1n })).toThrow(/shadow-offset/);
    const shadow = createShadow({ scale: 3, offset: 0n });
    expect(() => shadow.startFor(2)).toThrow(/shadow-start/);
    expect(() => shadow.startFor(65)).toThrow(/shadow-start/);
    expect(() => shadow.startFor(40, 3n)).toThrow(/shadow-start/);
  });
});
