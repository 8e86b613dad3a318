import {
  type AddressSpace,
  BumpAllocator,
  type Change,
  createSpace,
  freeTables,
  map,
  merge,
  protect,
  SparseMemory,
  split,
  unmap,
  walk,
} from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CachedEntry,
  hugetlbFlushStride,
  isCanonical,
  linuxFlushRange,
  mustInvalidate,
  planFences,
  riscvGeometries,
  riscvPaging,
  sfenceText,
} from '../src/index.ts';

describe('Supervisor Memory-Management Fence Instruction', () => {
  const leaf: CachedEntry = { va: 0xffff_ffd6_0020_0000n, asid: 5, global: false, level: 1, leaf: true };
  const drops = (fence: { va?: bigint; asid?: number }, entry: Partial<CachedEntry> = {}, asidBits?: number): boolean =>
    mustInvalidate('sv39', { va: undefined, asid: undefined, ...fence }, { ...leaf, ...entry }, asidBits);

  it('with x0, x0 drops everything', () => {
    expect(drops({})).toBe(true);
    expect(drops({}, { leaf: false, global: true })).toBe(true);
  });

  it('with an ASID spares globals and other address spaces', () => {
    expect(drops({ asid: 5 })).toBe(true);
    expect(drops({ asid: 5 }, { leaf: false })).toBe(true);
    expect(drops({ asid: 5 }, { global: true })).toBe(false);
    expect(drops({ asid: 4 })).toBe(false);
    expect(drops({ asid: 4 + 0x100 }, { asid: 4 }, 8)).toBe(true);
  });

  it('with an address drops leaves only, from anywhere inside them', () => {
    expect(drops({ va: leaf.va + 0x1f_ffffn })).toBe(true);
    expect(drops({ va: leaf.va + 0x20_0000n })).toBe(false);
    expect(drops({ va: leaf.va }, { leaf: false })).toBe(false);
    expect(drops({ va: leaf.va }, { global: true })).toBe(true);
    expect(drops({ va: leaf.va, asid: 5 }, { global: true })).toBe(false);
  });

  it('with an address that is not canonical does nothing', () => {
    expect(drops({ va: leaf.va & 0xff_ffff_ffffn })).toBe(false);
    expect(isCanonical('sv32', 0xdead_b000n)).toBe(true);
    for (const mode of ['sv39', 'sv48', 'sv57'] as const) {
      const half = 1n << BigInt(riscvGeometries[mode].vaBits - 1);
      const ends = [half - 1n, half, (1n << 64n) - half - 1n, (1n << 64n) - half];
      expect(ends.map((va) => isCanonical(mode, va))).toEqual([true, false, false, true]);
    }
  });
});

/** Everything that hardware may remember of the path to some addresses: every word, also invalid ones. */
function remembered(space: AddressSpace, addresses: readonly bigint[]) {
  return addresses.flatMap((va) =>
    walk(space, va).steps.map(({ level, slot, entry, decoded }) => ({ va, level, slot, entry, kind: decoded?.kind })),
  );
}

describe('sfence.vma after a change of tables', () => {
  const MB = 1n << 20n;
  const base = 0x40_0000_0000n - 0x4000_0000n;
  const size = fc.integer({ min: 1, max: 300 }).map((pages) => BigInt(pages) * 4096n);
  const place = fc.integer({ min: 0, max: 1 << 12 }).map((page) => base + BigInt(page) * 4096n);
  const attributes = { v: 1, r: 1, w: 1, a: 1, d: 1 };

  const operation = fc.oneof(
    fc.record({ op: fc.constant('map' as const), va: place, bytes: fc.oneof(size, fc.constant(4n * MB)) }),
    fc.record({ op: fc.constant('unmap' as const), va: place, bytes: size }),
    fc.record({ op: fc.constant('protect' as const), va: place, bytes: size }),
    fc.record({ op: fc.constant('split' as const), va: place, bytes: size }),
    fc.record({
      op: fc.constantFrom('merge' as const, 'free' as const),
      va: fc.constant(base),
      bytes: fc.constant(64n * MB),
    }),
  );

  it('no word that changed survives the planned fences', () => {
    const scopes = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(operation, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(1, 16, 64, 1000),
        fc.boolean(),
        (operations, threshold, global) => {
          const allocator = new BumpAllocator(0x10_0000n, 0x100_0000n);
          const space = createSpace(new SparseMemory(), { paging: riscvPaging('sv39', ['svnapot']), address: 0x8000n });
          for (const { op, va, bytes } of operations) {
            const range = { start: va, end: va + bytes };
            const asked = Array.from({ length: 40 }, (_, i) => va - 8n * 4096n + BigInt(i) * (bytes / 16n + 1n));
            const before = remembered(space, asked);
            let change: Change;
            if (op === 'map') {
              change = map(space, { va, pa: va, bytes, attributes, existing: 'keep', allocator });
            } else if (op === 'unmap') change = unmap(space, range, { allocator });
            else if (op === 'protect')
              change = protect(space, range, { fields: { w: 0, d: 0 } }, { allocator, holes: 'skip' });
            else if (op === 'split') change = split(space, range, allocator);
            else if (op === 'merge') change = merge(space, range);
            else change = freeTables(space, range);
            const plan = planFences(change, { asid: 7, global, threshold });
            scopes.add(plan.scope);
            expect(plan.fences.length).toBeLessThanOrEqual(threshold);
            const after = new Map(remembered(space, asked).map((step) => [step.slot, step]));
            for (const { va: at, level, slot, entry, kind } of before) {
              const now = after.get(slot);
              if (now !== undefined && now.entry === entry) continue;
              // A word on the path is gone or another: whatever was a table then or is one now is no leaf.
              const isLeaf = kind !== 'table' && now?.kind !== 'table';
              const cached = { va: at, asid: 7, global, level, leaf: isLeaf };
              expect(plan.fences.some((fence) => mustInvalidate('sv39', fence, cached))).toBe(true);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
    expect([...scopes].sort()).toEqual(expect.arrayContaining(['all', 'asid', 'none', 'range']));
  });

  const range = (
    pages: bigint,
    cause: 'installed' | 'changed' | 'removed',
    tables = false,
  ): Change['invalidate'][number] => ({
    start: base as Change['invalidate'][number]['start'],
    end: base + pages * 4096n,
    cause,
    level: 0,
    strideBytes: 4096n,
    tables,
  });

  it('names addresses up to the threshold', () => {
    const plan = planFences({ invalidate: [range(64n, 'removed')], allocated: [] });
    expect([plan.scope, plan.why, plan.fences.length]).toEqual(['range', undefined, 64]);
    expect(plan.fences.at(-1)).toEqual({ va: base + 63n * 4096n, asid: undefined });
    const more = planFences({ invalidate: [range(65n, 'removed')], allocated: [] }, { asid: 3 });
    expect(more).toEqual({ scope: 'asid', why: 'threshold', fences: [{ va: undefined, asid: 3 }] });
    expect(planFences({ invalidate: [range(1n, 'changed')], allocated: [] }).scope).toBe('page');
    for (const threshold of [Number.POSITIVE_INFINITY, Number.NaN, -1, 0.5]) {
      expect(() => planFences({ invalidate: [], allocated: [] }, { threshold })).toThrow(/\[fence-threshold\]/);
    }
  });

  it('needs rs1 = x0 for table pointers and rs2 = x0 for globals', () => {
    const tables = { invalidate: [range(1n, 'changed', true)], allocated: [] };
    expect(planFences(tables, { asid: 3 }).fences).toEqual([{ va: undefined, asid: 3 }]);
    expect(planFences(tables, { asid: 3, global: true }).fences).toEqual([{ va: undefined, asid: undefined }]);
    expect(planFences(tables).why).toBe('tables');
  });

  it('leaves new mappings alone under Svvptc', () => {
    const installed = { invalidate: [range(4n, 'installed')], allocated: [] };
    expect(planFences(installed).fences).toHaveLength(4);
    expect(planFences(installed, { svvptc: true })).toEqual({ scope: 'none', why: undefined, fences: [] });
  });
});

describe('Linux mm/tlbflush.c', () => {
  it('flushes the pages that a plain loop would', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 1n << 38n }),
        fc.bigInt({ min: 0n, max: 1n << 20n }),
        fc.constantFrom(4096n, 1n << 21n, 1n << 30n),
        (start, size, stride) => {
          const { op, fences } = linuxFlushRange({ start, size, stride });
          const loop: bigint[] = [];
          for (let at = start; at < start + size; at += stride) loop.push(at);
          if (loop.length === 0) loop.push(start);
          if (loop.length > 64) expect([op, fences]).toEqual(['all', [{ va: undefined, asid: undefined }]]);
          else expect(fences.map(({ va }) => va)).toEqual(loop);
        },
      ),
    );
  });

  it('had no threshold in v6.1: one page or everything', () => {
    const flush = (size: bigint) => linuxFlushRange({ start: 0n, size, stride: 4096n, asid: 1 }, { version: 'v6.1' });
    expect([flush(4096n).op, flush(8192n).op]).toEqual(['page', 'all']);
  });

  it('takes all ones for everything', () => {
    const request = { start: 0n, stride: 4096n };
    expect(linuxFlushRange({ ...request, size: (1n << 64n) - 1n }).op).toBe('all');
    expect(linuxFlushRange({ ...request, size: (1n << 32n) - 1n }, { xlen: 32 }).op).toBe('all');
  });

  it('uses only the full form on cores with erratum CIP-1200', () => {
    const { insn, fences } = linuxFlushRange({ start: 0n, size: 8192n, stride: 4096n, asid: 1 }, { cip1200: true });
    expect(insn).toBe('sfence.vma');
    expect(fences.map(sfenceText)).toEqual(['sfence.vma', 'sfence.vma']);
  });

  it('steps through NAPOT pages one by one, and through larger huge pages by their level', () => {
    const K64 = 1n << 16n;
    expect(hugetlbFlushStride('sv48', K64, true)).toBe(4096n);
    expect(hugetlbFlushStride('sv48', K64, false)).toBe(K64);
    expect(hugetlbFlushStride('sv48', 1n << 21n, true)).toBe(1n << 21n);
    expect(hugetlbFlushStride('sv39', 1n << 30n, true)).toBe(1n << 30n);
  });

  it('refuses a flush without a stride', () => {
    const request = { start: 0n, size: 1n, stride: 0n };
    expect(() => linuxFlushRange(request)).toThrow(expect.objectContaining({ rule: 'flush-stride' }));
  });
});
