/** Edits of ranges whose tables are linked many times: the outcome is that of changing every leaf, in far less time. */
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import type { Change } from '../src/change.ts';
import { protect, unmap } from '../src/edit.ts';
import { SparseMemory, writeWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { type AddressSpace, createSpace } from '../src/space.ts';
import { translate } from '../src/walk.ts';
import { mini } from './formats.ts';
import { andedFormat, andedGeometry } from './formats-anded.ts';
import { numbers } from './random-tables.ts';

const PAGE = 0x1000n;

/** Three levels of eight entries: a root, and tables that are linked at random. */
function randomSpace(seed: number): AddressSpace {
  const random = numbers(seed);
  const memory = new SparseMemory([{ start: 0n, end: 0x1_0000n }]);
  const upper = [0x2000n, 0x2040n, 0x2080n];
  const lower = [0x3000n, 0x3040n, 0x3080n, 0x30c0n];
  const pick = (list: readonly bigint[]): bigint => list[random(list.length)] as bigint;
  for (let i = 0n; i < 8n; i++) {
    if (random(5) > 0) writeWord(memory, phys(PAGE + i * 8n), mini.encodeTable(2, pick(upper)));
    for (const table of upper) {
      const kind = random(6);
      const leaf = mini.encodeLeaf(1, 0x4_0000n, { a: 1, w: random(2) }, 'block');
      if (kind > 0) writeWord(memory, phys(table + i * 8n), kind === 1 ? leaf : mini.encodeTable(1, pick(lower)));
    }
    for (const table of lower) {
      const leaf = mini.encodeLeaf(0, BigInt(random(64)) * PAGE, { a: 1, w: random(2) }, 'page');
      if (random(4) > 0) writeWord(memory, phys(table + i * 8n), leaf);
    }
  }
  return createSpace(memory, { paging: mini, address: PAGE });
}

/** Every page of the lower half and what it is mapped to, with its `w`. */
function pages(space: AddressSpace): (string | undefined)[] {
  return Array.from({ length: 256 }, (_, i) => {
    const found = translate(space, BigInt(i) * PAGE);
    return found.mapped ? `${found.pa} ${found.fields.w}` : undefined;
  });
}

/** Page by page, each in a call of its own: what is changed already is passed over. */
function slowly(start: bigint, end: bigint, one: (range: { start: bigint; end: bigint }) => void) {
  for (let va = start; va < end; va += PAGE) one({ start: va, end: va + PAGE });
}

const covers = ({ invalidate }: Change, va: bigint): boolean =>
  invalidate.some((one) => va >= one.start && va < one.end);

describe('edits through tables that are linked many times', () => {
  it('change what page after page would, and name every address that was mapped', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = numbers(seed + 1000);
      // Whole blocks: a page of one could not be changed alone.
      const start = BigInt(random(16)) * 8n * PAGE;
      const end = start + BigInt(1 + random(16)) * 8n * PAGE;
      const [fast, slow] = [randomSpace(seed), randomSpace(seed)];
      const before = pages(fast);
      const removing = random(2) === 0;
      const change = removing
        ? unmap(fast, { start, end })
        : protect(fast, { start, end }, { fields: { w: 1 } }, { holes: 'skip' });
      slowly(start, end, (range) => {
        if (removing) unmap(slow, range, { partial: 'whole' });
        else protect(slow, range, { fields: { w: 1 } }, { partial: 'whole', holes: 'skip' });
      });
      expect(pages(fast)).toEqual(pages(slow));
      const after = pages(fast);
      for (let i = 0; i < 256; i++) {
        const va = BigInt(i) * PAGE;
        if (va >= start && va < end && before[i] !== after[i])
          expect([seed, i, covers(change, va)]).toEqual([seed, i, true]);
      }
    }
  });

  it('take no longer for terabytes', () => {
    // A shadow of 64 TiB that is one page: one table at each level, every entry the same.
    const paging = createPaging(andedFormat, andedGeometry(4), { features: ['nx'] });
    const memory = new SparseMemory([{ start: 0n, end: 0x1_0000n }]);
    const space = createSpace(memory, { paging, address: PAGE });
    for (let i = 0n; i < 512n; i++) {
      if (i < 128n) writeWord(memory, phys(PAGE + i * 8n), paging.encodeTable(3, 0x2000n));
      writeWord(memory, phys(0x2000n + i * 8n), paging.encodeTable(2, 0x3000n));
      writeWord(memory, phys(0x3000n + i * 8n), paging.encodeTable(1, 0x4000n));
      writeWord(memory, phys(0x4000n + i * 8n), paging.encodeLeaf(0, 0x5000n, { rw: 1, a: 1 }));
    }
    const range = { start: 0n, end: 64n << 40n };
    const protectedNow = protect(space, range, { fields: { rw: 0 } });
    expect(protectedNow).toMatchObject({ entries: 512, invalidate: [{ ...range, cause: 'changed', level: 0 }] });
    expect(translate(space, (63n << 40n) + 5n)).toMatchObject({ mapped: true, pa: 0x5005n, fields: { rw: 0 } });
    const removed = unmap(space, range);
    expect(removed).toMatchObject({ entries: 512, invalidate: [{ ...range, cause: 'removed', level: 0 }] });
    expect(unmap(space, range)).toMatchObject({ entries: 0, invalidate: [] });
  });
});
