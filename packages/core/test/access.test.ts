import { beforeEach, describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { ArgumentError, ReadOnlyMemoryError } from '../src/errors.ts';
import type { AccessRequest, FaultEvent, FaultReport } from '../src/format.ts';
import { map } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { access, type Mapped, translate } from '../src/walk.ts';
import { miniFormat, miniGeometry, named } from './formats.ts';
import { MINI } from './mini-bed.ts';
import { BASE, type Bed, bed, refused, thrownBy } from './model.ts';

const ARM = named('4K, 39 bits, tags');

const READ: AccessRequest = { kind: 'read', privilege: 'supervisor' };
const WRITE: AccessRequest = { kind: 'write', privilege: 'supervisor' };
const EXECUTE: AccessRequest = { kind: 'execute', privilege: 'user' };

/** A translation that must be there. */
function mapped({ space }: Bed, va: bigint): Mapped {
  const found = translate(space, va);
  if (!found.mapped) throw new Error(`${va} is not mapped`);
  return found;
}

describe('access', () => {
  let made: Bed;
  beforeEach(() => {
    made = bed(MINI);
    map(made.space, { va: 0n, pa: 0x8000n, bytes: 0x8000n, attributes: { w: 1 }, allocator: made.frames });
    map(made.space, {
      va: 0x8000n,
      pa: 0n,
      bytes: 0x1000n,
      attributes: { a: 1, u: 1, nx: 1 },
      tableAttributes: { tu: 1 },
      allocator: made.frames,
    });
  });

  it('gives the translation of an access that is allowed, and what the hardware would change', () => {
    const options = { update: true };
    const { entry } = mapped(made, 0x123n);
    expect(access(made.space, 0x123n, { ...WRITE, options })).toEqual({
      ...translate(made.space, 0x123n),
      allowed: true,
      updates: [{ level: 1, slot: expect.anything(), entry: entry | 0x840n }],
    });
    expect(translate(made.space, 0x123n)).toMatchObject({ entry });
    expect(access(made.space, 0x8000n, READ)).toMatchObject({ allowed: true, updates: [] });
  });

  it('writes that change if asked to', () => {
    const options = { update: true, level: 'high' };
    const { slot, entry } = mapped(made, 0x123n);
    writeWord(made.memory, slot, entry | (1n << 60n));
    access(made.space, 0x123n, { ...WRITE, options }, { apply: true });
    // Bits are set, and another is cleared.
    expect(readWord(made.memory, slot)).toBe(entry | 0x840n);
    const again = access(made.space, 0x123n, { ...WRITE, options }, { apply: true });
    expect(again).toMatchObject({ allowed: true, updates: [] });
  });

  it('refuses with all reasons in checking order and the name of the fault', () => {
    expect(access(made.space, 0x456n, EXECUTE)).toMatchObject({
      allowed: false,
      mapped: false,
      stage: 'access',
      reason: 'a_clear',
      reasons: ['a_clear', 'not_user'],
      type: 'access:a_clear',
      code: 3,
      level: 1,
      hardwareLevel: 9,
    });
    expect(access(made.space, 0x8456n, EXECUTE)).toMatchObject({ reasons: ['not_executable'], level: 0 });
    expect(access(made.space, 0x8456n, WRITE)).toMatchObject({ reasons: ['not_writable'], code: 2 });
  });

  it('passes on faults of the walk, named after the access', () => {
    expect(access(made.space, 0x9000n, WRITE)).toMatchObject({ allowed: false, stage: 'entry', code: 2 });
    expect(access(made.space, 1n << 40n, EXECUTE)).toMatchObject({ allowed: false, stage: 'address', code: 3 });
  });

  it('fills in options that are not given and refuses unknown ones', () => {
    expect(access(made.space, 0n, READ)).toMatchObject({ allowed: false, reason: 'a_clear' });
    const cases: [Record<string, string | number | boolean>, string, string][] = [
      [{ other: true }, 'other', 'true'],
      [{ update: 'yes' }, 'update', 'yes'],
      [{ level: 'middle' }, 'level', 'middle'],
    ];
    for (const [options, option, value] of cases) {
      const error = refused(made, () => access(made.space, 0n, { ...READ, options }));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error).toMatchObject({ rule: 'access-option', values: { option, value } });
    }
    expect(thrownBy(() => access(made.space, -1n, READ)).rule).toBe('va');
  });

  it('judges what is left after the tables above', () => {
    const own = bed(MINI);
    map(own.space, {
      va: 0n,
      pa: 0n,
      bytes: 0x1000n,
      attributes: { a: 1, u: 1, w: 1 },
      tableAttributes: (level) => (level === 2 ? { tu: 0, nowrite: 1 } : { tu: 1 }),
      allocator: own.frames,
    });
    const user: AccessRequest = { kind: 'write', privilege: 'user' };
    expect(access(own.space, 0n, user)).toMatchObject({ reasons: ['not_user', 'not_writable'] });
    const flat = createPaging(miniFormat, miniGeometry(3), { features: ['flat'] });
    const space = createSpace(own.memory, { paging: flat, address: own.root });
    expect(access(space, 0n, user)).toMatchObject({ allowed: true });
  });

  it('marks tables where the format says that hardware does', () => {
    const own = bed(MINI);
    map(own.space, { va: 0n, pa: 0n, bytes: 0x1000n, attributes: { a: 1 }, allocator: own.frames });
    const paging = createPaging(miniFormat, miniGeometry(3), { features: ['marks'] });
    const space = createSpace(own.memory, { paging, address: own.root });
    const before = own.memory.snapshot();
    const found = access(space, 0n, READ);
    if (!found.allowed) throw new Error('refused');
    expect(found.updates.map(({ level, entry }) => [level, entry & 0x20n])).toEqual([
      [2, 0x20n],
      [1, 0x20n],
    ]);
    expect(own.memory.snapshot()).toEqual(before);
    // One that cannot be written leaves all unwritten.
    own.memory.protect(found.updates[1]?.slot ?? 0n, 8);
    expect(() => access(space, 0n, READ, { apply: true })).toThrow(ReadOnlyMemoryError);
    expect(own.memory.snapshot()).toEqual(before);
    expect(access(own.space, 0n, READ)).toMatchObject({ updates: [] });
  });

  it('tells the format who wanted what, under which control bits', () => {
    const events: FaultEvent[] = [];
    const fault = (event: FaultEvent): FaultReport => {
      events.push(event);
      return { type: 'seen' };
    };
    const paging = createPaging({ ...miniFormat, fault }, miniGeometry(3), { features: ['flat'] });
    const space = createSpace(made.memory, { paging, address: made.root, control: { level: 'high' } });
    translate(space, 0x9000n);
    translate(space, 0x9000n, { ...EXECUTE, options: { update: true } });
    access(space, 0x8000n, EXECUTE);
    expect(events).toMatchObject([
      { reasons: ['not_valid'], request: { ...READ, options: { update: false, level: 'high' } } },
      { reasons: ['not_valid'], request: { ...EXECUTE, options: { update: true, level: 'high' } } },
      { reason: 'not_executable', stage: 'access', request: { ...EXECUTE, options: { update: false, level: 'high' } } },
    ]);
    expect([...(events[0]?.features ?? [])]).toEqual(['flat']);
    const wrong = { paging, address: made.root, control: { level: 'none' } };
    expect(thrownBy(() => createSpace(made.memory, wrong)).rule).toBe('access-option');
  });

  it('changes one entry of a run, the one that was used', () => {
    const own = bed(MINI);
    map(own.space, { va: 0n, pa: 0n, bytes: 0x4000n, attributes: {}, allocator: own.frames });
    access(own.space, 0x2000n, { ...READ, options: { update: true } }, { apply: true });
    const marks = [0n, 1n, 2n, 3n].map((i) => translate(own.space, i << 12n)).map((one) => one.mapped && one.fields.a);
    expect(marks).toEqual([0, 0, 1, 0]);
  });

  it('says so if the update cannot be written', () => {
    const { slot } = mapped(made, 0n);
    made.memory.protect(slot, 8);
    const error = refused(made, () => access(made.space, 0n, { ...READ, options: { update: true } }, { apply: true }));
    expect(error).toBeInstanceOf(ReadOnlyMemoryError);
  });
});

describe('formats name faults as their machines do', () => {
  it('with codes that hold the level', () => {
    const made = bed(ARM);
    map(made.space, {
      va: 0x20_0000n,
      pa: 0n,
      bytes: 0x20_1000n,
      attributes: { af: 1, ap2: 1, dbm: 1 },
      allocator: made.frames,
    });
    const codes = [0x20_0000n, 0x40_0000n, 0x40_1000n, 1n << 33n, 1n << 55n].map((va) => {
      const found = access(made.space, va, WRITE);
      return found.allowed ? [] : [found.type, found.code, found.hardwareLevel];
    });
    expect(codes).toEqual([
      ['permission', 14, 2],
      ['permission', 15, 3],
      ['invalid', 7, 3],
      ['invalid', 5, 1],
      ['translation', 4, 0],
    ]);
    // A dirty bit that hardware clears.
    const options = { hd: true };
    const allowed = access(made.space, 0x40_0000n, { ...WRITE, options }, { apply: true });
    expect(allowed).toMatchObject({ allowed: true });
    expect(translate(made.space, 0x40_0000n)).toMatchObject({ fields: { ap2: 0, dbm: 1 } });
  });

  it('tells addresses too large from bad entries', () => {
    const small = { ...ARM, paging: createPaging(ARM.format, { ...ARM.geometry, paBits: 40 }) };
    const made = bed(small);
    writeWord(made.memory, phys(made.root), (1n << 41n) | 0x401n);
    writeWord(made.memory, phys(made.root + 8n), (1n << 40n) | 3n);
    expect(access(made.space, 0n, READ)).toMatchObject({ reason: 'address_size', code: 1, level: 2 });
    expect(access(made.space, 1n << 30n, READ)).toMatchObject({ reason: 'address_size', code: 1, stage: 'entry' });
    expect(BASE).toBeLessThan(1n << 40n);
  });
});
