import { describe, expect, it } from 'vitest';
import { phys, TWO_64 } from '../src/address.ts';
import { protect, unmap } from '../src/edit.ts';
import { NotMappedError, PartialLeafError } from '../src/errors.ts';
import { leaves, mappedRanges } from '../src/leaves.ts';
import { map } from '../src/map.ts';
import { readWord, writeWord } from '../src/memory.ts';
import { translate } from '../src/walk.ts';
import { mini, named, SUBJECTS } from './formats.ts';
import { ALL, LOOK, MINI, mapped, tablesOf } from './mini-bed.ts';
import { type Bed, bed, refused } from './model.ts';

const NAPOT = named('runs with a pattern');

/** What is mapped, shortly: start, shape, and one field. */
function seen({ space }: Bed, field = 'w'): [bigint, string, number | undefined][] {
  return leaves(space, ALL).map(({ start, shape, fields }) => [start, shape, fields[field]]);
}

describe('unmap', () => {
  it('clears leaves of every size and leaves the tables', () => {
    const made = mapped(0x7000n, 0x8_0000n);
    const tables = tablesOf(made);
    const change = unmap(made.space, { start: 0x7000n, end: 0x8_7000n });
    expect(leaves(made.space, ALL)).toEqual([]);
    expect(tablesOf(made)).toEqual(tables);
    expect(change.allocated).toEqual([]);
    expect(change.detached).toEqual([]);
    expect(change.invalidate.map(({ start, end, level, cause, tables: t }) => [start, end, level, cause, t])).toEqual([
      [0x7000n, 0x8000n, 0, 'removed', false],
      [0x8000n, 0x4_0000n, 1, 'removed', false],
      [0x4_0000n, 0x8_0000n, 2, 'removed', false],
      [0x8_0000n, 0x8_7000n, 0, 'removed', false],
    ]);
  });

  it('splits at both edges, in one leaf or in two, and gives every page that stays what it had', () => {
    for (const { start, end } of [
      { start: 0x4_1000n, end: 0x4_2000n },
      { start: 0x4_9000n, end: 0x7_f000n },
      { start: 0x4_8000n, end: 0x5_0000n },
      { start: 0x1000n, end: 0xf_f000n },
    ]) {
      const made = mapped(0n, 0x10_0000n);
      const change = unmap(made.space, { start, end }, { allocator: made.frames });
      expect(change.allocated.length).toBe(made.frames.live.size);
      for (let va = 0n; va < 0x10_0000n; va += 0x1000n) {
        const found = translate(made.space, va);
        if (va >= start && va < end) expect(found.mapped).toBe(false);
        else expect(found).toMatchObject({ mapped: true, pa: va, fields: { w: 1, a: 1, u: 0 } });
      }
    }
  });

  it('takes whole leaves and runs if asked, but nothing that only stands among the entries of a run', () => {
    const made = mapped(0n, 0x8000n, { maxLeafBytes: 0x4000n });
    const lower = tablesOf(made).at(-1) as bigint;
    // A page of another kind, and an empty entry, where entries of the first run were.
    writeWord(made.memory, phys(lower + 8n), mini.encodeLeaf(0, 0x9000n, { a: 1, soft: 7 }));
    writeWord(made.memory, phys(lower + 24n), 0n);
    const change = unmap(made.space, { start: 0x2000n, end: 0x3000n }, { partial: 'whole' });
    expect(seen(made, 'soft')).toEqual([
      [0x1000n, 'page', 7],
      ...[0x4000n, 0x5000n, 0x6000n, 0x7000n].map((va) => [va, 'page-run', 0]),
    ]);
    expect(change.invalidate.map(({ start, end }) => [start, end])).toEqual([
      [0n, 0x1000n],
      [0x2000n, 0x3000n],
    ]);
    expect(change.entries).toBe(2);
  });

  it('widens to whole leaves at both edges', () => {
    const made = mapped(0n, 0x10_0000n);
    unmap(made.space, { start: 0x4_1000n, end: 0x8_1000n }, { partial: 'whole', holes: 'refuse' });
    expect(mappedRanges(made.space, ALL).map(({ start, end }) => [start, end])).toEqual([
      [0n, 0x4_0000n],
      [0xc_0000n, 0x10_0000n],
    ]);
    expect(made.frames.requests).toEqual([]);
  });

  it('leaves software entries where they are and counts them as holes', () => {
    const made = mapped(0n, 0x1000n);
    const lower = tablesOf(made).at(-1) as bigint;
    writeWord(made.memory, phys(lower + 8n), 0xff0n);
    unmap(made.space, { start: 0n, end: 0x2000n });
    expect(readWord(made.memory, phys(lower + 8n))).toBe(0xff0n);
    expect(readWord(made.memory, phys(lower))).toBe(0n);
    const error = refused(made, () => unmap(made.space, { start: 0x1000n, end: 0x2000n }, { holes: 'refuse' }));
    expect(error).toBeInstanceOf(NotMappedError);
  });

  it('does both halves and the end of the address space', () => {
    const made = mapped(TWO_64 - 0x4_0000n, 0x4_0000n, { pa: 0n });
    unmap(made.space, { start: TWO_64 - 0x1000n, end: TWO_64 }, { allocator: made.frames });
    expect(translate(made.space, TWO_64 - 1n).mapped).toBe(false);
    expect(translate(made.space, TWO_64 - 0x1001n)).toMatchObject({ mapped: true, pa: 0x3_efffn });
  });

  it('looks at nothing beyond its end, not even at tables that are not there', () => {
    const made = bed(MINI);
    map(made.space, { va: 0xc_0000n, pa: 0n, bytes: 0x4_0000n, attributes: LOOK });
    // The upper half begins where the lower ends in the root.
    writeWord(made.memory, phys(made.root + 32n), mini.encodeTable(2, 0x40n));
    expect(unmap(made.space, { start: 0xc_0000n, end: 0x10_0000n }).entries).toBe(1);
  });

  it('needs nothing of a run that merely begins where the range ends', () => {
    const made = bed(NAPOT);
    const { paging } = NAPOT;
    const table = made.frames.allocate({ level: 1, va: 0n as never, bytes: 4096, alignBytes: 4096 });
    const lower = made.frames.allocate({ level: 0, va: 0n as never, bytes: 4096, alignBytes: 4096 });
    writeWord(made.memory, phys(made.root), paging.encodeTable(2, table));
    writeWord(made.memory, phys(table), paging.encodeTable(1, lower));
    map(made.space, { va: 0n, pa: 0x10_0000n, bytes: 0x2_0000n, attributes: { r: 1 } });
    const before = readWord(made.memory, phys(lower + 16n * 8n));
    unmap(made.space, { start: 0n, end: 0x1_0000n });
    expect(readWord(made.memory, phys(lower + 16n * 8n))).toBe(before);
  });
});

describe('runs fall apart', () => {
  it('entry by entry: each keeps its own address and bits, and gets what hardware wrote for all', () => {
    const made = mapped(0n, 0x4000n);
    const lower = tablesOf(made).at(-1) as bigint;
    // Hardware set d in one entry only; another leads elsewhere altogether.
    writeWord(made.memory, phys(lower), readWord(made.memory, phys(lower)) | (1n << 11n));
    const other = mini.encodeLeaf(0, 0x8_0000n, { a: 1, soft: 3 }, 'page-run');
    writeWord(made.memory, phys(lower + 16n), other);
    const before = [0n, 0x2000n].map((va) => translate(made.space, va));
    unmap(made.space, { start: 0x1000n, end: 0x2000n });
    expect(before).toMatchObject([{ pa: 0n }, { pa: 0x8_2000n }]);
    expect(
      leaves(made.space, ALL).map(({ start, pa, shape, fields }) => [start, pa, shape, fields.d, fields.soft]),
    ).toEqual([
      [0n, 0n, 'page', 1, 0],
      [0x2000n, 0x8_2000n, 'page', 1, 3],
      [0x3000n, 0x3000n, 'page', 1, 0],
    ]);
  });

  it('with addresses of their own, which need not continue each other', () => {
    const made = mapped(0n, 0x1_0000n);
    const upper = tablesOf(made).at(-1) as bigint;
    writeWord(made.memory, phys(upper + 8n), mini.encodeLeaf(1, 0x18_0000n, { a: 1, soft: 2 }, 'block-pair'));
    unmap(made.space, { start: 0n, end: 0x8000n });
    expect(leaves(made.space, ALL).map(({ pa, shape, fields }) => [pa, shape, fields.soft])).toEqual([
      [0x18_0000n, 'block', 2],
    ]);
  });

  it('around malformed entries, which nothing touches', () => {
    const made = mapped(0n, 0x4000n);
    const lower = tablesOf(made).at(-1) as bigint;
    const broken = readWord(made.memory, phys(lower + 16n)) | (1n << 63n);
    writeWord(made.memory, phys(lower + 16n), broken);
    unmap(made.space, { start: 0n, end: 0x1000n });
    expect(readWord(made.memory, phys(lower + 16n))).toBe(broken);
    expect(seen(made).map(([va, shape]) => [va, shape])).toEqual([
      [0x1000n, 'page'],
      [0x3000n, 'page'],
    ]);
  });

  it('down to pages inside one of their entries', () => {
    const made = mapped(0n, 0x1_0000n);
    const change = unmap(made.space, { start: 0x9000n, end: 0xa000n }, { allocator: made.frames });
    expect(change.allocated.map(({ level, va }) => [level, va])).toEqual([[0, 0x8000n]]);
    expect(seen(made).map(([va, shape]) => [va, shape])).toEqual([
      [0n, 'block'],
      [0x8000n, 'page'],
      ...[0xa000n, 0xb000n, 0xc000n, 0xd000n, 0xe000n, 0xf000n].map((va) => [va, 'page']),
    ]);
  });
});

describe('protect', () => {
  it('sets fields and keeps everything else, whatever the leaf', () => {
    for (const subject of SUBJECTS) {
      const made = bed(subject, 64);
      const large = subject.paging.leafChoices.filter(({ leafBytes }) => leafBytes <= 1n << 31n).at(-1);
      const bytes = large?.leafBytes ?? 0n;
      const span = subject.paging.geometry.ranges.at(-1) as { end: number };
      const va = BigInt(span.end) - bytes;
      const [look, other] = subject.looks;
      for (const { leafBytes } of subject.paging.leafChoices.filter((one) => one.leafBytes <= bytes)) {
        if (bytes / leafBytes > 5000n) continue;
        map(made.space, { va, pa: 0n, bytes: leafBytes, attributes: look, allocator: made.frames });
        const before = leaves(made.space, { start: va, end: va + leafBytes });
        const [name, value] = Object.entries(other).find(([key]) => look[key] === undefined) as [string, number];
        const change = protect(made.space, { start: va, end: va + leafBytes }, { fields: { [name]: value } });
        const after = leaves(made.space, { start: va, end: va + leafBytes });
        expect(change.entries).toBe(before.length);
        expect(after.map(({ start, pa, shape }) => [start, pa, shape])).toEqual(
          before.map(({ start, pa, shape }) => [start, pa, shape]),
        );
        for (const { fields } of after) expect(fields).toMatchObject({ ...look, [name]: value });
        unmap(made.space, { start: va, end: va + leafBytes });
      }
    }
  });

  it('sets and clears raw bits; what is in both is set', () => {
    const made = mapped(0n, 0x1000n);
    protect(made.space, { start: 0n, end: 0x1000n }, { set: 0x820n, clear: 0x828n });
    expect(translate(made.space, 0n)).toMatchObject({ fields: { d: 1, nx: 1, w: 0, a: 1 } });
  });

  it('keeps bits that are only address bits under a feature that is off', () => {
    const subject = named('4K, 39 bits, tags');
    const made = bed(subject);
    const attributes = { af: 1, sh: 3, attr: 2 };
    map(made.space, { va: 0n, pa: 0n, bytes: 0x20_0000n, attributes, allocator: made.frames });
    protect(made.space, { start: 0n, end: 0x20_0000n }, { fields: { uxn: 1 } });
    expect(translate(made.space, 0n)).toMatchObject({ shape: 'block', fields: { ...attributes, uxn: 1 } });
    protect(made.space, { start: 0n, end: 0x1000n }, { set: 1n << 53n }, { allocator: made.frames });
    expect(translate(made.space, 0n)).toMatchObject({ shape: 'page', fields: { ...attributes, uxn: 1, pxn: 1 } });
    expect(translate(made.space, 0x1000n)).toMatchObject({ fields: { ...attributes, uxn: 1, pxn: 0 } });
  });

  it('reports only what really changed', () => {
    const made = mapped(0n, 0x8000n, { runs: false, maxLeafBytes: 0x1000n });
    protect(made.space, { start: 0x2000n, end: 0x4000n }, { fields: { w: 0 } });
    const change = protect(made.space, { start: 0n, end: 0x8000n }, { fields: { w: 0 } });
    expect(change.entries).toBe(6);
    expect(change.invalidate.map(({ start, end, cause }) => [start, end, cause])).toEqual([
      [0n, 0x2000n, 'changed'],
      [0x4000n, 0x8000n, 'changed'],
    ]);
  });

  it('makes each change that is asked for, whichever was made before it', () => {
    const made = mapped(0n, 0x2000n, { runs: false, maxLeafBytes: 0x1000n });
    const page = (index: bigint): { start: bigint; end: bigint } => ({
      start: index * 0x1000n,
      end: (index + 1n) * 0x1000n,
    });
    const fields: Record<string, number> = { w: 0, nx: 1 };
    protect(made.space, page(0n), { fields });
    // The caller's own object, altered since.
    fields.nx = 0;
    protect(made.space, page(1n), { fields });
    expect(seen(made, 'nx').map(([, , nx]) => nx)).toEqual([1, 0]);
    delete fields.w;
    protect(made.space, page(1n), { fields: { u: 1, nx: 0 } });
    protect(made.space, page(0n), { fields });
    expect(seen(made, 'nx').map(([, , nx]) => nx)).toEqual([0, 0]);
    expect(seen(made, 'u').map(([, , u]) => u)).toEqual([0, 1]);
    protect(made.space, page(0n), { set: 0x800n });
    protect(made.space, page(1n), { clear: 0x800n });
    expect(seen(made, 'd').map(([, , d]) => d)).toEqual([1, 0]);
  });

  it('changes part of a run: all of it, its pieces, or nothing', () => {
    const range = { start: 0x1000n, end: 0x2000n };
    const whole = mapped(0n, 0x4000n);
    protect(whole.space, range, { fields: { w: 0 } }, { partial: 'whole' });
    expect(seen(whole)).toEqual([0n, 1n, 2n, 3n].map((i) => [i << 12n, 'page-run', 0]));
    const split = mapped(0n, 0x4000n);
    protect(split.space, range, { fields: { w: 0 } });
    expect(seen(split)).toEqual([0n, 1n, 2n, 3n].map((i) => [i << 12n, 'page', i === 1n ? 0 : 1]));
    const error = refused(split, () => protect(mapped(0n, 0x4000n).space, range, { set: 0n }, { partial: 'refuse' }));
    expect(error).toBeInstanceOf(PartialLeafError);
    expect(error.values).toEqual({ leafStart: '0x0', leafEnd: '0x4000', start: '0x1000', end: '0x2000' });
  });

  it('judges what will be there after splitting, not what is there now', () => {
    // `big` exists in blocks, not in pages; the pages that the block becomes cannot have it set or named.
    const made = mapped(0n, 0x8000n, { runs: false });
    const part = { start: 0n, end: 0x1000n };
    const error = refused(made, () => protect(made.space, part, { fields: { big: 1 } }, { allocator: made.frames }));
    expect(error).toMatchObject({ rule: 'attribute-field', values: { field: 'big' } });
    expect(protect(made.space, { start: 0n, end: 0x8000n }, { fields: { big: 1 } }).entries).toBe(0);
    // Bit 20 is `pat` in a block and an address bit in a page; bit 7 the other way round.
    expect(refused(made, () => protect(made.space, part, { set: 1n << 20n }, { allocator: made.frames })).rule).toBe(
      'attribute-address',
    );
    protect(made.space, part, { set: 1n << 7n }, { allocator: made.frames });
    expect(seen(made, 'pat').map(([, , pat]) => pat)).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('judges the pieces of a run, too', () => {
    const made = mapped(0n, 0x4000n);
    // Bit 21 is part of the pattern that makes a run; in a page it is an address bit.
    const change = { fields: { run: 1 } };
    expect(protect(made.space, { start: 0n, end: 0x4000n }, change).entries).toBe(0);
    expect(refused(made, () => protect(made.space, { start: 0n, end: 0x1000n }, change)).rule).toBe('attribute-fixed');
  });
});
