import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { MemoryError } from '../src/errors.ts';
import { readWord, SparseMemory, writeProbe, writeWord } from '../src/memory.ts';
import { SmallMemory, thrownBy } from './model.ts';
import { bigBelow, numbers, seeds } from './random-tables.ts';

describe('SparseMemory', () => {
  it('is zero at first, keeps what is written, and backs only what is touched', () => {
    const memory = new SparseMemory();
    expect(memory.hostBytes).toBe(0);
    expect(readWord(memory, phys(0x1234_5678_9ab0n))).toBe(0n);
    writeWord(memory, phys((1n << 56n) - 8n), 0xfeed_face_cafe_beefn);
    expect(readWord(memory, phys((1n << 56n) - 8n))).toBe(0xfeed_face_cafe_beefn);
    expect(readWord(memory, phys((1n << 56n) - 4n), 4)).toBe(0xfeed_facen);
    expect(memory.hostBytes).toBe(2 * 0x1_0000);
  });

  it('behaves as a map of words, across banks and windows', () => {
    const banks = [
      { start: 0x1_0008n, end: 0x5_0010n },
      { start: 0x8_0000n, end: 0x8_0010n },
      { start: 0x1000n, end: 0x1008n },
    ];
    fc.assert(
      fc.property(seeds, (seed) => {
        const memory = new SparseMemory(banks);
        const random = numbers(seed);
        const known = new Map<bigint, bigint>();
        for (let i = 0; i < 40; i++) {
          const near = [0x1000n, 0x1_0008n, 0x2_0008n, 0x5_0010n, 0x8_0000n][random(5)] as bigint;
          const at = near + BigInt(random(9) - 4) * 4n;
          const inside = banks.some(({ start, end }) => at >= start && at < end);
          if (!inside) {
            expect(memory.window(Number(at))).toBeUndefined();
            expect(thrownBy(() => readWord(memory, phys(at), 4)).rule).toBe('no-memory');
            expect(thrownBy(() => writeWord(memory, phys(at), 1n, 4)).rule).toBe('no-memory');
          } else if (random(2) === 0) {
            const value = bigBelow(random, 1n << 32n);
            writeWord(memory, phys(at), value, 4);
            known.set(at, value);
          } else {
            expect(readWord(memory, phys(at), 4)).toBe(known.get(at) ?? 0n);
          }
        }
        for (const [at, low] of known) {
          if (at % 8n !== 0n) continue;
          expect(readWord(memory, phys(at))).toBe(low | ((known.get(at + 4n) ?? 0n) << 32n));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('hands out windows that stay: later writes show', () => {
    const memory = new SparseMemory([{ start: 0x8000_0000n, end: 0x8000_0100n }]);
    const window = memory.window(0x8000_0010);
    writeWord(memory, phys(0x8000_0010n), 7n);
    expect(window?.base).toBe(0x8000_0000);
    expect(window?.words.length).toBe(0x100 / 4);
    expect(window?.words[4]).toBe(7);
    expect(memory.banks).toEqual([{ start: 0x8000_0000n, end: 0x8000_0100n }]);
  });

  it('refuses banks that are empty, unaligned, too high or overlap', () => {
    for (const bank of [
      { start: 0n, end: 0n },
      { start: 16n, end: 8n },
      { start: 4n, end: 16n },
      { start: 0n, end: 12n },
      { start: -8n, end: 8n },
      { start: 0n, end: (1n << 56n) + 8n },
    ]) {
      const error = thrownBy(() => new SparseMemory([bank]));
      expect(error).toBeInstanceOf(MemoryError);
      expect(error.rule).toBe('bank-range');
    }
    const twice = thrownBy(
      () =>
        new SparseMemory([
          { start: 0x1000n, end: 0x2000n },
          { start: 0n, end: 0x1008n },
        ]),
    );
    expect(twice).toMatchObject({ rule: 'bank-overlap', values: { start: '0x1000', previous: '0x1008' } });
  });
});

describe('words', () => {
  const memory = new SparseMemory([{ start: 0n, end: 0x1000n }]);

  it('have addresses that are aligned and below 2^56', () => {
    for (const [address, bytes] of [
      [4n, 8],
      [2n, 4],
      [-8n, 8],
      [1n << 56n, 8],
    ] as const) {
      for (const run of [
        () => readWord(memory, address as never, bytes),
        () => writeWord(memory, address as never, 0n, bytes),
      ]) {
        const error = thrownBy(run);
        expect(error).toBeInstanceOf(MemoryError);
        expect(error.rule).toBe('word-address');
      }
    }
  });

  it('have values that fit', () => {
    for (const [value, bytes] of [
      [1n << 32n, 4],
      [-1n, 4],
      [1n << 64n, 8],
    ] as const) {
      expect(thrownBy(() => writeWord(memory, phys(8n), value, bytes)).rule).toBe('word-value');
    }
    expect(readWord(memory, phys(8n))).toBe(0n);
  });
});

describe('writeProbe', () => {
  it('asks once for each window, and throws what the memory throws', () => {
    const inner = new SmallMemory(0n, 0x100, 16);
    inner.protect(0x40, 16);
    const asked: number[] = [];
    const prove = writeProbe({
      window: (address) => inner.window(address),
      writable: (address) => {
        asked.push(address);
        return inner.writable(address);
      },
    });
    for (let at = 0; at < 0x40; at += 4) prove(at);
    expect(asked).toEqual([0, 16, 32, 48]);
    expect(thrownBy(() => prove(0x48)).rule).toBe('read-only');
    expect(thrownBy(() => prove(0x200)).rule).toBe('no-memory');
    expect(inner.snapshot().size).toBe(0);
  });
});

describe('windows that were asked for lately', () => {
  it('are those of the address, whatever was asked before', () => {
    const window = 0x1_0000n;
    // Banks that begin and end anywhere, and windows whose places collide.
    const banks = [
      { start: 0x18n, end: 3n * window + 8n },
      { start: 3n * window + 0x40n, end: 40n * window },
      { start: 1n << 48n, end: (1n << 48n) + 20n * window },
    ];
    const memory = new SparseMemory(banks);
    const written = new Map<bigint, bigint>();
    const random = numbers(5);
    const spots = banks.flatMap(({ start, end }) => [start, end - 8n, start + 8n * window, start + window]);
    for (let i = 0; i < 4000; i++) {
      const at = (spots[random(spots.length)] as bigint) + BigInt(random(5) - 2) * 8n;
      const inside = at >= 0n && banks.some(({ start, end }) => at >= start && at < end);
      expect(memory.window(Number(at)) !== undefined).toBe(inside);
      if (!inside) continue;
      expect(readWord(memory, phys(at))).toBe(written.get(at) ?? 0n);
      if (random(2) === 0) continue;
      written.set(at, BigInt(i + 1));
      writeWord(memory, phys(at), BigInt(i + 1));
    }
  });
});
