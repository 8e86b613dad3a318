import { describe, expect, it } from 'vitest';
import { hex, phys, sizeText, TWO_64, virt } from '../src/address.ts';
import { ArgumentError, AttributeError } from '../src/errors.ts';
import { createPaging } from '../src/paging.ts';
import { type AddressSpace, createSpace, placeOf, rootFor, stretches, untagged, vaOf } from '../src/space.ts';
import { mini, miniFormat, miniGeometry, SUBJECTS, type Subject } from './formats.ts';
import { armShortFormat, armShortGeometry, lpaeFormat, lpaeGeometry } from './formats-arm.ts';
import { refCanonical, SmallMemory, thrownBy } from './model.ts';
import { numbers, someAddress } from './random-tables.ts';

const memory = new SmallMemory(0n, 0x1000, 64);
const low = createPaging(miniFormat, miniGeometry(3, { upper: 'zero' }));
const high = createPaging(miniFormat, miniGeometry(3, { upper: 'one' }));
const half = 1n << 21n;

describe('createSpace', () => {
  it('takes one root or several, with names and ranges of their own', () => {
    const one = createSpace(memory, { paging: mini, address: 0x40n });
    expect(one.roots).toMatchObject([{ label: 'root', address: 0x40, ranges: mini.geometry.ranges }]);
    const two = createSpace(memory, [
      { paging: low, address: 0n, label: 'user' },
      { paging: high, address: 0x40n, label: 'kernel' },
    ]);
    expect(two.roots.map(({ label }) => label)).toEqual(['user', 'kernel']);
  });

  it('splits a 32-bit space by its upper bits, as registers may say', () => {
    for (let n = 0; n < 8; n++) {
      const below = 1n << BigInt(32 - n);
      const roots = [{ paging: createPaging(armShortFormat, armShortGeometry(32 - n)), address: 0n, label: '0' }];
      const all = createPaging(armShortFormat, armShortGeometry());
      const ranges = [{ start: below, end: 1n << 32n }];
      if (n > 0) roots.push({ paging: all, address: 0x4000n, label: '1', ranges } as never);
      const space = createSpace(memory, roots);
      expect(rootFor(space, below - 1n)?.label).toBe('0');
      if (n > 0) expect(rootFor(space, below)?.label).toBe('1');
      expect(rootFor(space, 1n << 32n)).toBeUndefined();
      expect(stretches(space, { start: 0n, end: 1n << 32n })).toHaveLength(n === 0 ? 1 : 2);
    }
    const upper = createPaging(lpaeFormat, lpaeGeometry(2, 'one'));
    const lower = createPaging(lpaeFormat, lpaeGeometry(0, 'zero'));
    const space = createSpace(memory, [
      { paging: lower, address: 0x20n, label: '0', ranges: [{ start: 0n, end: 3n << 30n }] },
      { paging: upper, address: 0n, label: '1' },
    ]);
    expect(rootFor(space, (3n << 30n) - 1n)?.label).toBe('0');
    expect(rootFor(space, 3n << 30n)?.label).toBe('1');
  });

  it('refuses roots that are unaligned, too high, or that claim the same address', () => {
    for (const address of [0x20n, -0x40n, 1n << 42n]) {
      const error = thrownBy(() => createSpace(memory, { paging: mini, address }));
      expect(error).toBeInstanceOf(AttributeError);
      expect(error.rule).toBe('physical-address');
    }
    const error = thrownBy(() =>
      createSpace(memory, [
        { paging: low, address: 0n },
        { paging: mini, address: 0x40n },
      ]),
    );
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error).toMatchObject({ rule: 'root-overlap', values: { at: '0x0' } });
    expect(thrownBy(() => createSpace(memory, [])).rule).toBe('no-root');
  });

  it('refuses ranges that the tables of a root cannot translate', () => {
    for (const range of [
      { start: 0n, end: 0n },
      { start: 0x2000n, end: 0x1000n },
      { start: 0x800n, end: 0x1000n },
      { start: 0n, end: half + 0x1000n },
      { start: half, end: half + 0x1000n },
      { start: -0x1000n, end: 0x1000n },
    ]) {
      const error = thrownBy(() => createSpace(memory, { paging: low, address: 0n, ranges: [range] }));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error.rule).toBe('root-range');
    }
    const twice = [
      { start: 0n, end: 0x2000n },
      { start: 0x1000n, end: 0x3000n },
    ];
    expect(thrownBy(() => createSpace(memory, { paging: low, address: 0n, ranges: twice })).rule).toBe('root-overlap');
  });

  it('lets a root be impossible if it faults anyway', () => {
    const space = createSpace(memory, [
      { paging: high, address: 0n },
      { paging: low, address: 3n, fault: 'off' },
    ]);
    expect(space.roots[1]).toMatchObject({ fault: 'off' });
    expect(stretches(space, { start: 0n, end: TWO_64 }, true)).toHaveLength(1);
    expect(thrownBy(() => stretches(space, { start: 0n, end: 0x1000n })).rule).toBe('range-canonical');
  });
});

describe('tags', () => {
  it('are replaced by copies of the bit below them', () => {
    for (const bits of [0, 1, 8, 16]) {
      const ignored = bits === 0 ? undefined : ({ bits: [63, 64 - bits] } as const);
      for (const va of [0n, 5n, 0xab00_0000_0000_0000n, 0xabff_ffff_ffff_ffffn, (1n << 64n) - 1n, 1n << 55n]) {
        let expected = va;
        const below = (va >> BigInt(63 - bits)) & 1n;
        for (let bit = 64 - bits; bit < 64; bit++) {
          expected = (expected & ~(1n << BigInt(bit))) | (below << BigInt(bit));
        }
        expect(untagged(ignored, va)).toBe(expected);
      }
    }
  });

  it('and the root that is found, agree with the reference for any address', () => {
    for (const subject of SUBJECTS) {
      const space = createSpace(memory, { paging: subject.paging, address: 0n });
      const random = numbers(3);
      for (let i = 0; i < 200; i++) {
        const va = someAddress(subject, random) ^ (random(3) === 0 ? 0x5a00_0000_0000_0000n : 0n);
        const plain = refCanonical(subject, va);
        expect(placeOf(space, va)?.address).toBe(plain);
      }
    }
  });
});

describe('stretches', () => {
  const short = SUBJECTS.find(({ name }) => name === 'short') as Subject;
  const both: AddressSpace = createSpace(memory, [
    { paging: high, address: 0n },
    { paging: low, address: 0x40n },
  ]);

  it('cut a range at the edges of roots, in rising order', () => {
    const found = stretches(both, { start: 0n, end: TWO_64 }, true);
    expect(found.map(({ start, end, root }) => [start, end, root.address])).toEqual([
      [0, Number(half), 0x40],
      [Number(TWO_64 - half), Number(TWO_64), 0],
    ]);
    expect(stretches(both, { start: TWO_64 - 0x1000n, end: TWO_64 })).toMatchObject([{ end: 2 ** 64 }]);
    expect(stretches(both, { start: half, end: half * 2n }, true)).toEqual([]);
  });

  it.each<[string, bigint, bigint, string]>([
    ['an empty range', 0x1000n, 0x1000n, 'range'],
    ['a range backwards', 0x2000n, 0x1000n, 'range'],
    ['a negative start', -0x1000n, 0x1000n, 'range'],
    ['an end beyond the ring', 0n, TWO_64 + 0x1000n, 'range'],
    ['an unaligned start', 1n, 0x1000n, 'range-align'],
    ['an unaligned end', 0n, 0x1001n, 'range-align'],
    ['the gap between roots', 0n, TWO_64, 'range-canonical'],
    ['no root at all', half, half + 0x1000n, 'range-canonical'],
  ])('refuse %s', (_, start, end, rule) => {
    const error = thrownBy(() => stretches(both, { start, end }));
    expect(error).toBeInstanceOf(ArgumentError);
    expect(error.rule).toBe(rule);
    if (rule !== 'range-canonical') expect(thrownBy(() => stretches(both, { start, end }, true)).rule).toBe(rule);
  });

  it('know words of 32 bits', () => {
    const space = createSpace(memory, { paging: short.paging, address: 0n });
    expect(stretches(space, { start: 0xffff_f000n, end: 1n << 32n })).toHaveLength(1);
    expect(thrownBy(() => stretches(space, { start: 0n, end: (1n << 32n) + 0x1000n })).rule).toBe('range-canonical');
  });
});

describe('addresses', () => {
  it('wrap as virtual ones, and lie below 2^56 as physical ones', () => {
    expect(virt(-1n)).toBe(TWO_64 - 1n);
    expect(virt(TWO_64)).toBe(0n);
    expect(vaOf(2 ** 64 - 4096)).toBe(TWO_64 - 0x1000n);
    expect(phys(5)).toBe(5n);
    expect(phys(1n << 56n)).toBe(1n << 56n);
    for (const address of [-1n, (1n << 56n) + 1n, 1n << 60n, 2 ** 60]) {
      const error = thrownBy(() => phys(address));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error).toMatchObject({ rule: 'phys-range', values: { address: hex(address) } });
    }
    for (const make of [phys, virt]) {
      expect(thrownBy(() => make(0.5))).toMatchObject({ rule: 'address-integer', values: { address: '0.5' } });
      expect(thrownBy(() => make(Number.NaN)).rule).toBe('address-integer');
    }
  });

  it('have sizes in the largest unit that divides them', () => {
    expect([0, 1, 1024, 4096, 0x20_0000, 1536 * 1024, 2 ** 60].map((bytes) => sizeText(bytes))).toEqual([
      '0B',
      '1B',
      '1K',
      '4K',
      '2M',
      '1536K',
      '1E',
    ]);
  });
});
