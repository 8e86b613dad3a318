import { access, createSpace, phys, readWord, SparseMemory, writeWord } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { type X86Feature, x86Access, x86Paging } from '../src/index.ts';
import { errorCode, keyAllows, rightsAllow, type Situation } from './reference.ts';

const BOTH = [false, true] as const;
const KINDS = ['read', 'write', 'execute'] as const;
/** Key 5: nothing forbidden, accesses forbidden, writes forbidden, both; and another key's bits. */
const KEY_REGISTERS = [0, 1 << 10, 2 << 10, 3 << 10, ~(3 << 10) >>> 0];

function* situations(): Generator<Situation> {
  for (let bits = 0; bits < 2 ** 11; bits++) {
    const on = (at: number): boolean => ((bits >> at) & 1) === 1;
    for (const kind of KINDS) {
      for (const register of on(10) ? KEY_REGISTERS : [0]) {
        yield {
          userAddress: on(0),
          rw: on(1),
          xd: on(2),
          key: 5,
          userMode: on(3),
          kind,
          wp: on(4),
          smep: on(5),
          smap: on(6),
          ac: on(7),
          implicit: on(8),
          nxe: on(9),
          keys: on(10),
          pkru: on(0) ? register : 0xffff_ffff,
          pkrs: on(0) ? 0xffff_ffff : register,
        };
      }
    }
  }
}

const featuresOf = ({ nxe, keys }: Situation): Set<X86Feature> =>
  new Set([...(nxe ? (['nx'] as const) : []), ...(keys ? (['pk'] as const) : [])]);

describe('the access check', () => {
  it('agrees with the sentences of the manual in every situation', () => {
    let count = 0;
    for (const s of situations()) {
      const { wp, smep, smap, ac, implicit, pkru, pkrs } = s;
      const verdict = x86Access.check(
        { us: Number(s.userAddress), rw: Number(s.rw), nx: Number(s.xd), pk: s.key, a: 1, d: 1 },
        {
          kind: s.kind,
          privilege: s.userMode ? 'user' : 'supervisor',
          options: { wp, smep, smap, ac, implicit, pkru, pkrs },
        },
        featuresOf(s),
      );
      expect({ ...s, allowed: verdict.reasons.length === 0 }).toEqual({
        ...s,
        allowed: rightsAllow(s) && keyAllows(s),
      });
      expect(verdict.reasons.includes('protection_key')).toBe(!keyAllows(s));
      count++;
    }
    expect(count).toBeGreaterThan(10_000);
  });

  it('sets A, and D for a write, of an access that is allowed', () => {
    for (const a of [0, 1]) {
      for (const d of [0, 1]) {
        for (const kind of KINDS) {
          const options = { wp: true, smep: false, smap: false, ac: false, implicit: false, pkru: 0, pkrs: 0 };
          const check = (rw: number) =>
            x86Access.check({ us: 0, rw, nx: 0, a, d }, { kind, privilege: 'supervisor', options }, new Set(['nx']));
          const expected = (a === 0 ? 0x20n : 0n) | (kind === 'write' && d === 0 ? 0x40n : 0n);
          expect(check(1).set ?? 0n).toBe(expected);
          if (kind === 'write') expect(check(0)).toEqual({ reasons: ['no_write'] });
        }
      }
    }
  });
});

describe('rights along the way', () => {
  const P = 0x1n;
  const RW = 0x2n;
  const US = 0x4n;
  const NX = 1n << 63n;
  const LEAF = 0x60n;

  /** Four levels at 0x1000, 0x2000, 0x3000, 0x4000; the page of address 0 is at 0x5000. */
  function spaceOf(flags: readonly [bigint, bigint, bigint, bigint], features: readonly X86Feature[]) {
    const memory = new SparseMemory([{ start: 0n, end: 0x10000n }]);
    flags.forEach((bits, depth) => {
      const at = BigInt(depth + 1) * 0x1000n;
      writeWord(memory, phys(at), (at + 0x1000n) | bits | P | (depth === 3 ? LEAF : 0n));
    });
    return createSpace(memory, { paging: x86Paging(4, { features }), address: 0x1000n });
  }

  it('needs R/W and U/S at every level, and execution forbidden at none', () => {
    const all = RW | US;
    for (let depth = 0; depth < 4; depth++) {
      const without = (bits: bigint) => [0, 1, 2, 3].map((at) => (at === depth ? all & ~bits : all));
      const as = (list: bigint[]) => list as unknown as [bigint, bigint, bigint, bigint];
      const reasons = (flags: bigint[], kind: 'read' | 'write' | 'execute', privilege: 'user' | 'supervisor') => {
        const result = access(spaceOf(as(flags), ['nx']), 0n, { kind, privilege });
        return result.allowed ? [] : result.reasons;
      };
      expect(reasons(without(0n), 'write', 'user')).toEqual([]);
      expect(reasons(without(RW), 'write', 'user')).toEqual(['no_write']);
      expect(reasons(without(RW), 'read', 'user')).toEqual([]);
      expect(reasons(without(US), 'read', 'user')).toEqual(['supervisor_page']);
      expect(reasons(without(US), 'write', 'supervisor')).toEqual([]);
      const forbidden = [0, 1, 2, 3].map((at) => (at === depth ? all | NX : all));
      expect(reasons(forbidden, 'execute', 'user')).toEqual(['no_execute']);
      expect(reasons(forbidden, 'read', 'user')).toEqual([]);
    }
  });

  it('has the error code that the manual gives', () => {
    const cases = {
      'not-present': (depth: number) => ({ depth, bits: -1n }),
      reserved: (depth: number) => ({
        depth,
        bits: RW | US | (depth < 3 ? (depth === 0 ? 0x80n : 1n << 51n) : 1n << 50n),
      }),
      rights: (depth: number) => ({ depth, bits: 0n }),
    };
    for (const nxe of BOTH) {
      for (const smep of BOTH) {
        for (const kind of KINDS) {
          for (const userMode of BOTH) {
            for (const found of ['not-present', 'reserved', 'rights'] as const) {
              for (let depth = 0; depth < 4; depth++) {
                const memory = new SparseMemory([{ start: 0n, end: 0x10000n }]);
                const wrong = cases[found](depth);
                for (let at = 0; at < 4; at++) {
                  const bits = at === depth ? wrong.bits : RW | US;
                  const slot = BigInt(at + 1) * 0x1000n;
                  const word =
                    bits === -1n ? 0x8000_0000_0000_0ff0n : (slot + 0x1000n) | bits | P | (at === 3 ? LEAF : 0n);
                  writeWord(memory, phys(slot), word);
                }
                const paging = x86Paging(4, { features: nxe ? ['nx', 'gbpages'] : ['gbpages'], paBits: 46 });
                const space = createSpace(memory, { paging, address: 0x1000n, control: { smep } });
                const request = { kind, privilege: userMode ? 'user' : 'supervisor' } as const;
                const result = access(space, 0x123n, request);
                if (found === 'rights' && result.allowed) continue;
                if (result.allowed) throw new Error(`${found} at depth ${depth} was allowed`);
                const situation: Situation = {
                  userAddress: false,
                  rw: false,
                  xd: false,
                  key: 0,
                  userMode,
                  kind,
                  wp: true,
                  smep,
                  smap: false,
                  ac: false,
                  implicit: false,
                  nxe,
                  keys: false,
                  pkru: 0,
                  pkrs: 0,
                };
                expect(result).toMatchObject({ type: 'page_fault', code: errorCode(situation, found) });
              }
            }
          }
        }
      }
    }
  });

  it('says when a key forbids', () => {
    const memory = new SparseMemory([{ start: 0n, end: 0x10000n }]);
    for (let at = 1n; at <= 4n; at++) {
      writeWord(
        memory,
        phys(at * 0x1000n),
        ((at + 1n) * 0x1000n) | RW | US | P | (at === 4n ? LEAF | (3n << 59n) : 0n),
      );
    }
    const space = createSpace(memory, {
      paging: x86Paging(4, { features: ['nx', 'pk'] }),
      address: 0x1000n,
      control: { pkru: 1 << 6 },
    });
    const request = { kind: 'write', privilege: 'user' } as const;
    const result = access(space, 0n, request);
    expect(result).toMatchObject({ allowed: false, type: 'page_fault', code: 0x27, reason: 'protection_key' });
    expect(access(space, 0n, { ...request, options: { pkru: 0 } }).allowed).toBe(true);
    expect(access(space, 0n, { kind: 'execute', privilege: 'user' }).allowed).toBe(true);
  });

  it('is a general protection fault where the address is not canonical', () => {
    const result = access(spaceOf([RW, RW, RW, RW], ['nx']), 1n << 47n, { kind: 'read', privilege: 'user' });
    expect(result).toMatchObject({ allowed: false, type: 'general_protection', code: 0, reason: 'non_canonical' });
  });

  it('marks every entry on the way as accessed, and the leaf of a write as dirty', () => {
    const space = spaceOf([RW, RW | 0x20n, RW, RW], ['nx']);
    writeWord(space.memory, phys(0x4000n), 0x5000n | RW | P);
    const result = access(space, 0n, { kind: 'write', privilege: 'supervisor' }, { apply: true });
    // The second pointer had its bit already; D is for leaves.
    expect(result).toMatchObject({
      updates: [
        { level: 3, slot: 0x1000n, entry: 0x2000n | RW | P | 0x20n },
        { level: 1, slot: 0x3000n, entry: 0x4000n | RW | P | 0x20n },
        { level: 0, slot: 0x4000n, entry: 0x5000n | RW | P | 0x60n },
      ],
    });
    expect(readWord(space.memory, phys(0x3000n))).toBe(0x4000n | RW | P | 0x20n);
    expect(access(space, 0n, { kind: 'read', privilege: 'supervisor' })).toMatchObject({ updates: [] });
    // Nobody may read it here: nothing is said of marks.
    const refused = access(spaceOf([RW, RW, RW, RW], ['nx']), 0n, { kind: 'read', privilege: 'user' });
    expect(refused).toMatchObject({ allowed: false, code: 5 });
  });
});
