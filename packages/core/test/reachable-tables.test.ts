import { describe, expect, it } from 'vitest';
import { BumpAllocator, createSpace, map, phys, reachableTables, SparseMemory, writeWord } from '../src/index.ts';
import { toyPaging } from './toy-format.ts';

describe('tables that roots reach', () => {
  it('lists each once, with all roots that reach it, parents before children', () => {
    const paging = toyPaging(3);
    const memory = new SparseMemory();
    const one = { paging, address: 0x1000n, label: 'one' };
    const two = { paging, address: 0x2000n, label: 'two' };
    const allocator = new BumpAllocator(0x1_0000n, 0x2_0000n);
    map(createSpace(memory, one), { va: 0x4000_0000n, pa: 0x5000n, bytes: 0x1000n, attributes: 0n, allocator });
    writeWord(memory, phys(0x2000n + 8n * 3n), paging.encodeTable(2, 0x1_0000n));
    expect(reachableTables(memory, [one, two])).toEqual([
      { address: 0x1000n, level: 2, va: 0n, bytes: 4096, roots: ['one'] },
      { address: 0x1_0000n, level: 1, va: 0x4000_0000n, bytes: 4096, roots: ['one', 'two'] },
      { address: 0x1_1000n, level: 0, va: 0x4000_0000n, bytes: 4096, roots: ['one', 'two'] },
      { address: 0x2000n, level: 2, va: 0n, bytes: 4096, roots: ['two'] },
    ]);
  });

  it('looks through a table that many entries share a single time', () => {
    const paging = toyPaging(5);
    const memory = new SparseMemory();
    for (let level = 4; level > 0; level--) {
      const table = BigInt(5 - level) * 0x1000n;
      for (let i = 0n; i < 512n; i++)
        writeWord(memory, phys(table + i * 8n), paging.encodeTable(level, table + 0x1000n));
    }
    const found = reachableTables(memory, [{ paging, address: 0x1000n }]);
    expect(found.map(({ level }) => level)).toEqual([4, 3, 2, 1, 0]);
  });

  it('lists a table outside memory and goes on', () => {
    const paging = toyPaging(3);
    const memory = new SparseMemory([{ start: 0x1000n, end: 0x2000n }]);
    writeWord(memory, phys(0x1000n), paging.encodeTable(2, 0x9000n));
    const found = reachableTables(memory, [{ paging, address: 0x1000n }]);
    expect(found.map(({ address }) => address)).toEqual([0x1000n, 0x9000n]);
  });
});
