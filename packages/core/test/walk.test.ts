import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { ArgumentError } from '../src/errors.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { Tlb } from '../src/tlb.ts';
import { Translator } from '../src/translator.ts';
import { access, translate, walk } from '../src/walk.ts';
import { mini, miniFormat, miniGeometry, SUBJECTS } from './formats.ts';
import { bed, refDecode, refWalk, SmallMemory, thrownBy } from './model.ts';
import { numbers, randomBed, seeds, someAddress } from './random-tables.ts';

const miniSubject = SUBJECTS[0] as (typeof SUBJECTS)[number];

describe('walk and translate against the description', () => {
  for (const subject of SUBJECTS) {
    it(`${subject.name}: any address through random tables`, () => {
      fc.assert(
        fc.property(seeds, fc.constantFrom(32, 64, 0x1_0000), (seed, windowBytes) => {
          const made = randomBed(subject, seed, windowBytes);
          const random = numbers(seed + 1);
          const quick = new Translator(made.space);
          for (let i = 0; i < 40; i++) {
            const va = someAddress(subject, random);
            const expected = refWalk(subject, made.memory, made.root, va);
            const seen = walk(made.space, va);
            expect(translate(made.space, va)).toEqual(seen.outcome);
            expect(quick.translate(va)).toBe(expected.kind === 'mapped' ? expected.pa : undefined);
            const got = seen.outcome;
            const last = seen.steps.at(-1);
            if (expected.kind === 'outside') {
              expect(got).toMatchObject({ mapped: false, stage: 'address', level: undefined });
              expect(seen.root).toBeUndefined();
              expect(seen.steps).toEqual([]);
              continue;
            }
            if (expected.kind === 'mapped') {
              const { pa, level, shape, leafBytes, slot, entry } = expected;
              expect(got).toMatchObject({ mapped: true, va, pa, level, shape, leafBytes, slot, entry, root: 'root' });
              if (!got.mapped) continue;
              for (const [name, value] of Object.entries(got.fields)) expect(value).toBe(expected.fields[name] ?? 0);
              expect(last?.effective).toEqual(got.fields);
            } else {
              const { reasons, level, slot } = expected;
              expect(got).toMatchObject({ mapped: false, level, slot, reasons, reason: reasons[0] });
              expect(got.mapped ? '' : got.stage).toBe(reasons[0] === 'no_memory' ? 'memory' : 'entry');
            }
            expect(last).toMatchObject({ level: expected.level, slot: expected.slot });
            for (const { level, table, index, slot, entry, decoded, hardwareLevel, name } of seen.steps) {
              expect(slot).toBe(table + BigInt(index * subject.format.entryBytes));
              const description = subject.geometry.levels[level];
              expect(hardwareLevel).toBe(description?.hardware ?? level);
              expect(name).toBe(description?.name ?? `level ${level}`);
              if (entry === undefined) {
                expect(decoded).toBeUndefined();
                continue;
              }
              expect(entry).toBe(readWord(made.memory, slot, subject.format.entryBytes));
              const { kind, shape, reasons } = refDecode(subject, level, entry, index);
              expect(decoded).toMatchObject({ kind, shape, reasons });
            }
          }
        }),
        { numRuns: 6 },
      );
    });
  }
});

describe('faults', () => {
  const made = bed(miniSubject);
  const { space, memory, root } = made;

  it('names an address that no root translates after the format, with its own level', () => {
    expect(translate(space, 1n << 20n)).toEqual({
      mapped: false,
      va: 1n << 20n,
      type: 'address:non_canonical',
      code: 1,
      reason: 'non_canonical',
      reasons: ['non_canonical'],
      stage: 'address',
      level: undefined,
      hardwareLevel: 9,
      slot: undefined,
      entry: undefined,
    });
  });

  it('names an empty entry with its level, slot and word', () => {
    writeWord(memory, phys(root + 8n), 0xf0n);
    expect(translate(space, 0x4_1234n)).toMatchObject({
      type: 'entry:not_valid',
      reason: 'not_valid',
      level: 2,
      hardwareLevel: 8,
      slot: root + 8n,
      entry: 0xf0n,
    });
  });

  it('gives all reasons of a malformed entry in checking order', () => {
    // A block with reserved bit 63, u without a, and address bits below its size.
    writeWord(memory, phys(root + 16n), (1n << 63n) | (1n << 23n) | 0x91n);
    const found = translate(space, 0x8_0000n);
    expect(found).toMatchObject({ reason: 'reserved_63', reasons: ['reserved_63', 'u_without_a', 'misaligned'] });
  });

  it('says no_memory where a table lies outside memory', () => {
    writeWord(memory, phys(root + 24n), mini.encodeTable(2, 0x4000_0000n));
    expect(walk(space, 0xc_0000n)).toMatchObject({
      outcome: { type: 'memory:no_memory', stage: 'memory', level: 1, slot: 0x4000_0000n, entry: undefined },
      steps: [{ level: 2 }, { level: 1, entry: undefined, decoded: undefined }],
    });
  });

  it('refuses what is no 64-bit number', () => {
    for (const va of [-1n, 1n << 64n]) {
      const error = thrownBy(() => translate(space, va));
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error.rule).toBe('va');
    }
  });
});

describe('effects of tables', () => {
  const made = bed(miniSubject);
  const { memory, frames, root } = made;
  const table = (level: number): bigint => frames.allocate({ level, va: 0n as never, bytes: 64, alignBytes: 64 });
  const [upper, lower] = [table(1), table(0)];
  writeWord(memory, phys(root), mini.encodeTable(2, upper, { tu: 1, nowrite: 1 }));
  writeWord(memory, phys(upper), mini.encodeTable(1, lower, { tu: 0, tnx: 1 }));
  writeWord(memory, phys(lower), mini.encodeLeaf(0, 0x5000n, { a: 1, u: 1, w: 1 }));

  it('accumulate on the way down: and, or, clear', () => {
    const { steps, outcome } = walk(made.space, 0x123n);
    expect(steps.map(({ effects }) => effects)).toEqual([
      [
        { on: 'u', op: 'and', value: 1 },
        { on: 'nx', op: 'or', value: 0 },
        { on: 'w', op: 'clear', value: 1 },
      ],
      [
        { on: 'u', op: 'and', value: 0 },
        { on: 'nx', op: 'or', value: 1 },
        { on: 'w', op: 'clear', value: 1 },
      ],
      steps[1]?.effects,
    ]);
    expect(outcome).toMatchObject({ pa: 0x5123n, fields: { a: 1, u: 0, w: 0, nx: 1 } });
    expect(outcome.mapped && outcome.common).toMatchObject({ user: false, write: false, execute: false });
  });

  it('do nothing under a feature that switches them off', () => {
    const flat = createPaging(miniFormat, miniGeometry(3), { features: ['flat'] });
    const found = translate(createSpace(memory, { paging: flat, address: root }), 0n);
    expect(found).toMatchObject({ fields: { u: 1, w: 1, nx: 0 } });
  });
});

describe('several roots', () => {
  const low = createPaging(miniFormat, miniGeometry(3, { upper: 'zero', ignored: { bits: [63, 56] } }));
  const high = createPaging(miniFormat, miniGeometry(2, { upper: 'one', ignored: { bits: [63, 60] } }));
  const memory = new SmallMemory(0n, 0x1000, 64);
  const space = createSpace(memory, [
    { paging: high, address: 0x40n, label: 'high' },
    { paging: low, address: 0x80n, label: 'low' },
  ]);
  writeWord(memory, phys(0x40n + 7n * 8n), high.encodeLeaf(1, 0x8000n, { a: 1 }));
  writeWord(memory, phys(0x80n), low.encodeLeaf(2, 0x4_0000n, { a: 1 }));

  it('each translates its own addresses with its own levels', () => {
    expect(translate(space, (1n << 64n) - 1n)).toMatchObject({ mapped: true, pa: 0xffffn, root: 'high', level: 1 });
    expect(translate(space, 5n)).toMatchObject({ mapped: true, pa: 0x4_0005n, root: 'low', level: 2 });
  });

  it('take tags off as each of them does', () => {
    expect(walk(space, 0xab00_0000_0000_0005n)).toMatchObject({
      root: 'low',
      outcome: { mapped: true, pa: 0x4_0005n },
    });
    // Four ignored bits for the upper root: the tag of five bits is none.
    expect(walk(space, 0x5fff_ffff_ffff_ffffn)).toMatchObject({ root: 'high', outcome: { mapped: true } });
    expect(walk(space, 0x57ff_ffff_ffff_ffffn)).toMatchObject({ root: undefined, outcome: { mapped: false } });
  });

  it('a root whose walks are off faults for its reason and reads nothing', () => {
    const off = createSpace(memory, [
      { paging: high, address: 0x40n },
      { paging: low, address: 1n, label: 'low', fault: 'walks_off' },
    ]);
    expect(walk(off, 5n)).toMatchObject({
      steps: [],
      outcome: { mapped: false, reason: 'walks_off', stage: 'address', level: undefined },
    });
    expect(translate(off, (1n << 64n) - 1n).mapped).toBe(true);
  });

  it('a root that is closed to somebody faults for them alone, and reads nothing', () => {
    const closed = createSpace(memory, [
      { paging: high, address: 0x40n, label: 'high', closedTo: { privilege: 'user', reason: 'not_yours' } },
      { paging: low, address: 0x80n, label: 'low' },
    ]);
    const top = (1n << 64n) - 1n;
    const user = { kind: 'read', privilege: 'user' } as const;
    const fault = { mapped: false, reason: 'not_yours', stage: 'address', level: undefined, slot: undefined };
    expect(walk(closed, top, user)).toMatchObject({ root: 'high', steps: [], outcome: fault });
    expect(access(closed, top, user)).toMatchObject({ ...fault, allowed: false });
    expect(translate(closed, top)).toMatchObject({ mapped: true, pa: 0xffffn });
    expect(walk(closed, 5n, user).outcome).toMatchObject({ mapped: true, root: 'low' });
    expect(new Translator(closed).translate(top)).toBe(0xffffn);
    expect(new Tlb(closed, { privilege: 'user' }).read(-1, -1)).toBe(-1);
  });
});
