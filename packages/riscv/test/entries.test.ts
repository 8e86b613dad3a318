import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RISCV_MODES, type RiscvFeature, riscvAccess, riscvFault, riscvPaging } from '../src/index.ts';
import { type Extensions, referenceAccess, referenceEntry } from './reference.ts';

const FEATURES = ['svnapot', 'svpbmt', 'svrsw60t59b'] as const;

/** Words whose interesting bits are more often set than chance would have it. */
const word = (xlen: 32 | 64): fc.Arbitrary<bigint> =>
  fc
    .tuple(
      fc.bigInt({ min: 0n, max: (1n << BigInt(xlen)) - 1n }),
      fc.integer({ min: 0, max: 1023 }),
      fc.constantFrom(0n, 1n << 54n, 1n << 59n, 1n << 61n, 3n << 61n, 1n << 63n, 1n << 13n, 0x8n << 10n),
      fc.constantFrom(0n, (1n << 10n) - 1n, (1n << 19n) - 1n, (1n << 28n) - 1n, (1n << 54n) - 1n, ~0n),
    )
    .map(([random, low, high, keep]) => BigInt.asUintN(xlen, (random & ~keep) | BigInt(low) | high));

describe('Virtual Address Translation Process, steps 3 to 6: entries', () => {
  for (const mode of RISCV_MODES) {
    const xlen = mode === 'sv32' ? 32 : 64;
    const sets = xlen === 32 ? [0] : [0, 1, 2, 3, 4, 5, 6, 7];
    for (const set of sets) {
      const features: RiscvFeature[] = FEATURES.filter((_, i) => (set >> i) & 1);
      const paging = riscvPaging(mode, features);
      const extensions = Object.fromEntries(FEATURES.map((name) => [name, features.includes(name)]));
      it(`${mode} with ${features.join(', ') || 'no extensions'} decodes as the manual reads`, () => {
        fc.assert(
          fc.property(word(xlen), fc.nat(paging.levels.length - 1), (entry, level) => {
            const { kind, reasons } = paging.decode(level, entry);
            const expected = referenceEntry(xlen, level, entry, extensions as unknown as Extensions);
            expect({ kind, reasons: [...reasons].sort() }).toEqual({
              kind: expected.kind,
              reasons: [...expected.reasons].sort(),
            });
          }),
          { numRuns: 500 },
        );
      });
    }
  }

  it('T-Head cores hold a memory type where others have N, PBMT and reserved bits', () => {
    const paging = riscvPaging('sv39', ['xtheadmae']);
    const normal = 0x7000_0000_8000_00e7n;
    expect(paging.decode(0, normal).kind).toBe('leaf');
    expect(paging.decode(0, normal).fields).toMatchObject({ so: 0n, c: 1n, b: 1n, sh: 1n, sec: 0n });
    expect(paging.decode(0, normal | (1n << 54n)).reasons).toEqual(['reserved_bits_58_54']);
    for (const feature of ['svnapot', 'svpbmt', 'svrsw60t59b'] as const) {
      expect(() => riscvPaging('sv39', ['xtheadmae', feature])).toThrow(/\[exclusive-features\]/);
    }
  });

  it('modes and features that do not exist are refused by name', () => {
    expect(() => riscvPaging('sv128' as never)).toThrow(/mode sv128 \[mode\]/);
    expect(() => riscvPaging('sv32', ['svnapot'])).toThrow(/\[unknown-feature\]/);
  });
});

describe('Virtual Address Translation Process, steps 5 to 9: accesses', () => {
  it('agrees with the manual on every combination of bits', () => {
    let cases = 0;
    for (let set = 0; set < 1 << 12; set++) {
      const on = (at: number): boolean => ((set >> at) & 1) === 1;
      const leaf = { r: on(0), w: on(1), x: on(2), u: on(3), a: on(4), d: on(5) };
      const request = { user: on(6), sum: on(7), mxr: on(8), svadu: on(9), kind: 'read' as const };
      const kind = ([on(10), on(11)] as const).join();
      if (kind === 'true,true') continue;
      const access = { ...request, kind: kind === 'true,false' ? 'write' : on(11) ? 'execute' : 'read' } as const;
      const fields = Object.fromEntries(Object.entries(leaf).map(([name, value]) => [name, Number(value)]));
      const verdict = riscvAccess.check(
        fields,
        {
          kind: access.kind,
          privilege: access.user ? 'user' : 'supervisor',
          options: { sum: access.sum, mxr: access.mxr, ad: access.svadu ? 'svadu' : 'svade' },
        },
        new Set(),
      );
      const expected = referenceAccess(leaf, access);
      expect(verdict.reasons.length === 0).toBe(expected.allowed);
      const set_ = verdict.reasons.length === 0 ? (verdict.set ?? 0n) : 0n;
      expect(set_).toBe((expected.setsA ? 0x40n : 0n) | (expected.setsD ? 0x80n : 0n));
      cases++;
    }
    expect(cases).toBe(3 << 10);
  });

  it('names a failed permission before a clear A or D, and A before D', () => {
    const check = (fields: Record<string, number>) =>
      riscvAccess.check(
        { r: 0, w: 0, x: 0, u: 0, a: 0, d: 0, ...fields },
        { kind: 'write', privilege: 'supervisor', options: { sum: false, mxr: false, ad: 'svade' } },
        new Set(),
      ).reasons;
    expect(check({ r: 1 })).toEqual(['no_write']);
    expect(check({ r: 1, w: 1 })).toEqual(['a_clear']);
    expect(check({ r: 1, w: 1, a: 1 })).toEqual(['d_clear']);
  });

  it('reports page faults by access, and access faults where there is no memory', () => {
    const codes = (stage: 'entry' | 'memory') =>
      (['execute', 'read', 'write'] as const).map((kind) => {
        const request = { kind, privilege: 'user', options: {} } as const;
        return riscvFault({ reason: 'any', reasons: ['any'], stage, level: 0, request, features: new Set() }).code;
      });
    expect(codes('entry')).toEqual([12, 13, 15]);
    expect(codes('memory')).toEqual([1, 5, 7]);
  });
});
