import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { folioPteBatch, type PteState } from '../src/folio-batch.ts';

const pte = (pfn: number, more: Partial<PteState> = {}): PteState => ({
  pfn,
  present: true,
  write: false,
  young: false,
  dirty: false,
  softDirty: false,
  rest: 0n,
  ...more,
});

const folio = { firstPfn: 100, pages: 16 };

describe('batches of entries', () => {
  it('end at the folio, at the limit and at the array', () => {
    const ptes = Array.from({ length: 20 }, (_, i) => pte(110 + i));
    expect(folioPteBatch(ptes, folio, { max: 20 }).nr).toBe(6);
    expect(folioPteBatch(ptes, folio, { max: 4 }).nr).toBe(4);
    expect(folioPteBatch(ptes.slice(0, 3), folio, { max: 20 }).nr).toBe(3);
  });

  it('trust hints and do not look at what they jump over', () => {
    const ptes = Array.from({ length: 16 }, (_, i) => pte(100 + i, { dirty: i === 4, write: i === 5 }));
    const hint = (i: number) => (i < 8 ? 8 : 1);
    expect(folioPteBatch(ptes, folio, { max: 16 }).nr).toBe(4);
    expect(folioPteBatch(ptes, folio, { max: 16, hint })).toEqual({
      nr: 16,
      anyWritable: false,
      anyYoung: false,
      anyDirty: false,
    });
    expect(folioPteBatch(ptes, folio, { max: 5, hint }).nr).toBe(5);
  });

  it('answer like a look at each pair of neighbours', () => {
    const flags = fc.record({
      write: fc.boolean(),
      young: fc.boolean(),
      dirty: fc.boolean(),
      softDirty: fc.boolean(),
      odd: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(
        fc.array(flags, { minLength: 1, maxLength: 20 }),
        fc.nat(15),
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        fc.boolean(),
        (list, first, max, ignoreDirty, ignoreSoftDirty) => {
          const ptes = list.map(({ odd, ...flag }, i) =>
            pte(100 + first + i + (odd === 1 && i > 0 ? 1 : 0), {
              ...flag,
              present: i === 0 || odd !== 2,
              rest: odd === 3 ? 1n : 0n,
            }),
          );
          const joins = (a: PteState, b: PteState) =>
            b.present &&
            b.pfn === a.pfn + 1 &&
            b.rest === a.rest &&
            b.pfn < folio.firstPfn + folio.pages &&
            (ignoreDirty || a.dirty === b.dirty) &&
            (ignoreSoftDirty || a.softDirty === b.softDirty);
          let nr = 1;
          while (nr < Math.min(max, ptes.length) && joins(ptes[nr - 1] as PteState, ptes[nr] as PteState)) nr++;
          const rest = ptes.slice(1, nr);
          expect(folioPteBatch(ptes, folio, { max, ignoreDirty, ignoreSoftDirty })).toEqual({
            nr,
            anyWritable: rest.some(({ write }) => write),
            anyYoung: rest.some(({ young }) => young),
            anyDirty: rest.some(({ dirty }) => dirty),
          });
        },
      ),
    );
  });

  it('start at a present entry of the folio', () => {
    for (const ptes of [[], [pte(99)], [pte(116)], [pte(100, { present: false })]]) {
      expect(() => folioPteBatch(ptes, folio, { max: 1 })).toThrow(/batch-start/);
    }
    expect(() => folioPteBatch([pte(100)], folio, { max: 0 })).toThrow(/batch-max/);
  });
});
