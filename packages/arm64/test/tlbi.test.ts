import { BumpAllocator, createSpace, decodeRegister, map, protect, SparseMemory, unmap } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  decomposeTlbi,
  gatheredLevel,
  LINUX_BITS,
  linuxPaging,
  linuxProtections,
  MAX_RANGE_PAGES,
  planStage2Tlbi,
  planTlbi,
  rangeCovered,
  tlbiLines,
  tlbiRange,
  tlbiRangeFormat,
  tlbiVa,
  tlbiVaFormat,
} from '../src/index.ts';

const { PAGE_KERNEL, PAGE_SHARED } = linuxProtections().values;

describe('operands', () => {
  it('name addresses in 4K units whatever the granule is', () => {
    expect(tlbiVa({ va: 0xffff_8000_8123_4000n, asid: 0x12, level: 3 }, { granule: '4K' })).toBe(
      0x0012_7ff8_0008_1234n,
    );
    expect(tlbiVa({ va: 0xffff_8000_8123_4000n, asid: 0x12 }, { granule: '4K' })).toBe(0x0012_0ff8_0008_1234n);
    expect(tlbiVa({ va: 0xffff_8000_8124_0000n, level: 2 }, { granule: '64K' })).toBe(0x0000_eff8_0008_1240n);
  });

  it('name ranges in pages, with LPA2 in 64K', () => {
    const range = { va: 0xffff_8000_8123_0000n, asid: 0x12, scale: 1, num: 0, level: 3 };
    expect(tlbiRange(range, { granule: '4K' })).toBe(0x0012_5078_0008_1230n);
    expect(tlbiRange(range, { granule: '4K', lpa2: true })).toBe(0x0012_507f_8000_8123n);
    expect(() => tlbiRange({ ...range, va: 0x1000n }, { granule: '4K', lpa2: true })).toThrow(/tlbi-range/);
    expect(() => tlbiRange({ ...range, scale: 4 }, { granule: '4K' })).toThrow(/register-field/);
  });

  it('are registers that can be read', () => {
    expect(decodeRegister(tlbiVaFormat, 0x0012_7ff8_0008_1234n)).toMatchObject({ asid: 0x12n, ttl: 7n });
    expect(decodeRegister(tlbiRangeFormat, 0x0012_5078_0008_1230n)).toMatchObject({ tg: 1n, scale: 1n, num: 0n });
  });
});

/** Marks every page that an operation invalidates. */
function coverage(pages: number, start: bigint, means: Parameters<typeof decomposeTlbi>[1]): Map<bigint, number> {
  const covered = new Map<bigint, number>();
  const bits = { '4K': 12n, '16K': 14n, '64K': 16n }[means.granule];
  for (const { op, operand, start: at } of decomposeTlbi({ start, pages }, means)) {
    const bytes = op === 'va' ? 1n << bits : rangeCovered(operand, means.lpa2 ?? false).bytes;
    const from = op === 'va' ? at : rangeCovered(operand, means.lpa2 ?? false).start;
    expect(BigInt.asUintN(44, from)).toBe(BigInt.asUintN(44, at));
    for (let page = at >> bits; page < (at + bytes) >> bits; page++) covered.set(page, (covered.get(page) ?? 0) + 1);
  }
  return covered;
}

describe('a range cut into operations', () => {
  it.each(['ascending', 'descending'] as const)('covers each page once, %s', (algorithm) => {
    for (const granule of ['4K', '16K', '64K'] as const) {
      for (const lpa2 of algorithm === 'descending' && granule !== '64K' ? [false, true] : [false]) {
        for (const pages of [1, 2, 3, 16, 17, 63, 64, 65, 100, 2047, 2048, 4099, 70001]) {
          const start = 0x1234_0000_0000n + (granule === '4K' ? 0x3000n : granule === '16K' ? 0x4000n : 0n);
          const covered = coverage(pages, start, { granule, lpa2, algorithm });
          expect([covered.size, Math.max(...covered.values())]).toEqual([pages, 1]);
        }
      }
    }
  });

  it('takes few operations: one for each scale, one for an odd page', () => {
    const shape = (pages: number) =>
      decomposeTlbi({ start: 0n, pages }, { granule: '4K' }).map(({ op, scale, num }) => [op, scale, num]);
    expect(shape(100)).toEqual([
      ['range', 1, 0],
      ['range', 0, 17],
    ]);
    expect(shape(65537)).toEqual([
      ['range', 3, 0],
      ['va', undefined, undefined],
    ]);
    expect(shape(0x1f_ffff).map(([, , num]) => num)).toEqual([30, 30, 30, 30, undefined]);
    expect(shape(MAX_RANGE_PAGES)).toEqual([['range', 3, 31]]);
    expect(() => shape(MAX_RANGE_PAGES + 1)).toThrow(/tlbi-pages/);
    expect(() => shape(0)).toThrow(/tlbi-pages/);
  });

  it('steps by the stride where there are no ranges', () => {
    const means = { granule: '4K', range: false } as const;
    const steps = decomposeTlbi({ start: 0n, pages: 1024, strideBytes: 1n << 21n, level: 2 }, means);
    expect(steps.map(({ start }) => start)).toEqual([0n, 1n << 21n]);
    expect(() => decomposeTlbi({ start: 0n, pages: 1, strideBytes: 100n }, means)).toThrow(/tlbi-stride/);
  });

  it('knows the level of a batch if one kind of entry was cleared', () => {
    expect(gatheredLevel({ ptes: true })).toBe(3);
    expect(gatheredLevel({ pmds: true })).toBe(2);
    expect(gatheredLevel({ ptes: true, pmds: true })).toBeUndefined();
    expect(gatheredLevel({ ptes: true, freedTables: true })).toBeUndefined();
  });
});

describe('the plan for a change', () => {
  const space = () => {
    const paging = linuxPaging({ granule: '4K', vaBits: 48 }, { half: 'low' });
    return createSpace(new SparseMemory(), { paging, address: 0x4000_0000n });
  };
  const allocator = new BumpAllocator(0x4800_0000n, 0x5000_0000n);

  it('is empty for what was not mapped before', () => {
    const change = map(space(), { va: 0x1000n, pa: 0x8000_0000n, bytes: 0x4000n, attributes: PAGE_SHARED, allocator });
    expect(planTlbi(change, { granule: '4K', asid: 5 })).toEqual({ scope: 'none', instructions: [] });
  });

  it('names what changed, with the level, for one address space', () => {
    const target = space();
    map(target, { va: 0x1000n, pa: 0x8000_1000n, bytes: 0x3000n, attributes: PAGE_SHARED, allocator });
    const change = unmap(target, { start: 0x1000n, end: 0x4000n });
    expect(tlbiLines(planTlbi(change, { granule: '4K', asid: 5 }))).toEqual([
      'dsb ishst',
      'tlbi rvale1is, 0x0005406000000001  // 0x1000, 2 pages',
      'tlbi vale1is, 0x0005700000000003  // 0x3000, 1 page',
      'dsb ish',
    ]);
    expect(() => planTlbi(change, { granule: '4K', asid: 5, isolated: true })).toThrow(/tlbi-asid/);
    expect(() => planTlbi(change, { granule: '4K', asid: 70_000 })).toThrow(/tlbi-asid/);
    const isolated = planTlbi(change, { granule: '4K', asid: 4, range: false, isolated: true });
    expect(isolated.instructions.map(({ operand }) => operand).slice(1, 3)).toEqual([
      0x0004_7000_0000_0001n,
      0x0005_7000_0000_0001n,
    ]);
  });

  it('names kernel pages one by one, and gives up after a table of them', () => {
    const target = space();
    map(target, {
      va: 0n,
      pa: 0x8000_0000n,
      bytes: 0x40_0000n,
      attributes: PAGE_KERNEL,
      allocator,
      maxLeafBytes: 0x1000n,
    });
    const part = protect(target, { start: 0x1000n, end: 0x3000n }, { set: LINUX_BITS.RDONLY, clear: LINUX_BITS.WRITE });
    expect(tlbiLines(planTlbi(part, { granule: '4K' }))).toEqual([
      'dsb ishst',
      'tlbi vaale1is, 0x0000700000000001  // 0x1000, 1 page',
      'tlbi vaale1is, 0x0000700000000002  // 0x2000, 1 page',
      'dsb ish',
      'isb',
    ]);
    const most = unmap(target, { start: 0n, end: 0x20_1000n });
    expect(tlbiLines(planTlbi(most, { granule: '4K' }))).toEqual(['dsb ishst', 'tlbi vmalle1is', 'dsb ish', 'isb']);
    expect(planTlbi(most, { granule: '4K', asid: 7, range: false }).scope).toBe('asid');
  });

  it('goes by intermediate address in stage 2, and then for both stages together', () => {
    const change = {
      invalidate: [
        {
          start: 0x8000_0000n,
          end: 0x8020_0000n,
          cause: 'removed',
          level: 1,
          strideBytes: 0x20_0000n,
          tables: false,
        },
      ],
    } as unknown as Parameters<typeof planStage2Tlbi>[0];
    expect(tlbiLines(planStage2Tlbi(change, { granule: '4K', range: false }))).toEqual([
      'dsb ishst',
      'tlbi ipas2e1is, 0x0000600000080000  // 0x80000000, 512 pages',
      'dsb ish',
      'tlbi vmalle1is',
      'dsb ish',
      'isb',
    ]);
  });
});
