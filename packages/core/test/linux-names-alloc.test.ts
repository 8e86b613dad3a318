import { describe, expect, it } from 'vitest';
import { type PhysAddr, phys, virt } from '../src/address.ts';
import type { TableAllocator } from '../src/allocator.ts';
import { BumpAllocator, FreeListAllocator, RecordingAllocator } from '../src/allocators.ts';
import { AttributeError, MemoryError, OutOfTablesError } from '../src/errors.ts';
import { createNames, type LinuxNames } from '../src/linux-names.ts';
import { readWord, SparseMemory, writeWord } from '../src/memory.ts';
import { allocPath, ROOT, tree } from './name-tree.ts';
import { longPaging, reindex16kPaging, toyPaging, toyTable } from './toy-format.ts';

describe('storing', () => {
  it('carries the attributes of table pointers', () => {
    const { names } = tree(longPaging, { tableAttributes: { pud: 0x40_0000_0000_0000n << 4n } });
    const slot = names.pud.offset(names.p4d.offset(names.pgd.offset(ROOT, 0n), 0n), 0n);
    names.pud.populate(slot, phys(0x7000n));
    expect(slot.load()).toBe(toyTable(0x7000n) | (0x40_0000_0000_0000n << 4n));
    names.pud.populate(slot, phys(0x8000n), 0n);
    expect(slot.load()).toBe(toyTable(0x8000n));
  });

  it('changes nothing when it is refused', () => {
    const { names } = tree(toyPaging(3));
    const { pmd, pte } = allocPath(names, ROOT, 0n);
    const before = pmd.load();
    expect(() => names.pmd.populate(pmd, phys(0x7010n))).toThrow(AttributeError);
    expect(() => names.pmd.populate(pmd, phys(1n << 56n))).toThrow(AttributeError);
    expect(() => names.pmd.set(pmd, 1n << 64n)).toThrow(MemoryError);
    expect(() => names.pte.populate(pte, phys(0x7000n))).toThrow(/no-table-below/);
    expect([pmd.load(), pte.load()]).toEqual([before, 0n]);
  });
});

describe('allocation', () => {
  const pmdSlot = (names: LinuxNames) =>
    names.pmd.offset(names.pud.offset(names.p4d.offset(names.pgd.offset(ROOT, 0n), 0n), 0n), 0n);

  it('asks for what the level needs', () => {
    const asked: unknown[] = [];
    const allocator: TableAllocator = {
      allocate: (request) => {
        asked.push(request);
        return phys(0x100_0000n + BigInt(asked.length) * 0x1_0000n);
      },
      free: () => undefined,
    };
    const { names } = tree(reindex16kPaging, { allocator });
    allocPath(names, ROOT, 0x7123_4567_8000n);
    expect(names.pgd.allocOne(0n)).toBe(0x103_0000n);
    expect(asked).toEqual([
      { level: 1, va: 0x7120_0000_0000n, bytes: 16384, alignBytes: 16384 },
      { level: 0, va: 0x7123_4400_0000n, bytes: 16384, alignBytes: 16384 },
      { level: 2, va: 0n, bytes: 16384, alignBytes: 16384 },
    ]);
  });

  it('gives the table back if someone else was faster', () => {
    // An allocator that maps things itself, as one behind a fixmap may.
    const other = toyTable(0x70_0000n);
    let race: (() => void) | undefined;
    const inner = new FreeListAllocator(new BumpAllocator(0x100_0000n, 0x200_0000n));
    const allocator: TableAllocator = {
      allocate: (request) => {
        race?.();
        return inner.allocate(request);
      },
      free: (table, request) => inner.free(table, request),
    };
    const { memory, names } = tree(toyPaging(2), { allocator });
    race = () => writeWord(memory, ROOT, other);
    const pte = names.pte.alloc(pmdSlot(names), 0x3000n);
    expect(pte.address).toBe(0x70_0000n + 24n);
    expect(readWord(memory, ROOT)).toBe(other);
    expect(inner.available(4096)).toEqual([0x100_0000n]);
  });

  it('leaves the tree as it was when it fails', () => {
    const misaligned = new RecordingAllocator({ allocate: () => phys(0x100_0800n), free: () => undefined });
    const outside = new RecordingAllocator({ allocate: () => phys(0x8000_0000n), free: () => undefined });
    const empty = new FreeListAllocator();
    for (const [allocator, error] of [
      [misaligned, AttributeError],
      [outside, MemoryError],
      [empty, OutOfTablesError],
    ] as const) {
      const { memory, names } = tree(toyPaging(2), { allocator });
      expect(() => names.pte.alloc(pmdSlot(names), 0n)).toThrow(error);
      expect(readWord(memory, ROOT)).toBe(0n);
    }
    for (const { events } of [misaligned, outside]) expect(events.map(({ op }) => op)).toEqual(['allocate', 'free']);
    const none = createNames(new SparseMemory(), toyPaging(2));
    expect(() => none.pte.alloc(pmdSlot(none), 0n)).toThrow(/no-allocator/);
    none.pte.freeOne(phys(0x1000n));
  });

  it('does not replace a leaf or a foreign word', () => {
    const { memory, names } = tree(toyPaging(2));
    for (const word of [0x20_0001n, 0x20_0002n]) {
      writeWord(memory, ROOT, word);
      expect(() => names.pte.alloc(pmdSlot(names), 0n)).toThrow(/not-a-table/);
      expect(readWord(memory, ROOT)).toBe(word);
    }
  });

  it('of a root is a table like others', () => {
    const { names, allocator } = tree(toyPaging(4));
    const root = names.pgd.allocOne(0n) as PhysAddr;
    expect(names.pgd.alloc(root, virt(-1n)).address).toBe(root + 511n * 8n);
    names.pgd.freeOne(root);
    expect(allocator.events.map(({ op, level }) => [op, level])).toEqual([
      ['allocate', 3],
      ['free', 3],
    ]);
  });
});
