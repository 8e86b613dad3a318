/** The walk behind a dump: what is noted, in which order, and what of shared tables. */
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { BumpAllocator } from '../src/allocators.ts';
import { map } from '../src/map.ts';
import { SparseMemory, writeWord } from '../src/memory.ts';
import { type NoteEntriesOptions, noteEntries } from '../src/note-entries.ts';
import { createSpace } from '../src/space.ts';
import { toyPaging } from './toy-format.ts';

const paging = toyPaging(3);
const ROOT = 0x10_0000n;
/** Where the upper half begins: a dump is of a root's last range. */
const BASE = 0xffff_ffc0_0000_0000n;
const memory = new SparseMemory();
const space = createSpace(memory, { paging, address: ROOT });
const allocator = new BumpAllocator(ROOT + 0x1000n, ROOT + 0x10_0000n);
const [upper, pages] = map(space, {
  va: BASE,
  pa: 0x8000_0000n,
  bytes: 0x2000n,
  attributes: 0n,
  allocator,
}).allocated.map(({ address }) => address);
// A word that is not present but not zero either: what a kernel keeps of a page that it took away.
writeWord(memory, phys((pages as bigint) + 16n), 0x50n);

function noted(options: NoteEntriesOptions = {}): string[] {
  const lines: string[] = [];
  noteEntries(memory, { paging, address: ROOT }, options, (at, level, word) => {
    const va = at - BASE;
    if (va < 0x4000n || level > 0) lines.push([va, BigInt(level), word].map((each) => each.toString(16)).join(' '));
  });
  return lines;
}

describe('noting entries', () => {
  it('tells of leaves and of words that map nothing, as they stand', () => {
    const first = paging.encodeLeaf(0, 0x8000_0000n, 0n).toString(16);
    const second = paging.encodeLeaf(0, 0x8000_1000n, 0n).toString(16);
    expect(noted().slice(0, 5)).toEqual([`0 0 ${first}`, `1000 0 ${second}`, '2000 0 50', '3000 0 0', '200000 1 0']);
    expect(noted({ start: BASE + 0x20_0000n })[0]).toBe('200000 1 0');
  });

  it('notes a shared table once, as its page of entries says, and does not look into it', () => {
    const entry = paging.encodeLeaf(0, 0x8000_0000n, 0n).toString(16);
    expect(noted({ sharedPtes: phys(pages as bigint) }).slice(0, 2)).toEqual([`0 0 ${entry}`, '200000 1 0']);
    const sharedTables = new Set([upper as bigint]);
    expect(noted({ sharedTables })[0]).toBe('0 0 0');
    expect(noted({ sharedTables, sharedPtes: phys(pages as bigint) })[0]).toBe(`0 0 ${entry}`);
  });
});
