/** The TLB answers as `access` does, through every edit that it is told of. */
import { describe, expect, it } from 'vitest';
import type { Change } from '../src/change.ts';
import { protect, unmap } from '../src/edit.ts';
import { ArgumentError } from '../src/errors.ts';
import type { AccessRequest, Privilege } from '../src/format.ts';
import { map } from '../src/map.ts';
import { createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { Tlb } from '../src/tlb.ts';
import { access, translate } from '../src/walk.ts';
import { miniFormat, miniGeometry } from './formats.ts';
import { MINI } from './mini-bed.ts';
import { type Bed, bed, thrownBy } from './model.ts';
import { numbers } from './random-tables.ts';

const PAGE = 0x1000n;
const KINDS = ['read', 'write', 'execute'] as const;
const PRIVILEGES: readonly Privilege[] = ['user', 'supervisor'];
const UPDATE = { update: true };

const halvesOf = (va: bigint): [number, number] => [
  Number(BigInt.asIntN(32, va)),
  Number(BigInt.asIntN(32, va >> 32n)),
];

/** What `access` says: the frame, or -1. */
function expected(made: Bed, va: bigint, request: AccessRequest): number {
  const result = access(made.space, va, request);
  return result.allowed ? Number(result.pa - (result.pa % PAGE)) : -1;
}

describe('Tlb', () => {
  it('answers as access does, through every change that it is told of', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = numbers(seed);
      const made = bed(MINI);
      const tlbs = PRIVILEGES.map((privilege) => {
        return { privilege, tlb: new Tlb(made.space, { privilege, options: UPDATE, entries: 2 ** random(7) }) };
      });
      for (let step = 0; step < 150; step++) {
        const start = BigInt(random(128)) * PAGE;
        const range = { start, end: start + BigInt(1 + random(random(2) === 0 ? 128 : 4)) * PAGE };
        const change = someChange(made, range, random);
        for (const { tlb } of tlbs) if (change !== undefined) tlb.invalidate(change);
        for (let i = 0; i < 12; i++) {
          const va = BigInt(random(300)) * PAGE + BigInt(random(4096)) - (random(8) === 0 ? PAGE * 40n : 0n);
          const at = BigInt.asUintN(64, va);
          const kind = KINDS[random(3)] as (typeof KINDS)[number];
          const { privilege, tlb } = tlbs[random(2)] as (typeof tlbs)[number];
          const [lo, hi] = halvesOf(at);
          const want = expected(made, at, { kind, privilege, options: UPDATE });
          expect(tlb[kind](lo, hi)).toBe(want);
          if (want === -1) expect(tlb.fault).toMatchObject({ allowed: false, va: at });
        }
      }
    }
  });

  it('sets accessed and dirty bits when a page is met first, unless told otherwise', () => {
    const made = bed(MINI);
    map(made.space, { va: 0n, pa: 0n, bytes: PAGE, attributes: { w: 1 }, allocator: made.frames });
    const looked = (): unknown => {
      const found = translate(made.space, 0n);
      return found.mapped && [found.fields.a, found.fields.d];
    };
    const quiet = new Tlb(made.space, { privilege: 'supervisor', options: UPDATE, apply: false });
    expect([quiet.write(0x123, 0), looked()]).toEqual([0, [0, 0]]);
    const tlb = new Tlb(made.space, { privilege: 'supervisor', options: UPDATE });
    expect([tlb.read(0x123, 0), looked()]).toEqual([0, [1, 0]]);
    expect([tlb.write(0x123, 0), looked()]).toEqual([0, [1, 1]]);
  });

  it('takes control bits from the roots', () => {
    const made = bed(MINI);
    map(made.space, { va: 0n, pa: 0n, bytes: PAGE, attributes: {}, allocator: made.frames });
    const paging = createPaging(miniFormat, miniGeometry(3));
    const space = createSpace(made.memory, { paging, address: made.root, control: UPDATE });
    expect(new Tlb(made.space, { privilege: 'supervisor' }).read(0, 0)).toBe(-1);
    expect(new Tlb(space, { privilege: 'supervisor' }).read(0, 0)).toBe(0);
  });

  it('forgets edits by other hands when it is flushed', () => {
    const made = bed(MINI);
    map(made.space, { va: 0n, pa: 0n, bytes: PAGE, attributes: { a: 1 }, allocator: made.frames });
    const tlb = new Tlb(made.space, { privilege: 'supervisor' });
    expect(tlb.read(0, 0)).toBe(0);
    unmap(made.space, { start: 0n, end: PAGE });
    expect(tlb.read(0, 0)).toBe(0);
    tlb.flush();
    expect(tlb.read(0, 0)).toBe(-1);
    expect(tlb.fault?.reason).toBe('not_valid');
  });

  it('forgets the leaf of an address with all its pieces, and no other', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = numbers(seed);
      const made = bed(MINI);
      const size = 1n << 16n;
      const attributes = { a: 1, d: 1, w: 1 };
      // Leaves of every size, by where the range is cut.
      const cut = BigInt(random(16)) * PAGE;
      for (const [va, bytes] of [
        [0n, cut],
        [cut, size - cut],
      ] as const) {
        if (bytes > 0n)
          map(made.space, { va, pa: va + size * BigInt(random(2)), bytes, attributes, allocator: made.frames });
      }
      const tlb = new Tlb(made.space, { privilege: 'supervisor', entries: 2 ** random(8) });
      const all = Array.from({ length: 16 }, (_, i) => BigInt(i) * PAGE);
      const pages = all.filter(() => random(2) === 0);
      for (const page of pages) tlb[KINDS[random(3)] as 'read'](Number(page), 0);
      const before = new Map(all.map((page) => [page, translate(made.space, page)]));
      unmap(made.space, { start: 0n, end: size });
      const va = BigInt(random(16)) * PAGE + BigInt(random(4096));
      const leaf = (at: bigint): string | undefined => {
        const found = before.get(at - (at % PAGE));
        return found?.mapped === true ? `${at / found.leafBytes} of ${found.leafBytes}` : undefined;
      };
      const held = pages.filter((page) => KINDS.some((kind) => tlb[kind](Number(page), 0) !== -1));
      tlb.flushAddress(va);
      for (const page of held) {
        const still = KINDS.some((kind) => tlb[kind](Number(page), 0) !== -1);
        expect(still, `seed ${seed}`).toBe(leaf(page) !== leaf(va));
      }
    }
  });

  it('forgets addresses at the very top, and refuses those beyond', () => {
    const tlb = new Tlb(bed(MINI).space, { privilege: 'user' });
    tlb.flushAddress((1n << 64n) - 1n);
    expect(thrownBy(() => tlb.flushAddress(1n << 64n)).rule).toBe('range-overflow');
    expect(thrownBy(() => tlb.flushAddress(-1n)).rule).toBe('range-overflow');
    expect(thrownBy(() => tlb.flushAddress(0 as unknown as bigint)).rule).toBe('not-bigint');
  });

  it('has a power of two of entries', () => {
    const { space } = bed(MINI);
    for (const entries of [0, 3, -4, Number.NaN, 0.5, 2 ** 25, Number.POSITIVE_INFINITY]) {
      const error = thrownBy(() => new Tlb(space, { privilege: 'user', entries }));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error.rule).toBe('tlb-entries');
    }
  });

  it('refuses to forget a range that is none: what wraps around would leave everything remembered', () => {
    const tlb = new Tlb(bed(MINI).space, { privilege: 'user' });
    expect(thrownBy(() => tlb.flushRange(0x2000n, 0x1000n)).rule).toBe('range-empty');
    expect(thrownBy(() => tlb.flushRange(-0x1000n, 0x1000n)).rule).toBe('range-overflow');
    expect(thrownBy(() => tlb.flushRange(0n, (1n << 64n) + 1n)).rule).toBe('range-overflow');
    tlb.flushRange(0n, 1n << 64n);
  });
});

/** Some change of a range; none if it was refused. */
function someChange(
  made: Bed,
  range: { readonly start: bigint; readonly end: bigint },
  random: (below: number) => number,
): Change | undefined {
  const { space, frames: allocator } = made;
  try {
    switch (random(3)) {
      case 0: {
        const attributes = { a: 1, w: random(2), u: random(2), nx: random(2) };
        const pa = BigInt(random(64)) * PAGE;
        return map(space, {
          va: range.start,
          pa,
          bytes: range.end - range.start,
          attributes,
          allocator,
          existing: 'keep',
        });
      }
      case 1:
        return protect(space, range, { fields: { w: random(2), nx: random(2) } }, { allocator, holes: 'skip' });
      default:
        return unmap(space, range, { allocator });
    }
  } catch {
    return undefined;
  }
}
