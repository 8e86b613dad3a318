import {
  BumpAllocator,
  createSpace,
  phys,
  RecordingAllocator,
  readWord,
  SparseMemory,
  translate,
  writeWord,
} from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createArmNames,
  decodeSwap,
  encodeSwap,
  hardwarePte,
  hasFlags,
  linuxEntry,
  linuxPaging,
  linuxTypeBits,
  pteAccessPermitted,
  ptePresent,
  pteSame,
  pteValidUser,
  tableProtection,
} from '../src/index.ts';

const ROOT = phys(0x4000n);

function tree(model: 'short' | 'lpae') {
  const memory = new SparseMemory();
  const allocator = new RecordingAllocator(new BumpAllocator(0x10_0000n, 0x1000_0000n));
  const names = createArmNames(model, memory, { allocator });
  const pmdOf = (va: bigint) => {
    const pud = names.pud.offset(names.p4d.offset(names.pgd.offset(ROOT, va), va), va);
    return names.pmd.alloc(pud, va);
  };
  const pteOf = (va: bigint) => names.pte.alloc(pmdOf(va), va);
  const space = createSpace(memory, { paging: linuxPaging(model), address: ROOT });
  return { memory, allocator, names, pmdOf, pteOf, space };
}

describe('the five names over short descriptors', () => {
  it('fold p4d, pud and pmd into a pgd of pairs', () => {
    const { names } = tree('short');
    expect([names.p4d.folded, names.pud.folded, names.pmd.folded, names.pte.folded]).toEqual([true, true, true, false]);
    expect([names.pgd.trivial, names.p4d.trivial, names.pud.trivial, names.pmd.trivial]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    const slot = names.pgd.offset(ROOT, 0xc030_0000n);
    // 2 MiB to an entry of two words: the odd MiB is the second word of the same entry.
    expect(slot.address).toBe(ROOT + 0x601n * 8n);
    expect(names.pmd.offset(names.pud.offset(names.p4d.offset(slot, 0n), 0n), 0n)).toBe(slot);
  });

  it('store Linux’s word and the hardware’s, and the hardware finds what was stored', () => {
    const young =
      linuxEntry('short', { present: 1, young: 1, dirty: 1, shared: 1 }) | linuxTypeBits('short', 'WRITEALLOC');
    fc.assert(
      fc.property(fc.array(fc.bigInt(0n, 0xf_ffffn), { minLength: 1, maxLength: 12 }), (pages) => {
        const { names, pteOf, space, memory } = tree('short');
        for (const page of pages) names.pte.set(pteOf(page << 12n), ((page ^ 0x5_5555n) << 12n) | young);
        for (const page of pages) {
          const found = translate(space, (page << 12n) + 5n);
          expect(found).toMatchObject({ mapped: true, pa: ((page ^ 0x5_5555n) << 12n) + 5n, shape: 'small' });
          const slot = found.mapped ? found.slot : phys(0n);
          expect(readWord(memory, phys(slot - 2048n), 4)).toBe(((page ^ 0x5_5555n) << 12n) | young);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('take the page out of the hardware’s sight when it gets old', () => {
    const { names, pteOf, space } = tree('short');
    const slot = pteOf(0x1000n);
    const word = 0x8000_0000n | linuxEntry('short', { present: 1, young: 1, user: 1 });
    names.pte.set(slot, word, 0x800n);
    expect(translate(space, 0x1000n)).toMatchObject({ mapped: true, fields: { nG: 1 } });
    names.pte.set(slot, word & ~linuxEntry('short', { young: 1 }));
    expect(translate(space, 0x1000n)).toMatchObject({ mapped: false, reason: 'fault_descriptor', hardwareLevel: 2 });
    expect(names.pte.present(slot.load())).toBe(true);
    names.pte.clear(slot);
    expect(names.pte.none(slot.load())).toBe(true);
  });

  it('give one page for two tables, and link both', () => {
    const { names, pteOf, pmdOf, allocator, memory } = tree('short');
    pteOf(0x10_0000n);
    pteOf(0x0n);
    expect(allocator.events).toMatchObject([{ op: 'allocate', level: 0, va: 0n }]);
    const pmd = pmdOf(0n);
    expect([readWord(memory, pmd.address, 4), readWord(memory, phys(pmd.address + 4n), 4)]).toEqual([
      0x10_0811n,
      0x10_0c11n,
    ]);
    expect(names.pmd.tableAddress(pmd.load())).toBe(0x10_0000n);
  });

  it('clear a bad pmd, which a section is', () => {
    const { names, memory } = tree('short');
    writeWord(memory, ROOT, 0x1140en, 4);
    writeWord(memory, phys(ROOT + 4n), 0x11140en, 4);
    const pgd = names.pgd.offset(ROOT, 0n);
    expect(names.pgd.noneOrClearBad(pgd)).toBe(false);
    expect(names.pmd.noneOrClearBad(pgd as never)).toBe(true);
    expect(readWord(memory, phys(ROOT + 4n), 4)).toBe(0n);
  });
});

describe('the five names over long descriptors', () => {
  it('fold p4d and pud alone', () => {
    const { names, pteOf, allocator } = tree('lpae');
    expect([names.pgd.entries, names.pud.entries, names.pmd.entries, names.pmd.shift]).toEqual([4, 1, 512, 21]);
    names.pte.set(pteOf(0xbf00_1000n), hardwarePte('v7-lpae', 0x12_3456_7000n | 0x403n));
    expect(allocator.events.map(({ level }) => level)).toEqual([1, 0]);
    expect(pteOf(0xbf00_1000n).load() & 0x80n).toBe(0x80n);
  });
});

describe('Linux’s entries', () => {
  it('say who may do what', () => {
    const user = linuxEntry('short', { present: 1, young: 1, user: 1 });
    expect([ptePresent('short', user), pteValidUser('short', user), pteAccessPermitted('short', user, true)]).toEqual([
      true,
      true,
      true,
    ]);
    const readOnly = user | linuxEntry('short', { rdonly: 1 });
    expect([pteAccessPermitted('short', readOnly, false), pteAccessPermitted('short', readOnly, true)]).toEqual([
      true,
      false,
    ]);
    expect(hasFlags('short', readOnly, 'user', 'rdonly')).toBe(true);
    // A page without any permission is present to Linux and nothing to the hardware.
    const none = linuxEntry('lpae', { present: 3, young: 1, none: 1 });
    expect(ptePresent('lpae', hardwarePte('v7-lpae', none))).toBe(true);
    expect(hardwarePte('v7-lpae', none) & 1n).toBe(0n);
  });

  it('are the same whether they were stored as one process’s or not', () => {
    expect(pteSame('lpae', 0x403n, 0xc03n)).toBe(true);
    expect(pteSame('short', 0x403n, 0xc03n)).toBe(false);
  });

  it('hold swap entries that the hardware takes for nothing', () => {
    const type = fc.integer({ min: 0, max: 31 });
    fc.assert(
      fc.property(type, fc.bigInt(1n, 0xff_ffffn), fc.boolean(), (area, offset, exclusive) => {
        const word = encodeSwap({ type: area, offset, exclusive });
        expect(decodeSwap(word)).toEqual({ type: area, offset, exclusive });
        expect(word & 3n).toBe(0n);
        expect(hardwarePte('v7-short', word)).toBe(0n);
      }),
    );
    expect(() => decodeSwap(3n)).toThrow('[swap-entry]');
  });

  it('are linked by tables of three kinds', () => {
    expect([
      tableProtection('short', 'kernel'),
      tableProtection('short', 'user'),
      tableProtection('short', 'vectors'),
    ]).toEqual([0x11n, 0x35n, 0x71n]);
    expect([tableProtection('short', 'user', false), tableProtection('lpae', 'user')]).toEqual([0x31n, 3n]);
  });
});
