import { describe, expect, it } from 'vitest';
import { phys, TWO_64 } from '../src/address.ts';
import {
  ArgumentError,
  AttributeError,
  MalformedEntryError,
  MemoryError,
  OutOfTablesError,
  OverlapError,
  ReadOnlyMemoryError,
} from '../src/errors.ts';
import { type MapRequest, map } from '../src/map.ts';
import { writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { eachTable } from '../src/table-links.ts';
import { mini, named } from './formats.ts';
import { armShortFormat, armShortGeometry } from './formats-arm.ts';
import { ask, LOOK, MINI } from './mini-bed.ts';
import { BASE, type Bed, bed, Frames, refused, SmallMemory } from './model.ts';

const SHORT = named('short');

describe('map refuses, and then has changed nothing', () => {
  const refuse = (made: Bed, more: Partial<MapRequest>): ReturnType<typeof refused> => {
    return refused(made, () => map(made.space, ask(made, more)));
  };
  const made = bed(MINI);
  map(made.space, ask(made, { va: 0x1_0000n }));
  map(made.space, ask(made, { va: 0x4_0000n, bytes: 0x4_0000n }));

  it.each<[string, Partial<MapRequest>, abstract new (...args: never[]) => Error, string, Record<string, string>]>([
    ['no bytes', { bytes: 0n }, ArgumentError, 'map-bytes', { bytes: '0x0' }],
    ['negative bytes', { bytes: -0x1000n }, ArgumentError, 'map-bytes', { bytes: '-0x1000' }],
    ['half a page', { bytes: 0x800n }, ArgumentError, 'range-align', { start: '0x0', end: '0x800' }],
    ['an unaligned address', { va: 0x10n }, ArgumentError, 'range-align', { start: '0x10' }],
    ['a negative address', { va: -0x1000n }, ArgumentError, 'range', { start: '-0x1000' }],
    [
      'the end of the ring',
      { va: TWO_64 - 0x1000n, bytes: 0x2000n },
      ArgumentError,
      'range',
      { end: '0x10000000000001000' },
    ],
    ['the gap', { va: 1n << 20n }, ArgumentError, 'range-canonical', { start: '0x100000' }],
    ['into the gap', { va: 0xf_f000n, bytes: 0x2000n }, ArgumentError, 'range-canonical', { end: '0x101000' }],
    ['an unaligned target', { pa: 0x10n }, AttributeError, 'physical-address', { address: '0x10' }],
    ['a negative target', { pa: -0x1000n }, AttributeError, 'physical-address', { address: '-0x1000' }],
    ['a target too high', { pa: 1n << 42n }, AttributeError, 'physical-address', { address: '0x40000000000' }],
    [
      'a target that ends too high',
      { pa: (1n << 42n) - 0x1000n, bytes: 0x2000n },
      AttributeError,
      'physical-address',
      { address: '0x40000000000' },
    ],
    ['too small leaves', { maxLeafBytes: 0x800n }, ArgumentError, 'map-size', { bytes: '0x1000' }],
    ['an unknown field', { attributes: { x: 1 } }, AttributeError, 'attribute-field', { field: 'x' }],
    ['a value too large', { attributes: { w: 2 } }, AttributeError, 'attribute-width', { field: 'w', value: '0x2' }],
    ['a negative value', { attributes: { w: -1 } }, AttributeError, 'attribute-width', { value: '-0x1' }],
    ['half a value', { attributes: { w: 0.5 } }, AttributeError, 'attribute-width', { value: '0.5' }],
    ['bits of the address', { attributes: 1n << 20n }, AttributeError, 'attribute-address', { bits: '0x100000' }],
    ['too many bits', { attributes: 1n << 64n }, AttributeError, 'attribute-width', { bits: '0x10000000000000000' }],
    [
      'attributes of a malformed leaf',
      { attributes: { u: 1 } },
      AttributeError,
      'attribute-result',
      { word: '0x11', level: '0x0', result: 'u_without_a' },
    ],
    [
      'pointers that are malformed',
      { tableAttributes: 1n << 63n },
      AttributeError,
      'attribute-result',
      { level: '0x1', result: 'reserved_63' },
    ],
    ['pointers with unknown fields', { tableAttributes: { w: 1 } }, AttributeError, 'attribute-field', { field: 'w' }],
    [
      'pointers with address bits',
      { tableAttributes: 1n << 14n },
      AttributeError,
      'attribute-address',
      { bits: '0x4000' },
    ],
    [
      'a leaf in the way',
      { va: 0xf000n, bytes: 0x2000n },
      OverlapError,
      'already-mapped',
      { va: '0x10000', level: '0x0', entry: '0x49' },
    ],
    [
      'a larger leaf in the way',
      { va: 0x7_f000n },
      OverlapError,
      'already-mapped',
      { va: '0x40000', level: '0x2', entry: '0xc9' },
    ],
    [
      'leaves below where one goes',
      { bytes: 0x4_0000n },
      OverlapError,
      'already-mapped',
      { va: '0x10000', level: '0x0' },
    ],
  ])('%s', (_, more, type, rule, values) => {
    const error = refuse(made, more);
    expect(error).toBeInstanceOf(type);
    expect(error.rule).toBe(rule);
    expect(error.values).toMatchObject(values);
    expect(error.message).toContain(`[${rule}]`);
  });

  it('software entries and malformed ones in the way', () => {
    const own = bed(MINI);
    writeWord(own.memory, phys(own.root), 0x2n);
    const software = refuse(own, {});
    expect(software).toBeInstanceOf(OverlapError);
    expect(software.values).toMatchObject({ va: '0x0', level: '0x2', entry: '0x2' });
    writeWord(own.memory, phys(own.root), 1n);
    expect(refuse(own, {})).toBeInstanceOf(MalformedEntryError);
    expect(refuse(own, { bytes: 0x4_0000n })).toMatchObject({ rule: 'malformed-entry', values: { slot: '0x100000' } });
  });

  it('entries of four bytes are shown as such', () => {
    const own = bed(SHORT);
    const request = { va: 0n, pa: 0xfff0_0000n, bytes: 0x10_0000n, attributes: { ap: 1 } };
    map(own.space, request);
    const error = refused(own, () => map(own.space, request));
    expect(error.values).toMatchObject({ entry: '0xfff00402' });
  });

  it('a missing allocator', () => {
    const own = bed(MINI);
    const error = refused(own, () => map(own.space, { va: 0n, pa: 0n, bytes: 0x1000n, attributes: LOOK }));
    expect(error).toBeInstanceOf(OutOfTablesError);
    expect(error).toMatchObject({ rule: 'no-allocator', values: { tables: '0x2' } });
  });

  it('an allocator that fails at any point', () => {
    for (let left = 0; left < 4; left++) {
      const own = bed(MINI);
      own.frames.left = left;
      const error = refuse(own, { va: 0x3_f000n, bytes: 0x2000n, pa: 0x1000n });
      expect(error.rule).toBe('frames-empty');
      // Every table that was asked for before has come back.
      expect(own.frames.live.size).toBe(0);
    }
  });

  it('tables at impossible places: unaligned, too high, outside memory, read-only', () => {
    const rules = (planned: bigint): string => {
      const own = bed(MINI);
      own.memory.protect(BASE + 0x1000n, 0x1000);
      own.frames.planned.push(planned);
      const error = refuse(own, {});
      expect(own.frames.live.size).toBe(0);
      return `${error.name} ${error.rule}`;
    };
    expect(rules(BASE + 0x20n)).toBe('AttributeError physical-address');
    expect(rules(BASE - 0x40n)).toBe('MemoryError no-memory');
    expect(rules(BASE + 0x1000n)).toBe('ReadOnlyMemoryError read-only');
    const high = new Frames(1n << 42n, 1n << 43n);
    const own = bed(MINI);
    expect(refused({ ...own, frames: high }, () => map(own.space, ask(own, { allocator: high }))).rule).toBe(
      'physical-address',
    );
  });

  it('a table handed out twice, and a root handed out as a table', () => {
    for (const planned of [[BASE + 0x400n, BASE + 0x400n], [BASE]]) {
      const own = bed(MINI);
      const back: bigint[] = [];
      const allocator = {
        allocate: () => phys(planned.shift() ?? 0n),
        free: (address: bigint) => void back.push(address),
      };
      const error = refuse(own, { allocator });
      expect(error).toBeInstanceOf(ArgumentError);
      expect(error.rule).toBe('table-twice');
      expect(new Set(back).size).toBe(back.length);
    }
  });

  it('tables that are missing or cannot be written, although some can', () => {
    const own = bed(MINI, 64);
    map(own.space, ask(own));
    map(own.space, ask(own, { va: 0x8000n }));
    const tables: bigint[] = [];
    eachTable(own.space, { start: 0n, end: 0x1_0000n }, ({ address }) => tables.push(address));
    own.memory.protect(tables.at(-1) as bigint, 64);
    const error = refuse(own, { va: 0x1000n, pa: 0x1000n, bytes: 0x1_0000n - 0x1000n, existing: 'keep' });
    expect(error).toBeInstanceOf(ReadOnlyMemoryError);
    expect(refuse(own, { va: 0x4000n, pa: 0x4000n, bytes: 0x4000n + 0x1000n })).toBeInstanceOf(OverlapError);
    expect(refuse(own, { va: 0x9000n, pa: 0x9000n })).toBeInstanceOf(ReadOnlyMemoryError);
    // The entry that points to an empty table, where a leaf is to go.
    const empty = bed(MINI, 8);
    map(empty.space, ask(empty, { va: 0x4_0000n }));
    const lower = [...empty.frames.live.keys()].at(-1) as bigint;
    writeWord(empty.memory, phys(lower), 0n);
    empty.memory.protect(empty.root + 8n, 8);
    expect(refuse(empty, { bytes: 0x8_0000n })).toBeInstanceOf(ReadOnlyMemoryError);
    const lost = bed(MINI, 64);
    writeWord(lost.memory, phys(lost.root), mini.encodeTable(2, 0x40n));
    expect(refuse(lost, {})).toBeInstanceOf(MemoryError);
  });

  it('a second stretch that cannot be done, after a first that could', () => {
    const paging = createPaging(armShortFormat, armShortGeometry(30));
    const memory = new SmallMemory(0n, 0x10_0000, 64);
    const frames = new Frames(0x8000n, 0x10_0000n);
    const space = createSpace(memory, [
      { paging, address: 0x1000n },
      { paging: SHORT.paging, address: 0x4000n, ranges: [{ start: 1n << 30n, end: 1n << 32n }] },
    ]);
    const both = { va: (1n << 30n) - 0x1000n, pa: 0n, bytes: 0x2000n, attributes: { ap: 1 }, allocator: frames };
    frames.left = 1;
    expect(refused({ memory, frames }, () => map(space, both)).rule).toBe('frames-empty');
    expect(frames.live.size).toBe(0);
    frames.left = 9;
    map(space, { ...both, va: 1n << 30n, bytes: 0x1000n });
    expect(refused({ memory, frames }, () => map(space, both)).rule).toBe('already-mapped');
  });
});
