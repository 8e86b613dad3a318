import { createNames, phys, SparseMemory, writeWord } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  decodeSwapEntry,
  encodeSwapEntry,
  entryTests,
  isSafeChange,
  kvmHypBits,
  LINUX_BITS,
  linuxAddress,
  linuxAddressBits,
  linuxPaging,
  linuxPredicates,
  linuxProtections,
  pgprotDevice,
  pgprotNoncached,
  pgprotTagged,
  pgprotWritecombine,
  physicalMemoryProtection,
  pmdMkhuge,
  pteDirty,
  pteHardwareDirty,
  pteMkclean,
  pteMkcont,
  pteMkdirty,
  pteMkinvalid,
  pteMkold,
  pteMkuffdWp,
  pteMkwrite,
  pteMkyoung,
  pteModify,
  ptePresent,
  pteSoftwareDirty,
  pteWrite,
  pteWrprotect,
  unsafeChange,
} from '../src/index.ts';

const { values } = linuxProtections();
const { WRITE, RDONLY, DIRTY, VALID, CONT, AF, NG } = LINUX_BITS;

describe('the dirty state of an entry', () => {
  // The four states that Linux's table has, and whether a page in them is dirty and writable.
  const states = [
    { bits: RDONLY, dirty: false, writable: false },
    { bits: RDONLY | WRITE, dirty: false, writable: true },
    { bits: RDONLY | DIRTY, dirty: true, writable: false },
    { bits: WRITE, dirty: true, writable: true },
    { bits: WRITE | DIRTY, dirty: true, writable: true },
  ];

  it.each(states)('survives every change that is not about it: $bits', ({ bits, dirty, writable }) => {
    const entry = 0x8000_0703n | bits;
    const state = (word: bigint) => [pteDirty(word), pteWrite(word)];
    expect(state(entry)).toEqual([dirty, writable]);
    expect(state(pteWrprotect(entry))).toEqual([dirty, false]);
    expect(state(pteMkwrite(entry))).toEqual([dirty, true]);
    expect(state(pteMkclean(entry))).toEqual([false, writable]);
    expect(state(pteMkdirty(entry))).toEqual([true, writable]);
    expect(state(pteMkold(pteMkyoung(entry)))).toEqual([dirty, writable]);
    expect(state(pteModify(entry, values.PAGE_READONLY))).toEqual([dirty, false]);
    expect(state(pteModify(entry, values.PAGE_SHARED))).toEqual([dirty, true]);
    // Whatever was done, hardware and software agree: what is writable and dirty can be written at once.
    for (const word of [pteMkwrite(entry), pteMkdirty(entry), pteModify(entry, values.PAGE_SHARED)]) {
      expect(pteHardwareDirty(word)).toBe(pteDirty(word) && pteWrite(word));
    }
  });

  it('is noted by software before hardware loses it', () => {
    const dirty = 0x8000_0703n | WRITE;
    expect([pteSoftwareDirty(dirty), pteSoftwareDirty(pteWrprotect(dirty))]).toEqual([false, true]);
    expect(pteSoftwareDirty(pteMkuffdWp(dirty))).toBe(true);
  });
});

describe('changing an entry', () => {
  it('to another protection keeps the address, the flags and the group', () => {
    const entry = values.PAGE_SHARED_EXEC | 0x1234_5000n | CONT | DIRTY | (1n << 56n);
    const changed = pteModify(entry, values.PAGE_NONE);
    expect(changed & 0xffff_ffff_f000n).toBe(0x1234_5000n);
    expect(changed & (CONT | DIRTY | (1n << 56n) | AF)).toBe(CONT | DIRTY | (1n << 56n) | AF);
    expect(entryTests(changed)).toMatchObject({ valid: false, present: true, protnone: true, write: false });
  });

  it('keeps it present where hardware must not see it', () => {
    const block = pmdMkhuge(values.PAGE_SHARED | 0x8020_0000n);
    const invalid = pteMkinvalid(block);
    expect([invalid & VALID, ptePresent(invalid), entryTests(invalid).protnone]).toEqual([0n, true, false]);
    expect(pteMkcont(0n)).toBe(CONT | 3n);
  });

  it('in place is safe for EL1 permissions, software bits, and becoming non-global', () => {
    const page = values.PAGE_KERNEL | 0x8000_0000n;
    expect(isSafeChange(0n, page)).toBe(true);
    expect(isSafeChange(page, 0n)).toBe(true);
    expect(unsafeChange(page, page | NG)).toBeUndefined();
    expect(unsafeChange(page | NG, page)).toBe('becomes-global');
    expect(unsafeChange(page, page + 0x1000n)).toBe('address');
    expect(unsafeChange(page | CONT, page | CONT)).toBe('contiguous');
    expect(unsafeChange(page, page & ~AF)).toBe('attributes');
    expect(unsafeChange(page, pgprotTagged(page))).toBeUndefined();
    expect(unsafeChange(page, pgprotDevice(page))).toBe('attributes');
  });

  it('compares whole addresses, also those with upper bits elsewhere', () => {
    const page = values.PAGE_KERNEL & ~LINUX_BITS.SHARED;
    const upper = page | (1n << 8n);
    expect(unsafeChange(page, upper, { granule: '4K', paBits: 52, lpa2: true })).toBe('address');
    expect(unsafeChange(page, upper, { granule: '4K', paBits: 52 })).toBe('attributes');
  });
});

describe('protections', () => {
  it('become device and uncached ones that nobody executes', () => {
    const exec = values.PAGE_KERNEL_EXEC;
    const never = LINUX_BITS.PXN | LINUX_BITS.UXN;
    for (const [make, index] of [
      [pgprotNoncached, 3n],
      [pgprotDevice, 4n],
      [pgprotWritecombine, 2n],
    ] as const) {
      expect([(make(exec) >> 2n) & 7n, make(exec) & never]).toEqual([index, never]);
    }
    expect(physicalMemoryProtection(exec, true, false)).toBe(exec);
    expect(physicalMemoryProtection(exec, true, true)).toBe(pgprotWritecombine(exec));
    expect(physicalMemoryProtection(exec, false, true)).toBe(pgprotNoncached(exec));
  });

  it('of mappings follow their flags; private pages are never writable', () => {
    const { fromVmFlags } = linuxProtections();
    expect(fromVmFlags({})).toBe(values.PAGE_NONE);
    expect(fromVmFlags({ read: true, write: true })).toBe(values.PAGE_READONLY);
    expect(fromVmFlags({ write: true, shared: true })).toBe(values.PAGE_SHARED);
    expect(fromVmFlags({ exec: true })).toBe(values.PAGE_READONLY_EXEC);
    expect(linuxProtections({ epan: true }).fromVmFlags({ exec: true, shared: true })).toBe(values.PAGE_EXECONLY);
    expect(linuxProtections({ lpa2: true }).fromVmFlags({ read: true }) & LINUX_BITS.SHARED).toBe(0n);
  });

  it('of EL2 can be guarded', () => {
    expect(kvmHypBits({ read: true, execute: true }, 'normal', { bti: true }) & LINUX_BITS.GP).toBe(LINUX_BITS.GP);
  });
});

describe('addresses in entries', () => {
  const addresses = [0n, 0x1234_5678_0000n, 0xf_ffff_ffff_0000n, 0x4_0000_0000_0000n, 0x1_0000_0000_0000n];

  it.each(addresses)('read back as they were written: %s', (address) => {
    for (const granule of ['4K', '16K', '64K'] as const) {
      const config = { granule, paBits: 52 as const, lpa2: true };
      expect(linuxAddress(linuxAddressBits(address, config), config)).toBe(address);
    }
  });

  it('keep bits 49:48 twice with 64K pages, which hardware ignores', () => {
    const bits = linuxAddressBits(0x3_0000_0000_0000n, { granule: '64K', paBits: 52 });
    expect(bits).toBe(0x3_0000_0000_3000n);
    const paging = linuxPaging({ granule: '64K', vaBits: 52, paBits: 52 });
    expect(paging.decode(0, values.PAGE_KERNEL | bits).address).toBe(0x3_0000_0000_0000n);
  });

  it('are not read from shareability where 52 bits are built in but not in use', () => {
    expect(linuxAddress(values.PAGE_KERNEL | 0x1000n, { granule: '4K', paBits: 52 })).toBe(0x1000n);
  });
});

describe('swap entries', () => {
  it('say where a page went, and are neither valid nor present', () => {
    const entry = { type: 31, offset: (1n << 50n) - 1n, exclusive: true, uffdWp: true };
    const word = encodeSwapEntry(entry);
    expect(decodeSwapEntry(word)).toEqual(entry);
    expect(entryTests(word)).toMatchObject({ none: false, valid: false, present: false });
    expect(decodeSwapEntry(encodeSwapEntry({ type: 0, offset: 1n }))).toMatchObject({ exclusive: false, offset: 1n });
    expect([decodeSwapEntry(0n), decodeSwapEntry(values.PAGE_NONE)]).toEqual([undefined, undefined]);
    expect(() => encodeSwapEntry({ type: 32, offset: 0n })).toThrow(/swap-entry/);
    expect(() => encodeSwapEntry({ type: 0, offset: 1n << 50n })).toThrow(/swap-entry/);
  });
});

describe('tests by name', () => {
  it('see a huge page under change where hardware sees nothing', () => {
    const paging = linuxPaging({ granule: '4K', vaBits: 48 });
    const memory = new SparseMemory();
    const names = createNames(memory, paging, { predicates: linuxPredicates('4K') });
    const invalid = pteMkinvalid(pmdMkhuge(values.PAGE_SHARED | 0x8020_0000n));
    writeWord(memory, phys(0x4000_0000n), invalid);
    expect([names.pmd.present(invalid), names.pmd.leaf(invalid), names.pmd.bad(invalid)]).toEqual([true, true, true]);
    expect(paging.decode(1, invalid).kind).toBe('empty');
  });

  it('know puds as leaves with 4K and 16K pages, and enough levels', () => {
    const block = pmdMkhuge(values.PAGE_KERNEL);
    expect(linuxPredicates('4K').pud.leaf(block)).toBe(true);
    expect(linuxPredicates('64K').pud.leaf(block)).toBe(false);
    expect(linuxPredicates('16K', 2).pud.leaf(block)).toBe(false);
    expect(linuxPredicates('4K').p4d.leaf(block)).toBe(false);
  });
});
