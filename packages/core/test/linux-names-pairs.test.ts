import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { BumpAllocator, RecordingAllocator } from '../src/allocators.ts';
import { createNames, type NamesOptions } from '../src/linux-names.ts';
import { readWord, SparseMemory, writeWord } from '../src/memory.ts';
import { shortPaging } from './toy-format.ts';

const ROOT = phys(0x4000n);
const TABLES = 0x10_0000n;

/** Two hardware entries under one name, and software entries beside the hardware's. */
function tree(options: NamesOptions = {}) {
  const memory = new SparseMemory([{ start: 0n, end: 0x1000_0000n }]);
  const allocator = new RecordingAllocator(new BumpAllocator(TABLES, 0x1000_0000n));
  const names = createNames(memory, shortPaging, { allocator, ...options });
  const word = (address: bigint) => readWord(memory, phys(address), 4);
  const pmdOf = (va: bigint) =>
    names.pmd.offset(names.pud.offset(names.p4d.offset(names.pgd.offset(ROOT, va), va), va), va);
  return { memory, allocator, names, word, pmdOf };
}

describe('pairs of hardware entries', () => {
  it('make one entry of 8 bytes and 2 MiB, in a root of 2048', () => {
    const { names } = tree();
    expect([names.pgd.entries, names.pgd.slotBytes, names.pgd.shift, names.pmd.size]).toEqual([
      2048,
      8,
      21,
      0x20_0000n,
    ]);
    expect([names.pte.entries, names.pte.slotBytes, names.pte.shift]).toEqual([512, 4, 12]);
    expect(names.pgd.offset(ROOT, 0xffff_ffffn).address).toBe(ROOT + 2047n * 8n);
    expect(names.pgd.next(names.pgd.offset(ROOT, 0n)).address).toBe(ROOT + 8n);
  });

  it('point to both hardware tables of a page whose first half is the software table', () => {
    const { names, word, pmdOf } = tree({ tableAttributes: { pmd: { domain: 5 } } });
    const pmd = pmdOf(0xc030_1000n);
    names.pmd.populate(pmd, phys(0x7000n));
    expect([word(pmd.address), word(pmd.address + 4n)]).toEqual([0x7800n | 0xa1n, 0x7c00n | 0xa1n]);
    expect(names.pmd.tableAddress(pmd.load())).toBe(0x7000n);
    expect(names.pgd.tableAddress(pmd.load())).toBe(0x7000n);
    expect(names.pte.offset(pmd, 0xc030_1000n).address).toBe(0x7000n + 0x101n * 4n);
    names.pmd.clear(pmd);
    expect([word(pmd.address), word(pmd.address + 4n)]).toEqual([0n, 0n]);
  });

  it('are judged by the first word alone', () => {
    const { memory, names, pmdOf } = tree();
    const pmd = pmdOf(0n);
    writeWord(memory, phys(pmd.address + 4n), 0x10_0002n, 4);
    expect(names.pmd.none(pmd.load())).toBe(true);
    names.pmd.set(pmd, 0x20_0002n);
    expect(names.pmd.leaf(pmd.load())).toBe(true);
    expect(readWord(memory, phys(pmd.address + 4n), 4)).toBe(0x10_0002n);
  });

  it('get a page from the allocator, zeroed as a whole', () => {
    const { memory, allocator, names, word, pmdOf } = tree();
    for (let at = TABLES; at < TABLES + 0x2000n; at += 4n) writeWord(memory, phys(at), 0xdead_beefn, 4);
    const pte = names.pte.alloc(pmdOf(0x8040_5000n), 0x8040_5000n);
    expect(allocator.events).toEqual([{ op: 'allocate', address: TABLES, level: 0, va: 0x8040_0000n }]);
    expect(pte.address).toBe(TABLES + 5n * 4n);
    for (let at = TABLES; at < TABLES + 0x1000n; at += 4n) expect(word(at)).toBe(0n);
    expect(word(TABLES + 0x1000n)).toBe(0xdead_beefn);
  });

  it('keep a software entry and its hardware twin in step', () => {
    const { names, word, pmdOf } = tree({ toHardware: (software, extra) => (software & ~0xfffn) | 2n | extra });
    const pte = names.pte.alloc(pmdOf(0x30_1000n), 0x30_1000n);
    names.pte.set(pte, 0xabcd_e043n, 0x800n);
    expect([word(pte.address), word(pte.address + 2048n)]).toEqual([0xabcd_e043n, 0xabcd_e802n]);
    expect(pte.load()).toBe(0xabcd_e043n);
    names.pte.clear(pte);
    expect([word(pte.address), word(pte.address + 2048n)]).toEqual([0n, 0n]);
  });

  it('leave the twin alone without a rule for it', () => {
    const { memory, names, word, pmdOf } = tree();
    const pte = names.pte.alloc(pmdOf(0n), 0n);
    writeWord(memory, phys(pte.address + 2048n), 0x1234n, 4);
    names.pte.set(pte, 0xabcd_e043n);
    expect([word(pte.address), word(pte.address + 2048n)]).toEqual([0xabcd_e043n, 0x1234n]);
  });

  it('change nothing when the hardware word cannot be made', () => {
    const { names, word, pmdOf } = tree({
      toHardware: () => {
        throw new RangeError('no such memory type');
      },
    });
    const pte = names.pte.alloc(pmdOf(0n), 0n);
    expect(() => names.pte.set(pte, 0xabcd_e043n)).toThrow(RangeError);
    expect(word(pte.address)).toBe(0n);
  });

  it('map what a walk by the hardware finds', () => {
    const pages = fc.array(fc.bigInt(0n, 0xf_ffffn), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(pages, (list) => {
        const { names, word, pmdOf } = tree({ toHardware: (software) => software ^ 0x42n });
        for (const page of list) names.pte.set(names.pte.alloc(pmdOf(page << 12n), page << 12n), (page << 12n) | 0x40n);
        for (const page of list) {
          const upper = word(ROOT + (page >> 8n) * 4n);
          expect(upper & 3n).toBe(1n);
          expect(word((upper & ~0x3ffn) + (page & 0xffn) * 4n)).toBe((page << 12n) | 2n);
        }
      }),
      { numRuns: 50 },
    );
  });
});
