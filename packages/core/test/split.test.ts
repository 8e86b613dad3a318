import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { convertAbove, convertBelow, convertBits } from '../src/convert.ts';
import { ArgumentError, AttributeError, OutOfTablesError, PartialLeafError } from '../src/errors.ts';
import type { Format } from '../src/format.ts';
import { leaves, mappedRanges } from '../src/leaves.ts';
import type { CompiledShape } from '../src/level-codec.ts';
import { map } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { addressBits, createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { split } from '../src/split.ts';
import { merge } from '../src/tables.ts';
import { translate } from '../src/walk.ts';
import { miniFormat, miniGeometry, named, SUBJECTS, type Subject } from './formats.ts';
import { armShortFormat, armShortGeometry } from './formats-arm.ts';
import { LOOK, MINI } from './mini-bed.ts';
import { bed, Frames, refDecode, refused, refWalk, SmallMemory, thrownBy } from './model.ts';
import { numbers, seeds, somePhysical } from './random-tables.ts';

const SHORT = named('short');
const ANDED = named('and-ed tables');

function shapeOf({ paging }: Subject, level: number, name: string): CompiledShape {
  return paging.codec(level).leaves.find(({ shape }) => shape.name === name) as CompiledShape;
}

describe('convertBits', () => {
  it('says every field of any leaf with any other shape as the description reads it, or refuses', () => {
    for (const subject of SUBJECTS) {
      const { paging } = subject;
      const kinds = paging.levels.flatMap(({ leaves: shapes, level }) => shapes.map((shape) => ({ shape, level })));
      fc.assert(
        fc.property(seeds, (seed) => {
          const random = numbers(seed);
          const from = kinds[random(kinds.length)] as (typeof kinds)[number];
          const to = kinds[random(kinds.length)] as (typeof kinds)[number];
          const look = subject.looks[random(3)] ?? {};
          const pa = somePhysical(subject, from.shape, random);
          const word = paging.encodeLeaf(from.level.level, pa, look, from.shape.shape.name);
          const bits = convertBits(paging, from.shape, to.shape, word);
          expect(bits & to.shape.address.mask & ~to.shape.fixedMask).toBe(0n);
          const before = refDecode(subject, from.level.level, word, 0);
          const after = refDecode(subject, to.level.level, bits, 0);
          expect(after).toMatchObject({ kind: 'leaf', shape: to.shape.shape.name });
          for (const name of subject.looks.flatMap((one) => Object.keys(one))) {
            expect(after.fields[name]).toBe(before.fields[name]);
          }
          // And back again: nothing was lost on the way.
          const mask = addressBits(from.shape) | from.shape.fixedMask;
          expect(convertBits(paging, to.shape, from.shape, bits) & ~mask).toBe(word & ~mask);
        }),
        { numRuns: 60 },
      );
    }
  });

  it('moves a bit that lies among the address bits of the other shape', () => {
    const small = shapeOf(SHORT, 0, 'small');
    const large = shapeOf(SHORT, 0, 'large');
    const section = shapeOf(SHORT, 1, 'section');
    // XN at 0 and TEX at 8:6, 15 and 14:12, 4 and 14:12.
    const word = 0xabcd_e000n | 0x2n | 0x1n | (5n << 6n) | (1n << 4n);
    expect(convertBits(SHORT.paging, small, large, word)).toBe(0x1n | 0x8000n | (5n << 12n) | (1n << 4n));
    expect(convertBits(SHORT.paging, small, section, word)).toBe(0x2n | 0x10n | (5n << 12n) | (1n << 10n));
    expect(convertBits(SHORT.paging, large, small, 0xabcd_0000n | 1n | 0x8000n | (5n << 12n))).toBe(
      0x2n | 0x1n | (5n << 6n),
    );
    const page = shapeOf(ANDED, 0, 'page');
    const huge = shapeOf(ANDED, 1, 'large');
    expect(convertBits(ANDED.paging, page, huge, 0x1234_5000n | 0x83n)).toBe(0x1083n);
    expect(convertBits(ANDED.paging, huge, page, 0x1220_0000n | 0x1083n)).toBe(0x83n);
    expect(convertBits(ANDED.paging, huge, page, 0x1220_0000n | 0x83n)).toBe(0x3n);
  });

  it('refuses what the other shape has no field for, and bits that have no name', () => {
    const section = shapeOf(SHORT, 1, 'section');
    const supersection = shapeOf(SHORT, 1, 'supersection');
    const small = shapeOf(SHORT, 0, 'small');
    const error = thrownBy(() => convertBits(SHORT.paging, section, supersection, 0x2n | (3n << 5n)));
    expect(error).toBeInstanceOf(AttributeError);
    expect(error).toMatchObject({ rule: 'split-field', values: { field: 'domain', value: '0x3' } });
    expect(convertBits(SHORT.paging, section, supersection, 2n)).toBe(0x4_0002n);
    const large = shapeOf(SHORT, 0, 'large');
    expect(thrownBy(() => convertBits(SHORT.paging, large, small, 1n | (1n << 6n)))).toMatchObject({
      rule: 'split-field',
      values: { bits: '0x40' },
    });
  });

  it('refuses a result that would be another shape', () => {
    const subject = named('16 entries at the root, 52 bits');
    const top = shapeOf(subject, 3, 'block');
    const below = shapeOf(subject, 2, 'block');
    // No groups at this level, so the hint is a field like others; one level down it makes a group.
    const word = subject.paging.encodeLeaf(3, 0n, { af: 1, cont: 1 });
    expect(thrownBy(() => convertBits(subject.paging, top, below, word)).rule).toBe('attribute-result');
  });
});

describe('convertBelow and convertAbove', () => {
  const section = shapeOf(SHORT, 1, 'section');
  const small = shapeOf(SHORT, 0, 'small');
  const table = SHORT.paging.codec(1).table as CompiledShape;
  const word = 0x2n | (3n << 5n) | (1n << 19n) | 1n | (1n << 10n);

  it('let the pointer say what the smaller leaf cannot, and take it back', () => {
    const { leaf, pointer } = convertBelow(SHORT.paging, section, small, 1, word);
    expect(leaf).toBe(0x2n | (1n << 4n));
    expect(pointer).toBe(0x1n | (3n << 5n) | (1n << 3n) | (1n << 2n));
    expect(convertAbove(SHORT.paging, small, section, table, pointer, leaf)).toBe(word);
  });

  it('refuse what neither can say', () => {
    expect(thrownBy(() => convertBelow(SHORT.paging, section, small, 1, word | (1n << 9n)))).toMatchObject({
      rule: 'split-field',
      values: { field: 'impl' },
    });
    const supersection = shapeOf(SHORT, 1, 'supersection');
    expect(convertAbove(SHORT.paging, small, supersection, table, 1n | (3n << 5n), 2n)).toBeUndefined();
  });

  it('make pointers that limit nothing where tables are and-ed', () => {
    const large = shapeOf(ANDED, 1, 'large');
    const page = shapeOf(ANDED, 0, 'page');
    expect(convertBelow(ANDED.paging, large, page, 1, 0x83n)).toEqual({ leaf: 3n, pointer: 7n });
    const pointer = ANDED.paging.codec(1).table as CompiledShape;
    // A pointer without rw and with xd: the large leaf says so itself.
    expect(convertAbove(ANDED.paging, page, large, pointer, (1n << 63n) | 5n, 7n)).toBe((1n << 63n) | 0x85n);
  });
});

describe('split', () => {
  it('makes both ends boundaries and changes no translation', () => {
    for (const subject of SUBJECTS) {
      for (const [at, look] of subject.looks.entries()) {
        const { paging } = subject;
        const made = bed(subject, 64);
        const page = paging.pageBytes;
        const largest = paging.leafChoices.filter(({ runEntries }) => runEntries === 1).at(-1)?.leafBytes ?? page;
        const start = BigInt(paging.geometry.ranges[0]?.start ?? 0);
        const pa = subject.format.entryBytes === 4 ? 0n : (1n << BigInt(paging.geometry.paBits)) - largest;
        const request = { va: start, pa, bytes: largest, attributes: look, allocator: made.frames };
        map(made.space, request);
        const range = { start: start + page * 3n, end: start + largest - page * BigInt(at + 1) };
        const tables = made.frames.live.size;
        const change = split(made.space, range, made.frames);
        expect(change.allocated.map(({ address }) => address)).toEqual([...made.frames.live.keys()].slice(tables));
        expect(change.detached).toEqual([]);
        const spots = [start, range.start - page, range.start, range.end - page, range.end, start + largest / 2n];
        for (const va of spots) {
          if (va < start || va >= start + largest) continue;
          const found = refWalk(subject, made.memory, made.root, va);
          expect(found).toMatchObject({ kind: 'mapped', pa: pa + va - start, fields: look });
        }
        for (const { start: from, leafBytes } of leaves(made.space, { start, end: start + largest }).slice(0, 60)) {
          for (const edge of [range.start, range.end]) {
            expect(edge > from && edge < from - (from % leafBytes) + leafBytes).toBe(false);
          }
        }
        // Again: there is nothing left to do.
        expect(split(made.space, range)).toEqual({ invalidate: [], allocated: [], detached: [], entries: 0 });
        // And merging brings back what was there.
        expect(merge(made.space, { start, end: start + largest }).detached.length).toBe(change.allocated.length);
        expect(mappedRanges(made.space, { start, end: start + largest })).toMatchObject([
          { start, pa, fields: look, end: start + largest },
        ]);
        expect(translate(made.space, start)).toMatchObject({ level: paging.leafChoices.at(-1)?.level });
      }
    }
  });

  it('asks for tables top down, each once, and tells the ranges', () => {
    const made = bed(MINI);
    map(made.space, { va: 0n, pa: 0n, bytes: 0x4_0000n, attributes: LOOK });
    const change = split(made.space, { start: 0x1000n, end: 0x9000n }, made.frames);
    expect(made.frames.requests).toEqual([
      { level: 1, va: 0n, bytes: 64, alignBytes: 64 },
      { level: 0, va: 0n, bytes: 64, alignBytes: 64 },
      { level: 0, va: 0x8000n, bytes: 64, alignBytes: 64 },
    ]);
    expect(change.allocated).toEqual([...made.frames.live].map(([address, request]) => ({ ...request, address })));
    expect(change.invalidate.map(({ start, end, level, tables }) => [start, end, level, tables])).toEqual([
      [0n, 0x4_0000n, 2, true],
      [0n, 0x1_0000n, 1, true],
    ]);
  });

  it('breaks runs without tables', () => {
    const made = bed(SHORT);
    map(made.space, { va: 0n, pa: 0x9_0000_0000n, bytes: 0x100_0000n, attributes: { ap: 1 } });
    // Sections cannot hold an address above 4 GiB.
    expect(refused(made, () => split(made.space, { start: 0n, end: 0x10_0000n }))).toMatchObject({
      rule: 'physical-address',
      values: { address: '0x900000000' },
    });
    map(made.space, { va: 0x100_0000n, pa: 0x100_0000n, bytes: 0x100_0000n, attributes: { ap: 1, tex: 2, xn: 1 } });
    const change = split(made.space, { start: 0x100_0000n, end: 0x110_0000n });
    expect(change).toMatchObject({ allocated: [], entries: 16 });
    expect(leaves(made.space, { start: 0x100_0000n, end: 0x200_0000n })).toMatchObject(
      Array.from({ length: 16 }, (_, i) => ({
        pa: 0x100_0000n + BigInt(i) * 0x10_0000n,
        shape: 'section',
        fields: { tex: 2, xn: 1 },
      })),
    );
  });

  it('keeps the domain of a section in the pointer to its pages', () => {
    const made = bed(SHORT);
    map(made.space, { va: 0n, pa: 0n, bytes: 0x10_0000n, attributes: { ap: 1, domain: 2, pxn: 1 } });
    const before = translate(made.space, 0x5000n);
    split(made.space, { start: 0x1000n, end: 0x10_0000n }, made.frames);
    const after = translate(made.space, 0x5000n);
    expect(before).toMatchObject({ shape: 'section', fields: { domain: 2, pxn: 1, ap: 1 } });
    expect(after).toMatchObject({ shape: 'small', pa: 0x5000n, fields: { domain: 2, pxn: 1, ap: 1 } });
    merge(made.space, { start: 0n, end: 0x10_0000n });
    expect(translate(made.space, 0x5000n)).toEqual(before);
  });

  it('does nothing where nothing is mapped, or nothing well-formed', () => {
    const made = bed(MINI);
    writeWord(made.memory, phys(made.root), 5n);
    expect(split(made.space, { start: 0x1000n, end: 0x4_1000n }).entries).toBe(0);
  });

  it('refuses, and then has changed nothing', () => {
    const made = bed(MINI);
    const { space, frames } = made;
    map(space, { va: 0n, pa: 0n, bytes: 0x10_0000n, attributes: LOOK });
    const range = { start: 0x1000n, end: 0xf_f000n };
    expect(refused(made, () => split(space, { start: 5n, end: 0x1000n }))).toBeInstanceOf(ArgumentError);
    const without = refused(made, () => split(space, range));
    expect(without).toBeInstanceOf(OutOfTablesError);
    expect(without).toMatchObject({ rule: 'no-allocator', values: { tables: '0x4' } });
    for (frames.left = 0; frames.left < 4; frames.left++) {
      const { left } = frames;
      expect(refused(made, () => split(space, range, frames)).rule).toBe('frames-empty');
      expect(frames.live.size).toBe(0);
      frames.left = left;
    }
    frames.planned.push(0x40n);
    frames.left = 9;
    expect(refused(made, () => split(space, range, frames)).rule).toBe('no-memory');
  });

  it('gives everything back if a later stretch fails', () => {
    const paging = createPaging(armShortFormat, armShortGeometry(30));
    const memory = new SmallMemory(0n, 0x10_0000, 64);
    const frames = new Frames(0x8000n, 0x10_0000n);
    const space = createSpace(memory, [
      { paging, address: 0x1000n },
      { paging: SHORT.paging, address: 0x4000n, ranges: [{ start: 1n << 30n, end: 1n << 32n }] },
    ]);
    const va = (1n << 30n) - 0x10_0000n;
    map(space, { va, pa: 0n, bytes: 0x20_0000n, attributes: { ap: 1 } });
    const range = { start: va + 0x1000n, end: va + 0x1f_f000n };
    frames.left = 1;
    expect(refused({ memory, frames }, () => split(space, range, frames)).rule).toBe('frames-empty');
    expect(frames.live.size).toBe(0);
    frames.left = 2;
    expect(split(space, range, frames).allocated.map(({ va: at }) => at)).toEqual([va, 1n << 30n]);
  });

  it('refuses where no smaller leaf exists', () => {
    const bare: Format = {
      ...miniFormat,
      shapes: miniFormat.shapes.filter(({ name }) => !['page', 'page-run'].includes(name)),
    };
    const subject = { ...MINI, format: bare, paging: createPaging(bare, miniGeometry(3)) };
    const made = bed(subject);
    map(made.space, { va: 0n, pa: 0n, bytes: 0x8000n, attributes: LOOK, allocator: made.frames });
    const error = refused(made, () => split(made.space, { start: 0n, end: 0x1000n }, made.frames));
    expect(error).toBeInstanceOf(PartialLeafError);
    expect(error).toMatchObject({ rule: 'split-level', values: { va: '0x1000', level: '0x0' } });
    // Runs only: they cannot fall apart.
    const runs: Format = { ...miniFormat, shapes: miniFormat.shapes.filter(({ name }) => name !== 'page') };
    const group = bed({ ...MINI, format: runs, paging: createPaging(runs, miniGeometry(3)) });
    map(group.space, { va: 0n, pa: 0n, bytes: 0x4000n, attributes: LOOK, allocator: group.frames });
    expect(refused(group, () => split(group.space, { start: 0n, end: 0x1000n }, group.frames))).toMatchObject({
      rule: 'split-level',
    });
  });

  it('writes the new table before it links it', () => {
    const made = bed(MINI, 16);
    map(made.space, { va: 0n, pa: 0n, bytes: 0x4_0000n, attributes: LOOK });
    const seen: bigint[] = [];
    const watched = {
      window: (address: number) => made.memory.window(address),
      writable: (address: number) => {
        if (address === Number(made.root)) {
          const [frame] = [...made.frames.live.keys()];
          if (frame !== undefined) seen.push(readWord(made.memory, phys(frame + 56n)));
        }
        return made.memory.writable(address);
      },
    };
    split({ ...made.space, memory: watched }, { start: 0n, end: 0x8000n }, made.frames);
    expect(seen.at(-1)).not.toBe(0n);
  });
});
