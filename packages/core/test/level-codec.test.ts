import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CompiledAddress, CompiledTests, halves, join } from '../src/compiled.ts';
import { FormatError } from '../src/errors.ts';
import type { AddressPiece, BitTest, Format } from '../src/format.ts';
import { EMPTY, KIND_NAMES, LEAF, MALFORMED, TABLE } from '../src/level-codec.ts';
import { createPaging } from '../src/paging.ts';
import { miniFormat, miniGeometry, SUBJECTS, type Subject } from './formats.ts';
import { arm64Format, arm64Geometry } from './formats-arm.ts';
import { refDecode, thrownBy } from './model.ts';
import { bigBelow, numbers, seeds, someEntry } from './random-tables.ts';

/** What the codec says of a word, in the reference's terms. */
function judged({ paging }: Subject, level: number, entry: bigint): { kind: string; shape: string | undefined } {
  const codec = paging.codec(level);
  const code = codec.classify(Number(entry & 0xffff_ffffn), Number(entry >> 32n));
  return { kind: KIND_NAMES[code & 3] as string, shape: codec.shapes[code >> 2]?.shape.name };
}

describe('classify', () => {
  for (const subject of SUBJECTS) {
    const bits = subject.format.entryBytes * 8;
    const check = (level: number, entry: bigint): void => {
      const { kind, shape, reasons } = refDecode(subject, level, entry, 0);
      expect({ entry, level, ...judged(subject, level, entry) }).toEqual({ entry, level, kind, shape });
      const told = subject.paging.codec(level).reasons(Number(entry & 0xffff_ffffn), Number(entry >> 32n));
      expect(told).toEqual(reasons);
    };

    it(`${subject.name}: every value of the low byte, alone and with one more bit`, () => {
      // Levels beyond the third are as the third, but for the geometry.
      for (const { level } of subject.paging.geometry.levels.slice(0, 3)) {
        for (let low = 0n; low < 256n; low++) {
          const entries = [low, low | (((1n << BigInt(bits)) - 1n) & ~0xffn)];
          for (let bit = 8n; bit < BigInt(bits); bit++) entries.push(low | (1n << bit));
          for (const entry of entries) {
            const { kind, shape } = refDecode(subject, level, entry, 0);
            const got = judged(subject, level, entry);
            if (got.kind !== kind || got.shape !== shape) check(level, entry);
          }
        }
      }
    });

    it(`${subject.name}: entries as they occur, noise, and both with bits flipped`, () => {
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = numbers(seed);
          const level = random(subject.paging.levels.length);
          const tables = subject.geometry.levels.map(() => [BigInt(random(16)) * 0x1_0000n]);
          check(level, someEntry(subject, level, tables, random));
          check(level, bigBelow(random, 1n << BigInt(bits)));
          check(level, someEntry(subject, level, tables, random) ^ (1n << BigInt(random(bits))));
        }),
        { numRuns: 150 },
      );
    });
  }

  it('takes halves of either sign', () => {
    const codec = (SUBJECTS[0] as Subject).paging.codec(0);
    const entry = (1n << 62n) | (1n << 31n) | 0x41n;
    const { lo, hi } = halves(entry);
    expect(codec.classify(lo, hi)).toBe(codec.classify(lo >>> 0, hi >>> 0));
    expect(codec.classify(lo, hi) & 3).toBe(LEAF);
  });
});

describe('codecs of a level', () => {
  it('list leaves smallest first, and a table pointer only above level 0', () => {
    for (const { paging } of SUBJECTS) {
      for (const { level, leaves, table, shapes } of paging.levels) {
        const sizes = leaves.map(({ leafBytes }) => leafBytes);
        expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
        expect(leaves.every(({ kind }) => kind === LEAF)).toBe(true);
        expect(table?.kind).toBe(level.level === 0 ? undefined : TABLE);
        shapes.forEach(({ index, kind }, i) => {
          expect(index).toBe(i);
          expect([EMPTY, TABLE, LEAF]).toContain(kind);
          expect(kind).not.toBe(MALFORMED);
        });
      }
    }
  });

  it('follow levels and features: shapes, fields, pieces, effects', () => {
    const leavesOf = (features: readonly string[]): string[] => {
      const paging = createPaging(arm64Format(12), arm64Geometry(12, 52, { features }));
      return paging.leafChoices.map(({ level, shape }) => `${level} ${shape}`);
    };
    expect(leavesOf(['wide'])).toContain('3 block');
    expect(leavesOf([])).not.toContain('3 block');
    const fields = (features: readonly string[]): string[] =>
      createPaging(arm64Format(12), arm64Geometry(12, 52, { features }))
        .codec(0)
        .leaves[0]?.fields.map((f) => f.name) ?? [];
    expect(fields([])).toContain('sh');
    expect(fields(['wide'])).not.toContain('sh');
    const effects = (features: readonly string[]): number =>
      createPaging(arm64Format(12), arm64Geometry(12, 48), { features }).codec(1).table?.effects.length ?? -1;
    expect(effects([])).toBe(4);
    expect(effects(['hpd'])).toBe(0);
  });

  it('have no run that is longer than a table', () => {
    const paging = createPaging(arm64Format(12), arm64Geometry(12, 42));
    expect(paging.geometry.root.entries).toBe(8);
    expect(paging.leafChoices.some(({ shape, level }) => shape === 'cont-block' && level === 3)).toBe(false);
    expect(paging.leafChoices.some(({ shape, level }) => shape === 'cont-block' && level === 1)).toBe(true);
  });

  it('refuse runs of no power of two', () => {
    for (const entries of [3, 1, 2.5]) {
      const shapes = miniFormat.shapes.map((shape) =>
        shape.kind === 'leaf' && shape.run ? { ...shape, run: { ...shape.run, entries } } : shape,
      );
      const error = thrownBy(() => createPaging({ ...miniFormat, shapes } as Format, miniGeometry(3)));
      expect(error).toBeInstanceOf(FormatError);
      expect(error.rule).toBe('run-entries');
    }
  });
});

describe('CompiledAddress', () => {
  it('reads and writes scattered addresses (multiples of 8) as BigInts would', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = numbers(seed);
        // Cuts 64 entry bits and 56 address bits into pieces that do not overlap.
        const pieces: AddressPiece[] = [];
        let entryLo = random(8);
        let addressLo = 3 + random(10);
        while (pieces.length < 5 && entryLo < 60 && addressLo < 52) {
          const bits = Math.min(random(20) + 1, 64 - entryLo, 56 - addressLo);
          pieces.push({ entryLo, addressLo, bits });
          entryLo += bits + random(6);
          addressLo += bits;
        }
        // Low address bits may lie in high entry bits.
        const swapped = pieces.map((piece, i) => {
          const other = pieces[pieces.length - 1 - i] as AddressPiece;
          return piece.bits === other.bits ? { ...piece, entryLo: other.entryLo } : piece;
        });
        const fromBit = random(30);
        const address = new CompiledAddress(swapped, fromBit);
        const entry = bigBelow(random, 1n << 64n);
        let expected = 0n;
        let mask = 0n;
        for (const { entryLo: at, addressLo: to, bits } of swapped) {
          for (let i = 0; i < bits; i++) {
            if (to + i < fromBit) continue;
            mask |= 1n << BigInt(at + i);
            expected |= ((entry >> BigInt(at + i)) & 1n) << BigInt(to + i);
          }
        }
        const { lo, hi } = halves(entry);
        expect(address.mask).toBe(mask);
        expect(BigInt(address.decode(lo, hi))).toBe(expected);
        expect(address.decode(lo >>> 0, hi >>> 0)).toBe(address.decode(lo, hi));
        const at = Number(expected);
        expect(join(address.encodeLo(at), address.encodeHi(at))).toBe(entry & mask);
      }),
      { numRuns: 500 },
    );
  });
});

describe('CompiledTests', () => {
  const test = (seed: number): { tests: BitTest[]; random: (below: number) => number } => {
    const random = numbers(seed);
    const tests = Array.from({ length: random(4) }, (): BitTest => {
      const mask = bigBelow(random, 1n << BigInt(random(63) + 1));
      const value = bigBelow(random, 1n << 64n) & mask;
      return random(2) === 0 ? { mask, equals: value } : { mask, differs: value };
    });
    return { tests, random };
  };

  it('hold exactly when each of them does', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { tests, random } = test(seed);
        const compiled = new CompiledTests(tests);
        for (let i = 0; i < 8; i++) {
          let word = bigBelow(random, 1n << 64n);
          for (const one of tests) if (random(2) === 0 && 'equals' in one) word = (word & ~one.mask) | one.equals;
          const { lo, hi } = halves(word);
          const expected = tests.every((one) =>
            'equals' in one ? (word & one.mask) === one.equals : (word & one.mask) !== one.differs,
          );
          expect(compiled.hold(lo, hi)).toBe(expected);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('say which bits settle them: while those are zero, the answer is that for the known bits alone', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { tests, random } = test(seed);
        const compiled = new CompiledTests(tests);
        const known = 0xffn;
        const value = BigInt(random(256));
        const rest = compiled.residual(known, value);
        for (let i = 0; i < 8; i++) {
          const word = value | (bigBelow(random, 1n << 64n) & ~known & ~rest);
          const { lo, hi } = halves(word);
          expect(compiled.hold(lo, hi)).toBe(compiled.hold(Number(value), 0));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('never hold if they contradict each other', () => {
    const compiled = new CompiledTests([
      { mask: 3n, equals: 1n },
      { mask: 6n, equals: 2n },
    ]);
    expect(compiled.impossible).toBe(true);
    expect(new CompiledTests([{ mask: 1n, equals: 2n }]).impossible).toBe(true);
    for (let word = 0; word < 8; word++) expect(compiled.hold(word, 0)).toBe(false);
  });
});
