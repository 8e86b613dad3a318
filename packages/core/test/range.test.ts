import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TWO_64, virt } from '../src/address.ts';
import { ArgumentError } from '../src/errors.ts';
import {
  type AddressRange,
  addrEnd,
  addrSteps,
  alignRangeIn,
  alignRangeOut,
  formatRange,
  higherOf,
  intersectRanges,
  lowerOf,
  parseRange,
  rangeBetween,
  rangeContains,
  rangeCovers,
  rangeLast,
  rangeOfSize,
  rangeSize,
  rangesOverlap,
  rangeToLast,
  splitRange,
  subtractRange,
} from '../src/range.ts';
import { RangeSet } from '../src/range-set.ts';

function rule(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(ArgumentError);
    return (error as ArgumentError).rule;
  }
  return 'none';
}

/** A small piece of the ring, 32 units long, at its bottom, in the middle or at its very top. */
const UNITS = 32n;
const bases = [0n, 0x8000_0000_0000_0000n, TWO_64 - UNITS * 4096n];
const small = fc.record({
  base: fc.constantFrom(...bases),
  a: fc.tuple(fc.bigInt(0n, UNITS - 1n), fc.bigInt(1n, UNITS)),
  b: fc.tuple(fc.bigInt(0n, UNITS - 1n), fc.bigInt(1n, UNITS)),
  unit: fc.constantFrom(4096n, 8192n, 16384n, 65536n),
});

/** From two numbers a range that is not empty. */
function between(base: bigint, [start, length]: readonly [bigint, bigint]): AddressRange {
  const end = lowerOf(start + length, UNITS);
  return rangeBetween(virt(base + start * 4096n), base + end * 4096n);
}

/** The slow reference: the pages of a range as a set of numbers. */
function pages(range: AddressRange | undefined): Set<bigint> {
  const set = new Set<bigint>();
  if (range !== undefined) for (let at: bigint = range.start; at < range.end; at += 4096n) set.add(at);
  return set;
}

const pagesOf = (ranges: Iterable<AddressRange>): Set<bigint> => new Set([...ranges].flatMap((r) => [...pages(r)]));

describe('ranges', () => {
  it('never leave the ring and are never empty', () => {
    expect(rule(() => rangeBetween(virt(5), 5n))).toBe('range-empty');
    expect(rule(() => rangeBetween(virt(6), 5n))).toBe('range-empty');
    expect(rule(() => rangeOfSize(virt(0), 0n))).toBe('range-empty');
    expect(rule(() => rangeOfSize(virt(-4096n), 4097n))).toBe('range-overflow');
    expect(rule(() => rangeBetween(-1n, 5n))).toBe('range-overflow');
    expect(rangeSize(rangeOfSize(virt(0), TWO_64))).toBe(TWO_64);
    expect(rangeToLast(virt(0), TWO_64 - 1n)).toEqual({ start: 0n, end: TWO_64 });
    expect(rangeLast(rangeOfSize(virt(-4096n), 4096n))).toBe(TWO_64 - 1n);
  });

  it('are read and printed in both forms', () => {
    expect(parseRange('0x1000-0x3000')).toEqual({ start: 0x1000n, end: 0x3000n });
    expect(parseRange(' 0xFFFFffff80000000+0x80000000 ')).toEqual({ start: 0xffff_ffff_8000_0000n, end: TWO_64 });
    expect(formatRange({ start: 0x1000n, end: 0x3000n })).toBe('0x1000-0x3000');
    expect(formatRange({ start: 0x1000n, end: 0x3000n }, 'size', 16)).toBe('0x0000000000001000+0x2000');
    for (const text of [
      '',
      '0x1000',
      '1000-2000',
      '0x1000-',
      '0x1000..0x2000',
      '0x1-0x2-0x3',
      '-0x1-0x2',
      '0x1+-0x1',
    ]) {
      expect(
        rule(() => parseRange(text)),
        text,
      ).toBe('range-text');
    }
    expect(rule(() => parseRange('0x10000000000000000-0x10000000000000001'))).toBe('range-overflow');
    expect(rule(() => parseRange('0x10000000000000000+0x1'))).toBe('range-overflow');
    expect(rule(() => parseRange('0x2000-0x1000'))).toBe('range-empty');
  });

  it('print what they parse', () => {
    fc.assert(
      fc.property(
        small,
        fc.constantFrom<'end' | 'size'>('end', 'size'),
        fc.integer({ min: 0, max: 18 }),
        (s, form, n) => {
          const range = between(s.base, s.a);
          expect(parseRange(formatRange(range, form, n))).toEqual(range);
        },
      ),
    );
  });

  it('contain, overlap, intersect and subtract as sets of pages do', () => {
    fc.assert(
      fc.property(small, ({ base, a, b }) => {
        const [left, right] = [between(base, a), between(base, b)];
        const [inLeft, inRight] = [pages(left), pages(right)];
        const both = [...inLeft].filter((page) => inRight.has(page));
        expect(rangesOverlap(left, right)).toBe(both.length > 0);
        expect(pages(intersectRanges(left, right))).toEqual(new Set(both));
        const rest = subtractRange(left, right);
        expect(pagesOf(rest)).toEqual(new Set([...inLeft].filter((page) => !inRight.has(page))));
        expect(rest.every(({ start, end }) => start < end)).toBe(true);
        expect(rangeCovers(left, right)).toBe(both.length === inRight.size);
        for (const page of pages({ start: virt(base), end: base + UNITS * 4096n })) {
          expect(rangeContains(left, page)).toBe(inLeft.has(page));
          expect(rangeContains(left, page + 4095n)).toBe(inLeft.has(page));
        }
      }),
    );
  });

  it('align outwards to the units they touch and inwards to those they hold', () => {
    fc.assert(
      fc.property(small, ({ base, a, unit }) => {
        const range = between(base, a);
        const inside = pages(range);
        const units = [...pages({ start: virt(base), end: base + UNITS * 4096n })].filter((page) => page % unit === 0n);
        const under = (page: bigint): bigint[] => [...pages({ start: virt(page), end: page + unit })];
        const touched = units.filter((page) => under(page).some((each) => inside.has(each)));
        const held = units.filter((page) => under(page).every((each) => inside.has(each)));
        expect(pages(alignRangeOut(range, unit))).toEqual(new Set(touched.flatMap(under)));
        expect(pages(alignRangeIn(range, unit))).toEqual(new Set(held.flatMap(under)));
      }),
    );
    expect(alignRangeOut(rangeOfSize(virt(-1n), 1n), 1n << 39n).end).toBe(TWO_64);
    expect(alignRangeOut(rangeOfSize(virt(5), 1n), TWO_64)).toEqual({ start: 0n, end: TWO_64 });
    expect(rule(() => alignRangeOut(rangeOfSize(virt(0), 1n), 3n))).toBe('range-unit');
    expect(rule(() => alignRangeIn(rangeOfSize(virt(0), 1n), 0n))).toBe('range-unit');
  });

  it('split at every boundary and nowhere else', () => {
    fc.assert(
      fc.property(small, ({ base, a, unit }) => {
        const range = between(base, a);
        const pieces = [...splitRange(range, unit)];
        expect(pieces[0]?.start).toBe(range.start);
        expect(pieces.at(-1)?.end).toBe(range.end);
        pieces.forEach(({ start, end }, i) => {
          expect(start / unit).toBe((end - 1n) / unit);
          if (i > 0) expect(start % unit).toBe(0n);
          if (i > 0) expect(pieces[i - 1]?.end).toBe(start);
        });
      }),
    );
    expect(rule(() => [...splitRange(rangeOfSize(virt(0), 1n), 6n)])).toBe('range-unit');
  });

  it('know the lower and the higher number', () => {
    expect([lowerOf(1n, 2n), lowerOf(2n, 1n), higherOf(1n, 2n), higherOf(2n, 1n)]).toEqual([1n, 1n, 2n, 2n]);
  });
});

describe('addrEnd', () => {
  const shifts = fc.constantFrom(12, 21, 30, 39, 48);
  const edge = (bits: 32 | 64) =>
    fc.oneof(
      fc.bigInt(0n, (1n << BigInt(bits)) - 1n),
      fc.bigInt(0n, 4n).map((n) => n * 0x1000n),
      fc.bigInt(1n, 4n).map((n) => (1n << BigInt(bits)) - n * 0x1000n),
    );

  it('is the nearest of end and boundary, counted upwards from the address', () => {
    // The slow reference: distances on the ring, where an end of 0 is the top.
    const reference = (addr: bigint, end: bigint, shift: number, bits: number): bigint => {
      const top = 1n << BigInt(bits);
      const size = 1n << BigInt(shift);
      const boundary = lowerOf((addr / size + 1n) * size, top);
      const stop = end === 0n ? top : end;
      return lowerOf(boundary, stop) % top;
    };
    for (const bits of [32, 64] as const) {
      fc.assert(
        fc.property(edge(bits), edge(bits), shifts, (addr, end, shift) => {
          fc.pre(end === 0n || addr < end);
          fc.pre(shift < bits);
          expect(addrEnd(addr, end, shift, bits)).toBe(reference(addr, end, shift, bits));
          expect(addrEnd(addr, end, shift, bits, true)).toBe(end);
        }),
      );
    }
  });

  it('treats the power of two above the word as the top', () => {
    expect(addrEnd(0xffff_f000n, 1n << 32n, 12, 32)).toBe(0n);
    expect(addrEnd(0xffff_0000n, 1n << 32n, 12, 32)).toBe(0xffff_1000n);
    expect(addrEnd(5n, TWO_64, 12, 64, true)).toBe(0n);
  });

  it('steps through a range without gap or overlap', () => {
    fc.assert(
      fc.property(edge(64), fc.bigInt(1n, 40n), shifts, (addr, units, shift) => {
        const end = lowerOf(addr + (units << BigInt(shift)) / 3n + 1n, TWO_64);
        const steps = [...addrSteps(addr, end, shift)];
        expect(steps[0]?.addr).toBe(addr);
        expect(steps.at(-1)?.next).toBe(end % TWO_64);
        steps.forEach((step, i) => {
          if (i > 0) expect(step.addr).toBe(steps[i - 1]?.next);
          if (i > 0) expect(step.addr % (1n << BigInt(shift))).toBe(0n);
        });
        expect([...addrSteps(addr, end, shift, 64, true)]).toEqual([{ addr, next: end % TWO_64 }]);
      }),
    );
  });

  it('runs through the whole space from 0 to 0 and refuses to run around', () => {
    expect([...addrSteps(0n, 0n, 30, 32)]).toHaveLength(4);
    expect(rule(() => [...addrSteps(0x2000n, 0x2000n, 12)])).toBe('range-empty');
    expect(rule(() => [...addrSteps(0x3000n, 0x2000n, 12)])).toBe('range-empty');
  });
});

describe('range sets', () => {
  const span = rangeBetween(virt(0), UNITS * 4096n);
  const steps = fc.array(
    fc.record({ op: fc.constantFrom('add', 'delete'), at: fc.tuple(fc.bigInt(0n, UNITS - 1n), fc.bigInt(1n, 8n)) }),
    { maxLength: 30 },
  );

  it('hold what was added and not deleted, in sorted ranges that do not touch', () => {
    fc.assert(
      fc.property(steps, fc.tuple(fc.bigInt(0n, UNITS - 1n), fc.bigInt(1n, UNITS)), (list, probe) => {
        const set = new RangeSet<AddressRange['start']>();
        const slow = new Set<bigint>();
        for (const { op, at } of list) {
          const range = between(0n, at);
          for (const page of pages(range)) {
            if (op === 'add') slow.add(page);
            else slow.delete(page);
          }
          if (op === 'add') set.add(range);
          else set.delete(range);
        }
        expect(pagesOf(set.ranges)).toEqual(slow);
        set.ranges.forEach(({ start, end }, i) => {
          expect(start).toBeLessThan(end);
          if (i > 0) expect(start).toBeGreaterThan(set.at(i - 1)?.end ?? 0n);
        });
        expect(set.count).toBe(set.ranges.length);
        const range = between(0n, probe);
        const shared = [...pages(range)].filter((page) => slow.has(page));
        expect(pagesOf(set.within(range))).toEqual(new Set(shared));
        expect(set.overlaps(range)).toBe(shared.length > 0);
        expect(set.covers(range)).toBe(shared.length === pages(range).size);
        for (const page of pages(span)) expect(set.has(page)).toBe(slow.has(page));
      }),
    );
  });

  it('refuse empty ranges and stay as they are', () => {
    const set = new RangeSet<bigint>([{ start: 1n, end: 2n }]);
    expect(rule(() => set.add({ start: 5n, end: 5n }))).toBe('range-empty');
    expect(rule(() => set.delete({ start: 6n, end: 5n }))).toBe('range-empty');
    expect(set.ranges).toEqual([{ start: 1n, end: 2n }]);
  });
});
