/** Invalidations: nothing stale survives a plan, by a model of what each instruction must drop. */
import { type Cause, type Invalidation, virt } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FLUSH_CEILING,
  invalidationText,
  mustInvalidateX86,
  planX86Invalidations,
  type X86CachedEntry,
  x86,
} from '../src/index.ts';

const change = (...invalidate: Invalidation[]) => ({ invalidate, allocated: [] });

function range(start: bigint, leaves: number, level: number, cause: Cause = 'changed', tables = false): Invalidation {
  const strideBytes = 4096n << BigInt(9 * level);
  return { start: virt(start), end: start + BigInt(leaves) * strideBytes, cause, level, strideBytes, tables };
}

describe('a plan', () => {
  it('leaves no stale translation and no stale pointer', () => {
    const CURRENT = 7;
    const ranges = fc.record({
      first: fc.nat(1000),
      leaves: fc.integer({ min: 1, max: 60 }),
      level: fc.constantFrom(0, 1, 2),
      cause: fc.constantFrom<Cause>('changed', 'removed'),
      tables: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(ranges, { minLength: 1, maxLength: 3 }),
        fc.option(fc.nat(4095), { nil: undefined }),
        fc.boolean(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.constantFrom(0, 12, 21, 30, 39),
        (list, pcid, global, where, above) => {
          const invalidate = list.map(({ first, leaves, level, cause, tables }, i) => {
            const start = (BigInt(i) << 44n) + (BigInt(first) << BigInt(12 + 9 * level));
            return range(start, leaves, level, cause, tables);
          });
          const plan = planX86Invalidations({ invalidate }, { global, ...(pcid === undefined ? {} : { pcid }) });
          for (const { start, end, level, tables } of invalidate) {
            const va = start + BigInt(Math.floor(where * Number(end - start)));
            const shift = 12 + 9 * level;
            const leaf: X86CachedEntry = { va, pcid: pcid ?? CURRENT, global, shift, leaf: true };
            expect(plan.some((step) => mustInvalidateX86(step, leaf, CURRENT))).toBe(true);
            if (!tables) continue;
            const pointer: X86CachedEntry = {
              va,
              pcid: pcid ?? CURRENT,
              global: false,
              shift: shift + above,
              leaf: false,
            };
            expect(plan.some((step) => mustInvalidateX86(step, pointer, CURRENT))).toBe(true);
          }
        },
      ),
    );
  });

  it('needs nothing for what becomes present', () => {
    expect(planX86Invalidations(change(range(0x1000n, 100, 0, 'installed', true)))).toEqual([]);
    expect(planX86Invalidations(change())).toEqual([]);
  });

  it('names pages up to the ceiling, then everything', () => {
    const plan = (leaves: number, options = {}) => planX86Invalidations(change(range(0x20_0000n, leaves, 1)), options);
    expect(plan(2)).toEqual([
      { kind: 'page', va: 0x20_0000n },
      { kind: 'page', va: 0x40_0000n },
    ]);
    expect(plan(FLUSH_CEILING)).toHaveLength(FLUSH_CEILING);
    expect(plan(FLUSH_CEILING + 1)).toEqual([{ kind: 'current' }]);
    expect(plan(FLUSH_CEILING + 1, { global: true })).toEqual([{ kind: 'all' }]);
    expect(plan(1, { pcid: 5 })).toEqual([{ kind: 'pcid-page', va: 0x20_0000n, pcid: 5 }]);
    expect(plan(100, { pcid: 5 })).toEqual([{ kind: 'pcid', pcid: 5 }]);
    expect(plan(1, { pcid: 5, global: true })).toEqual([{ kind: 'all' }]);
    expect(plan(1, { threshold: 0 })).toEqual([{ kind: 'current' }]);
  });

  it('keeps what no instruction need drop', () => {
    const leaf = { va: 0x1000n, pcid: 1, global: false, shift: 12, leaf: true };
    const must = (step: Parameters<typeof mustInvalidateX86>[0], entry = {}) =>
      mustInvalidateX86(step, { ...leaf, ...entry }, 1);
    expect(must({ kind: 'page', va: 0x1fffn })).toBe(true);
    expect(must({ kind: 'page', va: 0x2000n })).toBe(false);
    expect(must({ kind: 'page', va: 0x1000n }, { pcid: 2 })).toBe(false);
    expect(must({ kind: 'page', va: 0x1000n }, { pcid: 2, global: true })).toBe(true);
    expect(must({ kind: 'page', va: 0x9000_0000n }, { leaf: false, shift: 21 })).toBe(true);
    expect(must({ kind: 'current' }, { global: true })).toBe(false);
    expect(must({ kind: 'pcid', pcid: 2 })).toBe(false);
    expect(must({ kind: 'pcid-page', pcid: 1, va: 0x1000n }, { global: true })).toBe(false);
  });

  it('refuses a PCID or a threshold that is none', () => {
    const rule = (options: object) => () => planX86Invalidations(change(), options);
    expect(rule({ pcid: 4096 })).toThrow(expect.objectContaining({ rule: 'pcid' }));
    expect(rule({ pcid: -1 })).toThrow(expect.objectContaining({ rule: 'pcid' }));
    expect(rule({ threshold: 0.5 })).toThrow(expect.objectContaining({ rule: 'flush-threshold' }));
  });

  it('is offered to tools', () => {
    const fences = x86.fences as NonNullable<typeof x86.fences>;
    expect(fences.entryBytes(1, {})).toBe(0x20_0000n);
    expect(fences.plan(change(range(0x1000n, 1, 0)), { pcid: 3n })).toEqual([
      { name: 'invpcid', operand: 0x1000n, start: 0x1000n, asid: 3n, text: 'invpcid 0, {pcid 3, 0x1000}' },
    ]);
    const texts = fences.plan(change(range(0x1000n, 50, 0)), { global: true }).map(({ text }) => text);
    expect(texts).toEqual(['invpcid 2  // or CR4.PGE cleared and set']);
    expect(invalidationText({ kind: 'pcid', pcid: 9 })).toBe('invpcid 1, {pcid 9}');
    expect(invalidationText({ kind: 'current' })).toBe('mov cr3, cr3  // bit 63 clear');
  });
});
