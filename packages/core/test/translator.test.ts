import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { map } from '../src/map.ts';
import { SparseMemory, writeWord } from '../src/memory.ts';
import { type AddressSpace, createSpace, type RootDescription } from '../src/space.ts';
import { Translator, UNMAPPED } from '../src/translator.ts';
import { translate } from '../src/walk.ts';
import { named, SUBJECTS } from './formats.ts';
import { type Bed, bed, Frames, thrownBy } from './model.ts';
import { bigBelow, numbers, randomBed, seeds, someAddress, someEntry } from './random-tables.ts';

/** What `translate` says, as a batch would. */
function reference(space: AddressSpace, va: bigint): bigint {
  const outcome = translate(space, va);
  return outcome.mapped ? outcome.pa : UNMAPPED;
}

/** Compares all three ways of asking with `translate`. */
function check(space: AddressSpace, translator: Translator, vas: readonly bigint[]): void {
  const expected = vas.map((va) => reference(space, va));
  const pas = new BigUint64Array(vas.length);
  const mapped = translator.translateAll(BigUint64Array.from(vas), pas);
  expect({ vas, pas: [...pas] }).toEqual({ vas, pas: expected });
  expect(mapped).toBe(expected.filter((pa) => pa !== UNMAPPED).length);
  vas.forEach((va, i) => {
    const pa = expected[i] === UNMAPPED ? undefined : expected[i];
    expect({ va, pa: translator.translate(va) }).toEqual({ va, pa });
    const frame = translator.find(Number(va & 0xffff_ffffn), Number(va >> 32n));
    expect({ va, frame }).toEqual({ va, frame: pa === undefined ? -1 : Number(pa & ~0xfffn) });
    expect(translator.find(Number(va & 0xffff_ffffn) | 0, Number(va >> 32n) | 0)).toBe(frame);
  });
}

/** Addresses of a bed in an order in which a batch may meet them: alone, side by side, far and near. */
function someAddresses({ subject }: Pick<Bed, 'subject'>, random: (below: number) => number, count: number): bigint[] {
  const vas: bigint[] = [];
  while (vas.length < count) {
    const va = someAddress(subject, random);
    const step = BigInt([0, 8, 4096, 0x1_0000][random(4)] as number);
    for (let i = random(3) === 0 ? random(20) : 1; i > 0; i--) {
      vas.push(BigInt.asUintN(64, va + step * BigInt(i)));
    }
  }
  return vas.slice(0, count);
}

describe('translator', () => {
  for (const subject of SUBJECTS) {
    it(`${subject.name}: answers as translate does, whatever the tables hold`, () => {
      fc.assert(
        fc.property(seeds, fc.constantFrom(0x40, 0x1000, 0x1_0000), (seed, windowBytes) => {
          const made = randomBed(subject, seed, windowBytes);
          const random = numbers(seed + 1);
          const translator = new Translator(made.space);
          const vas = someAddresses(made, random, 120);
          check(made.space, translator, vas);
          check(made.space, translator, [...vas].reverse());
        }),
        { numRuns: 25 },
      );
    });
  }

  it('reads entries anew each time, and tables after a flush', () => {
    fc.assert(
      fc.property(seeds, fc.constantFrom(...SUBJECTS), (seed, subject) => {
        const made = randomBed(subject, seed, 0x1000);
        const random = numbers(seed + 1);
        const translator = new Translator(made.space);
        const vas = someAddresses(made, random, 60);
        check(made.space, translator, vas);
        // Leaves, holes and noise at random places; tables only where the translator is told.
        const tables = [...made.frames.live].filter(([, { level }]) => level === 0);
        const { entryBytes } = subject.format;
        const nothing = subject.paging.levels.map(() => []);
        for (const [table, { bytes }] of tables) {
          for (let i = 0; i < 20; i++) {
            const slot = table + BigInt(random(bytes / entryBytes) * entryBytes);
            writeWord(made.memory, phys(slot), someEntry(subject, 0, nothing, random), entryBytes);
          }
        }
        check(made.space, translator, vas);
        const top = subject.paging.levels.length - 1;
        const rootEntries = subject.paging.codec(top).level.entries;
        for (let i = 0; i < Math.min(rootEntries, 16); i++) {
          const index = i < 8 ? i : rootEntries - 1 - (i - 8);
          writeWord(made.memory, phys(made.root + BigInt(Math.max(0, index) * entryBytes)), 0n, entryBytes);
        }
        translator.flush();
        check(made.space, translator, vas);
      }),
      { numRuns: 100 },
    );
  });

  it('finds a table that was linked where there was none or a leaf', () => {
    const subject = named('and-ed tables');
    const made = bed(subject);
    const translator = new Translator(made.space);
    const attributes = subject.looks[0];
    expect(translator.translate(0x20_3456n)).toBeUndefined();
    map(made.space, { va: 0x20_3000n, pa: 0x7000n, bytes: 0x1000n, attributes, allocator: made.frames });
    expect(translator.translate(0x20_3456n)).toBe(0x7456n);
    const vas = BigUint64Array.of(0x20_3456n, 0x20_4000n, 0x20_3fffn);
    const pas = new BigUint64Array(3);
    expect(translator.translateAll(vas, pas)).toBe(2);
    expect([...pas]).toEqual([0x7456n, UNMAPPED, 0x7fffn]);
  });

  it('keeps apart what falls into one slot of its cache', () => {
    const subject = named('and-ed tables');
    const made = bed(subject);
    const attributes = subject.looks[0];
    const pages = [0n, 1n, 2n, 512n].map((i) => ({ va: (i << 33n) + 0x5000n, pa: 0x10_0000n + (i << 12n) }));
    for (const page of pages) map(made.space, { ...page, bytes: 0x1000n, attributes, allocator: made.frames });
    const translator = new Translator(made.space);
    const vas = Array.from({ length: 40 }, (_, i) => (pages[(i * 3) % 4]?.va ?? 0n) + BigInt(i));
    check(made.space, translator, vas);
  });

  describe('several roots', () => {
    // One root of small pages below, one of large pages above; in the middle of a region two roots meet.
    const small = named('and-ed tables');
    const large = named('2 entries at the root, 16K');
    const memory = new SparseMemory([{ start: 0n, end: 1n << 30n }]);
    const roots: RootDescription[] = [
      { paging: small.paging, address: 0x1000n, label: 'low', ranges: [{ start: 0n, end: 0x30_3000n }] },
      {
        paging: small.paging,
        address: 0x2000n,
        label: 'next',
        ranges: [
          { start: 0x30_3000n, end: 0x40_0000n },
          { start: 0x60_0000n, end: 1n << 40n },
        ],
      },
      {
        paging: small.paging,
        address: 0x3000n,
        label: 'off',
        fault: 'off',
        ranges: [{ start: 1n << 40n, end: 1n << 41n }],
      },
      {
        paging: large.paging,
        address: 0x1_0000n,
        label: 'high',
        ranges: [{ start: (1n << 64n) - (1n << 40n), end: 1n << 64n }],
      },
    ];
    const space = createSpace(memory, roots);
    const off = createSpace(memory, { paging: small.paging, address: 0x3000n });
    const frames = new Frames(0x10_0000n, 1n << 30n);
    const spots = [0n, 0x30_2000n, 0x30_3000n, 0x3f_f000n, 0x60_0000n, 0x4000_0000n];
    spots.forEach((va, i) => {
      const pa = 0x1000_0000n + BigInt(i) * 0x20_0000n;
      map(space, { va, pa, bytes: 0x1000n, attributes: small.looks[i % 3] ?? {}, allocator: frames });
    });
    // What the tables of a root that is switched off say must not matter.
    const hidden = { va: 1n << 40n, pa: 0x5000n, bytes: 0x1000n, attributes: small.looks[0], allocator: frames };
    map(off, hidden);
    const tops = [(1n << 64n) - (1n << 40n), (1n << 64n) - 0x2000_0000n, (1n << 64n) - 0x1_0000n];
    tops.forEach((va, i) => {
      const pa = 0x2000_0000n + BigInt(i) * 0x2000_0000n;
      const bytes = i === 1 ? 0x1000_0000n : 0x1_0000n;
      map(space, { va, pa, bytes, attributes: large.looks[i] ?? {}, allocator: frames });
    });

    it('are told apart, also within a region', () => {
      const translator = new Translator(space);
      expect(new Translator(off).translate(hidden.va)).toBe(hidden.pa);
      const near = [...spots, ...tops, 0x40_0000n, 1n << 40n, (1n << 41n) - 1n, 1n << 63n];
      check(space, translator, near);
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = numbers(seed);
          const vas = Array.from({ length: 100 }, () => {
            const va =
              (near[random(near.length)] as bigint) + bigBelow(random, [1n << 13n, 1n << 30n][random(2)] as bigint);
            return BigInt.asUintN(64, va);
          });
          check(space, translator, vas);
        }),
        { numRuns: 50 },
      );
    });
  });

  describe('batches', () => {
    const subject = named('runs with a pattern');
    const made = bed(subject);
    const attributes = subject.looks[0];
    map(made.space, { va: 0n, pa: 0x4000_0000n, bytes: 0x80_0000n, attributes, allocator: made.frames });
    map(made.space, {
      va: 0x80_1000n,
      pa: 0x1000n,
      bytes: 0x20_0000n,
      attributes,
      runs: false,
      allocator: made.frames,
    });

    it('of any length', () => {
      const translator = new Translator(made.space);
      const random = numbers(5);
      for (const length of [0, 1, 2, 3, 4, 5, 7, 8, 255, 256, 257, 1000]) {
        check(
          made.space,
          translator,
          Array.from({ length }, () => BigInt(random(0xc0_0000))),
        );
        check(
          made.space,
          translator,
          Array.from({ length }, (_, i) => BigInt(i * 4096)),
        );
      }
    });

    it('may lie anywhere in their buffers, or overwrite their input', () => {
      const translator = new Translator(made.space);
      const vas = Array.from({ length: 300 }, (_, i) => BigInt(i * 0x9001));
      const input = BigUint64Array.from([1n, ...vas, 2n]).subarray(1, 301);
      const output = new BigUint64Array(310).fill(7n);
      translator.translateAll(input, output.subarray(4, 309));
      const expected = vas.map((va) => reference(made.space, va));
      expect([...output]).toEqual([7n, 7n, 7n, 7n, ...expected, 7n, 7n, 7n, 7n, 7n, 7n]);
      translator.translateAll(input, input);
      expect([...input]).toEqual(expected);
    });

    it('refuses a result that is too short', () => {
      const translator = new Translator(made.space);
      const pas = new BigUint64Array(1);
      expect(thrownBy(() => translator.translateAll(new BigUint64Array(2), pas))).toMatchObject({
        rule: 'batch-length',
      });
      expect(pas[0]).toBe(0n);
    });
  });
});
