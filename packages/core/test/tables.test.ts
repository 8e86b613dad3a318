import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { unmap } from '../src/edit.ts';
import { ArgumentError, ReadOnlyMemoryError } from '../src/errors.ts';
import { leaves, mappedRanges } from '../src/leaves.ts';
import { map } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { freeTables, merge } from '../src/tables.ts';
import { translate } from '../src/walk.ts';
import { mini, named } from './formats.ts';
import { ALL, LOOK, MINI, mapped, tablesOf } from './mini-bed.ts';
import { BASE, type Bed, bed, refused } from './model.ts';

const SHORT = named('short');
const ANDED = named('and-ed tables');

/** A mini bed with pages, one to one, in leaves of at most the given size. */
function pages(bytes: bigint, maxLeafBytes = 0x1000n, windowBytes = 0x1_0000): Bed {
  return mapped(0n, bytes, { maxLeafBytes }, windowBytes);
}

describe('freeTables', () => {
  it('unlinks empty tables from the leaves up and leaves the root', () => {
    const made = pages(0x1000n);
    const [root, upper, lower] = tablesOf(made);
    unmap(made.space, ALL);
    const change = freeTables(made.space, ALL);
    expect(change.detached.map(({ address, level, va, bytes }) => [address, level, va, bytes])).toEqual([
      [lower, 0, 0n, 64],
      [upper, 1, 0n, 64],
    ]);
    expect(change.entries).toBe(0);
    const stale = change.invalidate.map(({ start, end, cause, tables }) => [start, end, cause, tables]);
    expect(stale).toContainEqual([0n, 0x8000n, 'removed', true]);
    expect(stale).toContainEqual([0n, 0x4_0000n, 'removed', true]);
    expect(tablesOf(made)).toEqual([root]);
    expect(made.memory.snapshot().size).toBe(0);
    expect(freeTables(made.space, ALL)).toEqual({ invalidate: [], allocated: [], detached: [], entries: 0 });
  });

  it('needs every word zero: a software entry or a malformed one keeps a table and those above', () => {
    for (const word of [0x10n, 5n]) {
      const made = pages(0x1000n);
      const lower = tablesOf(made).at(-1) as bigint;
      writeWord(made.memory, phys(lower), 0n);
      writeWord(made.memory, phys(lower + 56n), word);
      expect(freeTables(made.space, ALL).detached).toEqual([]);
    }
  });

  it('keeps tables that reach beyond the range, and those linked from a level to keep', () => {
    const made = pages(0x1000n);
    unmap(made.space, ALL);
    expect(freeTables(made.space, { start: 0n, end: 0x7000n }).detached).toEqual([]);
    expect(freeTables(made.space, { start: 0x1000n, end: 0x8000n }).detached).toEqual([]);
    expect(freeTables(made.space, ALL, { keepLevel: 1 }).detached).toEqual([]);
    expect(freeTables(made.space, ALL, { keepLevel: 2 }).detached.map(({ level }) => level)).toEqual([0]);
    expect(freeTables(made.space, { start: 0n, end: 0x4_0000n }).detached.map(({ level }) => level)).toEqual([1]);
  });

  it('hands a table that is linked twice back once', () => {
    const made = pages(0x1000n);
    const [, upper, lower] = tablesOf(made) as [bigint, bigint, bigint];
    writeWord(made.memory, phys(lower), 0n);
    writeWord(made.memory, phys(upper + 8n), mini.encodeTable(1, lower));
    expect(freeTables(made.space, ALL).detached.map(({ address }) => address)).toEqual([lower, upper]);
  });

  it('leaves a table alone of which nothing is known', () => {
    const made = pages(0x1000n);
    unmap(made.space, ALL);
    writeWord(made.memory, phys(made.root + 8n), mini.encodeTable(2, 0x40n));
    expect(freeTables(made.space, ALL).detached.length).toBe(2);
    expect(readWord(made.memory, phys(made.root + 8n))).not.toBe(0n);
  });

  it('passes over what no root translates', () => {
    const made = pages(0x1000n);
    unmap(made.space, ALL);
    expect(freeTables(made.space, { start: 0n, end: 1n << 64n }).detached.length).toBe(2);
  });

  it('refuses bad ranges and tables that cannot be written, and then has changed nothing', () => {
    const made = pages(0x9000n, 0x1000n, 64);
    unmap(made.space, ALL);
    expect(refused(made, () => freeTables(made.space, { start: 0n, end: 0n }))).toBeInstanceOf(ArgumentError);
    expect(refused(made, () => freeTables(made.space, { start: 0n, end: 0x800n })).rule).toBe('range-align');
    made.memory.protect(BASE, 64);
    expect(refused(made, () => freeTables(made.space, ALL))).toBeInstanceOf(ReadOnlyMemoryError);
  });
});

describe('merge', () => {
  it('makes one leaf of a table whose leaves continue each other, as far up as it goes', () => {
    const made = pages(0x4_0000n);
    const tables = tablesOf(made).slice(1);
    const before = made.frames.live.size;
    const change = merge(made.space, ALL);
    expect(leaves(made.space, ALL)).toMatchObject([{ start: 0n, pa: 0n, level: 2, shape: 'block', fields: LOOK }]);
    expect(change.detached.length).toBe(before);
    expect(new Set(change.detached.map(({ address }) => address))).toEqual(new Set(tables));
    // Every page that may be cached is named.
    const low = change.invalidate.filter(({ level }) => level === 0);
    expect(low.every(({ strideBytes, tables: upper }) => strideBytes === 0x1000n && upper)).toBe(true);
    expect(low.reduce((sum, { start, end }) => sum + end - start, 0n)).toBe(0x4_0000n);
  });

  it('makes runs where a table does not become one leaf', () => {
    const made = pages(0x7000n);
    merge(made.space, ALL);
    expect(leaves(made.space, ALL).map(({ shape }) => shape)).toEqual([
      ...Array.from({ length: 4 }, () => 'page-run'),
      ...Array.from({ length: 3 }, () => 'page'),
    ]);
    expect(mappedRanges(made.space, ALL).map(({ pa }) => pa)).toEqual([0n, 0x4000n]);
    const plain = pages(0x7000n);
    expect(merge(plain.space, ALL, { runs: false }).entries).toBe(0);
    const limited = pages(0x1_0000n);
    merge(limited.space, ALL, { maxLeafBytes: 0x8000n });
    expect(leaves(limited.space, ALL).map(({ shape }) => shape)).toEqual(['block', 'block']);
  });

  it('takes runs and single entries side by side for what they are', () => {
    const made = pages(0x8000n);
    merge(made.space, { start: 0n, end: 0x4000n });
    expect(new Set(leaves(made.space, ALL).map(({ shape }) => shape))).toEqual(new Set(['page-run', 'page']));
    merge(made.space, ALL);
    expect(leaves(made.space, ALL)).toMatchObject([{ shape: 'block', pa: 0n }]);
  });

  it('leaves what differs: attributes, addresses, alignment, holes, malformed and software entries', () => {
    const spoil: ((word: bigint, slot: bigint) => bigint)[] = [
      (word) => word | (1n << 11n),
      (word) => word ^ (1n << 20n),
      () => 0n,
      () => 0x10n,
      (word) => word | (1n << 63n),
    ];
    for (const change of spoil) {
      const made = pages(0x4000n, 0x1000n);
      const slot = phys((tablesOf(made).at(-1) as bigint) + 24n);
      writeWord(made.memory, slot, change(readWord(made.memory, slot), slot));
      const words = made.memory.snapshot();
      expect(merge(made.space, ALL).entries).toBe(0);
      expect(made.memory.snapshot()).toEqual(words);
    }
    const shifted = bed(MINI);
    const request = { va: 0n, pa: 0x1000n, bytes: 0x8000n, attributes: LOOK, allocator: shifted.frames };
    map(shifted.space, request);
    expect(merge(shifted.space, ALL).entries).toBe(0);
  });

  it('touches nothing that the range does not wholly cover', () => {
    const made = pages(0x1_0000n);
    expect(merge(made.space, { start: 0x1000n, end: 0x4000n }).entries).toBe(0);
    merge(made.space, { start: 0x1000n, end: 0x1_0000n });
    expect(leaves(made.space, ALL).map(({ start, shape }) => [start, shape])).toEqual([
      [0n, 'page'],
      [0x1000n, 'page'],
      [0x2000n, 'page'],
      [0x3000n, 'page'],
      ...[0x4000n, 0x5000n, 0x6000n, 0x7000n].map((va) => [va, 'page-run']),
      [0x8000n, 'block'],
    ]);
    // A range that begins inside a leaf joins nothing with what lies before it.
    const blocks = pages(0x1_0000n, 0x8000n);
    expect(merge(blocks.space, { start: 0x1000n, end: 0x1_0000n }).entries).toBe(0);
  });

  it('puts what the pointer did to its leaves into the larger leaf', () => {
    const made = bed(MINI);
    const request = { va: 0n, pa: 0n, bytes: 0x8000n, maxLeafBytes: 0x1000n, allocator: made.frames };
    const attributes = { a: 1, w: 1, u: 1 };
    map(made.space, {
      ...request,
      attributes,
      tableAttributes: (level) => (level === 1 ? { tnx: 1, nowrite: 1 } : { tu: 1 }),
    });
    const before = translate(made.space, 0x3000n);
    expect(before).toMatchObject({ fields: { nx: 1, w: 0, u: 0 } });
    merge(made.space, ALL);
    const after = translate(made.space, 0x3000n);
    expect(after).toMatchObject({ shape: 'block', pa: 0x3000n, fields: { nx: 1, w: 0, u: 0, a: 1 } });
  });

  it('moves bits to where the larger leaf has them', () => {
    const made = bed(ANDED);
    const look = { rw: 1, us: 1, pat: 1, a: 1, xd: 1 };
    const request = { va: 0n, pa: 0x20_0000n, bytes: 0x20_0000n, attributes: look, maxLeafBytes: 0x1000n };
    map(made.space, { ...request, allocator: made.frames });
    merge(made.space, { start: 0n, end: 1n << 30n });
    expect(translate(made.space, 0x12_3456n)).toMatchObject({ shape: 'large', pa: 0x32_3456n, fields: look });
    const short = bed(SHORT);
    const small = { ap: 3, tex: 7, xn: 1, cb: 2 };
    map(short.space, {
      va: 0n,
      pa: 0n,
      bytes: 0x10_0000n,
      attributes: small,
      maxLeafBytes: 0x1000n,
      tableAttributes: { domain: 4 },
      allocator: short.frames,
    });
    merge(short.space, { start: 0n, end: 0x8_0000n });
    expect(translate(short.space, 0x7_ffffn)).toMatchObject({ shape: 'large', fields: small });
    merge(short.space, { start: 0n, end: 1n << 32n });
    expect(translate(short.space, 0xf_ffffn)).toMatchObject({ shape: 'section', fields: { ...small, domain: 4 } });
  });

  it('stays away from leaves that cannot say it, or cannot hold the address', () => {
    const made = bed(SHORT);
    const sections = { va: 0n, pa: 0n, bytes: 0x100_0000n, maxLeafBytes: 0x10_0000n };
    map(made.space, { ...sections, attributes: { ap: 1, domain: 3 } });
    expect(merge(made.space, { start: 0n, end: 1n << 32n }).entries).toBe(0);
  });

  it('leaves tables alone of which nothing is known, and passes over what no root translates', () => {
    const made = pages(0x8000n);
    writeWord(made.memory, phys(made.root + 8n), mini.encodeTable(2, 0x40n));
    expect(merge(made.space, { start: 0n, end: 1n << 64n }).detached.length).toBe(1);
  });

  it('refuses bad ranges and tables that cannot be written, and then has changed nothing', () => {
    const made = pages(0x1_0000n, 0x1000n, 64);
    expect(refused(made, () => merge(made.space, { start: 1n, end: 0x1000n }))).toBeInstanceOf(ArgumentError);
    made.memory.protect(tablesOf(made).at(-1) as bigint, 64);
    expect(refused(made, () => merge(made.space, ALL))).toBeInstanceOf(ReadOnlyMemoryError);
  });
});
