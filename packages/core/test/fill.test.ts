import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { join } from '../src/compiled.ts';
import { fillerFor, fillLeaves, LeafFiller, usableSizes } from '../src/fill.ts';
import type { AddressPiece, FieldValues, Format } from '../src/format.ts';
import type { CompiledShape } from '../src/level-codec.ts';
import { createPaging, type Paging } from '../src/paging.ts';
import { SUBJECTS } from './formats.ts';
import { SmallMemory } from './model.ts';
import { numbers, seeds } from './random-tables.ts';

/** Pages of 4 KiB; an address whose lowest bits lie in the high half and whose highest lie in the low half. */
const SPLIT: readonly AddressPiece[] = [
  { entryLo: 52, addressLo: 12, bits: 4 },
  { entryLo: 16, addressLo: 16, bits: 32 },
  { entryLo: 12, addressLo: 48, bits: 4 },
];
const valid = { mask: 3n, equals: 1n } as const;
const field = { name: 'key', bits: [[11, 4]] as const, meaning: 'anything' };

const splitFormat: Format = {
  name: 'split',
  title: 'An address in three places',
  entryBytes: 8,
  shapes: [
    { name: 'none', kind: 'empty', match: [{ mask: 1n, equals: 0n }], reason: 'none', fields: [] },
    { name: 'table', kind: 'table', match: [{ mask: 3n, equals: 3n }], levels: [1, 2, 3], address: SPLIT, fields: [] },
    {
      name: 'run',
      kind: 'leaf',
      match: [valid, { mask: 4n, equals: 4n }],
      address: SPLIT,
      run: { entries: 32, address: 'shared' },
      fields: [field],
    },
    { name: 'page', kind: 'leaf', match: [valid], address: SPLIT, fields: [field] },
  ],
};

/** Four bytes an entry, and addresses of 36 bits in them. */
const NARROW: readonly AddressPiece[] = [
  { entryLo: 12, addressLo: 12, bits: 20 },
  { entryLo: 5, addressLo: 32, bits: 4 },
];
const narrowField = { name: 'key', bits: [[11, 9]] as const, meaning: 'anything' };
const narrowFormat: Format = {
  name: 'narrow',
  title: 'Words of 32 bits',
  entryBytes: 4,
  shapes: [
    { name: 'none', kind: 'empty', match: [{ mask: 1n, equals: 0n }], reason: 'none', fields: [] },
    { name: 'table', kind: 'table', match: [{ mask: 3n, equals: 3n }], levels: [1], address: NARROW, fields: [] },
    {
      name: 'large',
      kind: 'leaf',
      match: [valid, { mask: 4n, equals: 4n }],
      levels: [0],
      address: [{ entryLo: 16, addressLo: 16, bits: 16 }],
      run: { entries: 16, address: 'shared' },
      fields: [narrowField],
    },
    {
      name: 'group',
      kind: 'leaf',
      match: [valid, { mask: 0x14n, equals: 0x10n }],
      address: NARROW,
      run: { entries: 4, address: 'own' },
      fields: [narrowField],
    },
    { name: 'page', kind: 'leaf', match: [valid], address: NARROW, fields: [narrowField] },
  ],
};

/** A paging, and attributes that all its leaves can have. */
interface Toy {
  readonly name: string;
  readonly paging: Paging;
  readonly looks: readonly FieldValues[];
}

const looks = [{ key: 0 }, { key: 7 }, { key: 2 }];
const toys: readonly Toy[] = [
  {
    name: 'split',
    looks,
    paging: createPaging(splitFormat, {
      name: 'split',
      levels: [12, 21, 30, 39].map((shift) => ({ shift, indexBits: 9 })),
      vaBits: 48,
      paBits: 52,
    }),
  },
  {
    name: 'narrow',
    looks,
    paging: createPaging(narrowFormat, {
      name: 'narrow',
      levels: [
        { shift: 12, indexBits: 10 },
        { shift: 22, indexBits: 10 },
      ],
      vaBits: 32,
      paBits: 36,
      wordBits: 32,
      upper: 'zero',
    }),
  },
];
const TOYS: readonly Toy[] = [...toys, ...SUBJECTS];

/** The entry that one slot gets, by the way that makes one entry at a time. */
function entryFor(paging: Paging, level: number, compiled: CompiledShape, bits: bigint, pa: number): bigint {
  const unit = BigInt(compiled.sharedAddress ? compiled.leafBytes : compiled.entryBytes);
  const own = BigInt(pa);
  return paging.encodeLeaf(level, own - (own % unit), bits & ~compiled.fixedMask, compiled.shape.name);
}

/** Some slots of a shape to fill: how many, with which bits, and for which addresses. */
function someSlots(
  { paging, looks }: Toy,
  compiled: CompiledShape,
  random: (below: number) => number,
): { slots: number; pa: number; bits: bigint } {
  const slots = 1 + random(random(2) === 0 ? 4 : 600);
  const whole = (2 ** paging.geometry.paBits - slots * compiled.entryBytes) / compiled.entryBytes;
  // Often near places where carries run into the next piece of an address.
  const edge = 2 ** (12 + random(paging.geometry.paBits - 12));
  const near = Math.floor(edge / compiled.entryBytes) - random(8);
  const index = random(3) === 0 ? random(Math.max(1, whole)) : near;
  const pa = Math.max(0, Math.min(index, Math.floor(whole))) * compiled.entryBytes;
  return { slots, pa, bits: paging.leafBits(compiled, looks[random(looks.length)] ?? {}) };
}

describe('filling leaves', () => {
  for (const toy of TOYS) {
    const { name, paging } = toy;
    const { entryBytes } = paging.format;
    const shapes = paging.levels.flatMap((codec) =>
      codec.leaves.map((compiled) => ({ compiled, level: codec.level.level })),
    );
    const fits = (compiled: CompiledShape, pa: number): boolean => paging.canHold(compiled, pa);

    it(`${name}: makes the entries that encodeLeaf makes`, () => {
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = numbers(seed);
          const { compiled, level } = shapes[random(shapes.length)] as (typeof shapes)[number];
          const { slots, pa, bits } = someSlots(toy, compiled, random);
          const unit = compiled.sharedAddress ? compiled.leafBytes : compiled.entryBytes;
          if (!fits(compiled, Math.floor((pa + (slots - 1) * compiled.entryBytes) / unit) * unit)) return;
          if (pa + slots * compiled.entryBytes > 2 ** paging.geometry.paBits) return;
          const at = random(5) * 2;
          const perSlot = entryBytes / 4;
          const words = new Uint32Array(at + slots * perSlot + 4).fill(0x5a5a_5a5a);
          fillLeaves(words, at, slots, entryBytes, compiled, bits, pa);
          const before = [...words.subarray(0, at)];
          const after = [...words.subarray(at + slots * perSlot)];
          expect([...before, ...after].every((word) => word === 0x5a5a_5a5a)).toBe(true);
          for (let i = 0; i < slots; i++) {
            const own = pa + i * compiled.entryBytes;
            const first = at + i * perSlot;
            const got = join(words[first] as number, entryBytes === 8 ? (words[first + 1] as number) : 0);
            const wanted = entryFor(paging, level, compiled, bits, own);
            if (got !== wanted) expect({ shape: compiled.shape.name, slots, pa, i, got }).toEqual({ got: wanted });
          }
        }),
        { numRuns: 60 },
      );
    });
  }

  it('goes on in the next window of memory', () => {
    fc.assert(
      fc.property(seeds, fc.constantFrom(8, 24, 64, 0x1000), (seed, windowBytes) => {
        const random = numbers(seed);
        const { paging, looks } = TOYS[random(TOYS.length)] as Toy;
        const { entryBytes } = paging.format;
        const compiled = paging.codec(0).leaves[0] as CompiledShape;
        const bits = paging.leafBits(compiled, looks[0] ?? {});
        const slots = 1 + random(100);
        const pa = random(1000) * compiled.entryBytes;
        const memory = new SmallMemory(0n, 24 * 0x1000, windowBytes);
        const slot = 8 + random(50) * 8;
        new LeafFiller(entryBytes, compiled, bits).fillAt(memory, slot, slots, pa);
        const words = new Uint32Array((slots * entryBytes) / 4);
        fillLeaves(words, 0, slots, entryBytes, compiled, bits, pa);
        const expected = [...words].map((word, i) => [slot + i * 4, word]).filter(([, word]) => word !== 0);
        expect([...memory.snapshot()]).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });
});

describe('sizes', () => {
  const { paging } = toys[1] as Toy;

  it('are those that the paging has, the largest first, within the limits', () => {
    const bytes = (limit: bigint | undefined, runs: boolean): number[] =>
      usableSizes(paging, limit, runs).map(({ leafBytes }) => leafBytes);
    expect(bytes(undefined, true)).toEqual([0x100_0000, 0x40_0000, 0x1_0000, 0x4000, 0x1000]);
    expect(bytes(undefined, false)).toEqual([0x40_0000, 0x1000]);
    expect(bytes(0x40_0000n, true)).toEqual([0x40_0000, 0x1_0000, 0x4000, 0x1000]);
    expect(bytes(0x3fff_ffn, true)).toEqual([0x1_0000, 0x4000, 0x1000]);
    expect(bytes(0xfffn, true)).toEqual([]);
  });

  it('keep the filler for raw attributes that come again, and only for those', () => {
    const size = usableSizes(paging, undefined, true).at(-1);
    if (size === undefined) throw new Error('no size');
    const first = fillerFor(paging, size, 0x200n);
    expect(fillerFor(paging, size, 0x200n)).toBe(first);
    const other = fillerFor(paging, size, () => ({ key: 3 }));
    expect(other).not.toBe(first);
    expect(fillerFor(paging, size, 0x200n)).toBe(first);
    expect(fillerFor(paging, size, 0x400n)).not.toBe(first);
    const words = new Uint32Array(3);
    other.fill(words, 0, 1, 0x5000);
    fillerFor(paging, size, 0x400n).fill(words, 1, 1, 0x5000);
    first.fill(words, 2, 1, 0x5000);
    expect([...words]).toEqual([0x5601, 0x5401, 0x5201]);
  });
});
