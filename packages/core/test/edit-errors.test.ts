import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { type AttributeChange, type EditOptions, protect, unmap } from '../src/edit.ts';
import {
  ArgumentError,
  AttributeError,
  MalformedEntryError,
  MemoryError,
  NotMappedError,
  OutOfTablesError,
  PartialLeafError,
  ReadOnlyMemoryError,
} from '../src/errors.ts';
import { map } from '../src/map.ts';
import { writeWord } from '../src/memory.ts';
import { mini, named } from './formats.ts';
import { ALL, LOOK, mapped, tablesOf } from './mini-bed.ts';
import { BASE, bed, refused } from './model.ts';

describe('edits refuse, and then have changed nothing', () => {
  type Case = readonly [
    string,
    { readonly start: bigint; readonly end: bigint },
    AttributeChange,
    EditOptions,
    abstract new (...args: never[]) => Error,
    string,
    Record<string, string>,
  ];
  const page = { start: 0n, end: 0x1000n };
  const cases: readonly Case[] = [
    ['an empty range', { start: 0n, end: 0n }, { set: 0n }, {}, ArgumentError, 'range', { end: '0x0' }],
    ['a range backwards', { start: 0x2000n, end: 0x1000n }, { set: 0n }, {}, ArgumentError, 'range', {}],
    ['half a page', { start: 0n, end: 0x800n }, { set: 0n }, {}, ArgumentError, 'range-align', { end: '0x800' }],
    ['the gap', { start: 0n, end: 1n << 21n }, { set: 0n }, {}, ArgumentError, 'range-canonical', {}],
    [
      'a hole',
      { start: 0n, end: 0x1_0000n },
      { set: 0n },
      { holes: 'refuse' },
      NotMappedError,
      'not-mapped',
      { va: '0x9000', level: '0x0' },
    ],
    [
      'part of a leaf',
      { start: 0n, end: 0x5000n },
      { set: 0n },
      { partial: 'refuse' },
      PartialLeafError,
      'partial-leaf',
      { leafStart: '0x0', leafEnd: '0x8000', start: '0x0', end: '0x5000' },
    ],
    ['no tables to split with', page, { set: 0n }, {}, OutOfTablesError, 'no-allocator', { tables: '0x1' }],
  ];

  it.each(cases)('%s', (_, range, change, options, type, rule, values) => {
    const made = mapped(0n, 0x9000n);
    for (const run of [
      () => unmap(made.space, range, options),
      () => protect(made.space, range, change, { holes: 'skip', ...options }),
    ]) {
      const error = refused(made, run);
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject({ rule, values });
    }
  });

  it.each<[string, AttributeChange, string, Record<string, string>]>([
    ['an unknown field', { fields: { x: 1 } }, 'attribute-field', { field: 'x', value: '0x1' }],
    ['a value too large', { fields: { key: 16 } }, 'attribute-width', { field: 'key', value: '0x10' }],
    ['a value that is no number', { fields: { w: Number.NaN } }, 'attribute-width', { field: 'w', value: 'NaN' }],
    ['bits of the address', { set: 1n << 23n }, 'attribute-address', { bits: '0x800000' }],
    ['clearing bits of the address', { clear: (1n << 64n) - 1n }, 'attribute-address', {}],
    ['address bits below the size of the leaf', { set: 1n << 40n }, 'attribute-address', {}],
    ['what makes it a leaf', { fields: { valid: 0 } }, 'attribute-fixed', { bits: '0x1' }],
    ['what makes it a leaf, raw', { clear: 1n }, 'attribute-fixed', { bits: '0x1' }],
    ['what makes it a leaf alone', { set: 4n }, 'attribute-fixed', { bits: '0x4' }],
    ['a malformed result', { fields: { u: 1, a: 0 } }, 'attribute-result', { result: 'u_without_a' }],
    ['reserved bits', { set: 1n << 63n }, 'attribute-result', { result: 'reserved_63' }],
    ['too many bits', { set: 1n << 64n }, 'attribute-width', {}],
  ])('attributes: %s', (_, change, rule, values) => {
    // The entry that cannot be changed comes last.
    const made = mapped(0x7000n, 0x1000n);
    map(made.space, { va: 0x8000n, pa: 0x8000n, bytes: 0x8000n, attributes: LOOK });
    const error = refused(made, () => protect(made.space, { start: 0x7000n, end: 0x1_0000n }, change));
    expect(error).toBeInstanceOf(AttributeError);
    expect(error).toMatchObject({ rule, values });
  });

  it('malformed entries, missing tables', () => {
    const made = mapped(0n, 0x8000n, { maxLeafBytes: 0x1000n });
    const lower = tablesOf(made).at(-1) as bigint;
    writeWord(made.memory, phys(lower + 56n), 5n);
    for (const run of [
      () => unmap(made.space, { start: 0n, end: 0x8000n }),
      () => protect(made.space, { start: 0n, end: 0x8000n }, { set: 8n }),
    ]) {
      const error = refused(made, run);
      expect(error).toBeInstanceOf(MalformedEntryError);
      expect(error.values).toEqual({ va: '0x7000', level: '0x0', slot: `0x${(lower + 56n).toString(16)}` });
    }
    writeWord(made.memory, phys(made.root + 8n), mini.encodeTable(2, 0x40n));
    expect(refused(made, () => unmap(made.space, ALL))).toBeInstanceOf(MalformedEntryError);
    writeWord(made.memory, phys(lower + 56n), 0n);
    expect(refused(made, () => unmap(made.space, ALL))).toBeInstanceOf(MemoryError);
  });

  it('tables that cannot be written, after some that can', () => {
    const made = mapped(0n, 0x1_0000n, { maxLeafBytes: 0x1000n }, 64);
    made.memory.protect(tablesOf(made).at(-1) as bigint, 64);
    const runs = [
      () => unmap(made.space, { start: 0n, end: 0x1_0000n }),
      () => protect(made.space, { start: 0n, end: 0x1_0000n }, { set: 1n << 11n }),
    ];
    for (const run of runs) expect(refused(made, run)).toBeInstanceOf(ReadOnlyMemoryError);
  });

  it('a leaf to be split, or the rest of a run, that cannot be written', () => {
    const block = mapped(0n, 0x4_0000n, {}, 64);
    block.memory.protect(BASE, 64);
    const options = { allocator: block.frames };
    expect(refused(block, () => unmap(block.space, { start: 0n, end: 0x1000n }, options)).rule).toBe('read-only');
    // Half of a table in one window, half in another: the run lies across both.
    const run = mapped(0n, 0x1_0000n, { maxLeafBytes: 0x1_0000n }, 8);
    const upper = tablesOf(run).at(-1) as bigint;
    run.memory.protect(upper + 8n, 8);
    expect(refused(run, () => unmap(run.space, { start: 0n, end: 0x8000n })).rule).toBe('read-only');
  });

  it('an allocator that fails at any point', () => {
    for (let left = 0; left < 4; left++) {
      const made = mapped(0n, 0x10_0000n);
      made.frames.left = left;
      const error = refused(made, () =>
        unmap(made.space, { start: 0x1000n, end: 0xf_f000n }, { allocator: made.frames }),
      );
      expect(error.rule).toBe('frames-empty');
    }
  });

  it('bits that another leaf cannot have', () => {
    const subject = named('4K, 39 bits, tags');
    const made = bed(subject);
    map(made.space, { va: 0n, pa: 0n, bytes: 0x20_0000n, attributes: { af: 1, nt: 1 }, allocator: made.frames });
    const error = refused(made, () => unmap(made.space, { start: 0n, end: 0x1000n }, { allocator: made.frames }));
    expect(error).toBeInstanceOf(AttributeError);
    expect(error).toMatchObject({ rule: 'split-field', values: { field: 'nt', value: '0x1' } });
  });
});
