import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LeafRow, type LeafSize, planLeaves } from '../src/leaf-plan.ts';
import { numbers, seeds } from './random-tables.ts';

interface NamedSize extends LeafSize {
  readonly name: string;
}

/** One leaf after the other, by exact arithmetic: at each address the first of the largest sizes that fit. */
function greedy(sizes: readonly NamedSize[], va: bigint, pa: bigint, bytes: bigint): string[] | undefined {
  const placed: string[] = [];
  for (let done = 0n; done < bytes; ) {
    const fitting = sizes.filter(({ leafBytes, paEnd }) => {
      const size = BigInt(leafBytes);
      const aligned = (va + done) % size === 0n && (pa + done) % size === 0n;
      return aligned && done + size <= bytes && (paEnd === undefined || pa + done + size <= BigInt(paEnd));
    });
    const largest = Math.max(...fitting.map(({ leafBytes }) => leafBytes));
    const found = fitting.find(({ leafBytes }) => leafBytes === largest);
    if (found === undefined) return undefined;
    placed.push(`${(va + done).toString(16)} ${(pa + done).toString(16)} ${found.name}`);
    done += BigInt(found.leafBytes);
  }
  return placed;
}

/** Rows, leaf by leaf. */
function spread(rows: readonly LeafRow<NamedSize>[] | undefined): string[] | undefined {
  return rows?.flatMap(({ va, pa, size, count }) =>
    Array.from({ length: count }, (_, i) => {
      const done = BigInt(i) * BigInt(size.leafBytes);
      return `${(BigInt(va) + done).toString(16)} ${(BigInt(pa) + done).toString(16)} ${size.name}`;
    }),
  );
}

const K = 1024;
const PAGE = 4 * K;

describe('planLeaves', () => {
  it('places what placing one leaf at a time would, in rows that cannot be joined', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const random = numbers(seed);
        const sizes = Array.from({ length: 1 + random(5) }, (_, i): NamedSize => {
          const leafBytes = PAGE * 2 ** (i === 0 && random(8) > 0 ? 0 : random(7));
          const paEnd = PAGE * random(400);
          return random(4) === 0 ? { name: `${i}`, leafBytes, paEnd } : { name: `${i}`, leafBytes };
        });
        const smallest = Math.min(...sizes.map(({ leafBytes }) => leafBytes));
        // Near the bottom and near the top of 64 bits.
        const base = random(3) === 0 ? 2 ** 64 - 2 ** 21 : 0;
        const va = base + random(200) * smallest;
        const shift = random(2) === 0 ? 0 : random(64) * smallest;
        const pa = (va - base + shift) % 2 ** 21;
        const bytes = Math.min((1 + random(150)) * smallest, base === 0 ? 2 ** 40 : 2 ** 64 - va);
        if (bytes <= 0) return;
        const rows = planLeaves(sizes, va, pa, bytes);
        expect(spread(rows)).toEqual(greedy(sizes, BigInt(va), BigInt(pa), BigInt(bytes)));
        rows?.forEach(({ size, count }, i) => {
          expect(count).toBeGreaterThan(0);
          expect(rows[i - 1]?.size).not.toBe(size);
        });
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps rows of millions of leaves as rows', () => {
    const sizes = [{ leafBytes: PAGE }, { leafBytes: 2 ** 21 }, { leafBytes: 2 ** 30 }];
    const [page, mega, giga] = sizes;
    expect(planLeaves(sizes, 2 ** 47 - PAGE, PAGE * 511, 2 ** 47)).toEqual([
      { va: 2 ** 47 - PAGE, pa: PAGE * 511, size: page, count: 1 },
      { va: 2 ** 47, pa: 2 ** 21, size: mega, count: 2 ** 26 - 1 },
      { va: 2 ** 48 - 2 ** 21, pa: 2 ** 47, size: page, count: 511 },
    ]);
    expect(planLeaves(sizes, 2 ** 63, 0, 2 ** 47 + 2 ** 21)).toEqual([
      { va: 2 ** 63, pa: 0, size: giga, count: 2 ** 17 },
      { va: 2 ** 63 + 2 ** 47, pa: 2 ** 47, size: mega, count: 1 },
    ]);
  });

  it('answers nothing where no size fits', () => {
    const sizes = [{ leafBytes: 2 ** 21 }, { leafBytes: 2 ** 14 }];
    expect(planLeaves(sizes, 0, 0, 2 ** 21 + PAGE)).toBeUndefined();
    expect(planLeaves(sizes, 0, PAGE, 2 ** 21)).toBeUndefined();
    expect(planLeaves([], 0, 0, PAGE)).toBeUndefined();
    expect(planLeaves([], 0, 0, 0)).toEqual([]);
    expect(planLeaves([{ leafBytes: PAGE, paEnd: 8 * PAGE }], 0, 0, 9 * PAGE)).toBeUndefined();
  });

  it('takes the first of two sizes that are equal, whatever the order', () => {
    const one = { leafBytes: PAGE, name: 'one' };
    const two = { leafBytes: PAGE, name: 'two' };
    const large = { leafBytes: 4 * PAGE, name: 'large' };
    for (const sizes of [
      [one, two, large],
      [large, one, two],
      [one, large, two],
    ]) {
      expect(planLeaves(sizes, 0, 0, 5 * PAGE)?.map(({ size }) => size.name)).toEqual(['large', 'one']);
    }
  });
});
