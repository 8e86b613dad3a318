import { hex } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  decodeSwapEntry,
  encodeSwapEntry,
  LINUX_X86_PROTECTIONS,
  linuxX86Bits,
  linuxX86Layout,
  linuxX86Predicates,
  pgprotLarge,
  pgprotSmall,
  protectionOf,
  x86Paging,
} from '../src/index.ts';

const NX = 1n << 63n;

describe('protections', () => {
  it('are those of the kernel', () => {
    expect(LINUX_X86_PROTECTIONS).toEqual({
      PAGE_NONE: 0x120n,
      PAGE_SHARED: NX | 0x27n,
      PAGE_SHARED_EXEC: 0x27n,
      PAGE_COPY: NX | 0x25n,
      PAGE_COPY_EXEC: 0x25n,
      PAGE_READONLY: NX | 0x25n,
      PAGE_READONLY_EXEC: 0x25n,
      PAGE_KERNEL: NX | 0x163n,
      PAGE_KERNEL_EXEC: 0x163n,
      PAGE_KERNEL_RO: NX | 0x121n,
      PAGE_KERNEL_ROX: 0x121n,
      PAGE_KERNEL_NOCACHE: NX | 0x17bn,
      PAGE_KERNEL_VVAR: NX | 0x125n,
      PAGE_KERNEL_LARGE: NX | 0x1e3n,
      PAGE_KERNEL_LARGE_EXEC: 0x1e3n,
      PAGE_KERNEL_WP: NX | 0x1ebn,
      KERNPG_TABLE: 0x63n,
      PAGE_TABLE: 0x67n,
    });
  });

  it('follow from what a mapping allows', () => {
    expect(protectionOf({})).toBe(0x120n);
    expect(protectionOf({ read: true })).toBe(NX | 0x25n);
    expect(protectionOf({ read: true, write: true })).toBe(NX | 0x25n);
    expect(protectionOf({ write: true, shared: true })).toBe(NX | 0x27n);
    expect(protectionOf({ exec: true, write: true, shared: true })).toBe(0x27n);
    expect(protectionOf({ exec: true, shared: true })).toBe(0x25n);
  });

  it('move the PAT bit between sizes', () => {
    const prot = LINUX_X86_PROTECTIONS.PAGE_KERNEL_WP;
    expect(pgprotLarge(prot)).toBe((prot & ~0x80n) | 0x1000n);
    expect(pgprotSmall(pgprotLarge(prot))).toBe(prot);
    expect(x86Paging(4).encodeLeaf(0, 0x5000n, LINUX_X86_PROTECTIONS.PAGE_KERNEL)).toBe(NX | 0x5163n);
  });
});

describe('tests of entries', () => {
  const { pte, pmd, pud, p4d, pgd } = linuxX86Predicates();

  it('call pages present that the hardware does not see', () => {
    const none = 0x120n; // PROT_NONE
    expect([pte.none(none), pte.present(none), pte.protnone(none)]).toEqual([false, true, true]);
    expect([pte.present(0x163n), pte.protnone(0x163n)]).toEqual([true, false]);
    // A huge page that is being split: PS without P.
    expect([pmd.present(0xe0n), pmd.leaf(0xe0n), pud.present(0xe0n)]).toEqual([true, true, false]);
    // Hardware may leave these two bits behind in an entry that is none.
    expect([pte.none(0x60n), pmd.none(0x60n), pgd.none(0x60n)]).toEqual([true, true, false]);
  });

  it('undo the inversion of page numbers', () => {
    const pfn = 0x12345n;
    expect(pte.pfn((pfn << 12n) | 0x163n)).toBe(pfn);
    const inverted = ((~pfn & ((1n << 40n) - 1n)) << 12n) | 0x120n;
    expect(pte.pfn(inverted)).toBe(pfn);
    expect(pte.pfn(0n)).toBe(0n);
  });

  it('know a good table pointer', () => {
    for (const test of [pmd, pud, p4d, pgd]) {
      expect([test.bad(0x1234_5063n), test.bad(0x1234_5067n)]).toEqual([false, false]);
    }
    expect([pmd.bad(0x1234_5043n), pud.bad(0x1234_5043n), pgd.bad(0x1234_5043n)]).toEqual([false, false, true]);
    expect([pmd.bad(0x1e3n), pud.bad(0x1e3n)]).toEqual([true, true]);
    // Page table isolation marks what programs see with NX, at the roots only.
    const marked = NX | 0x1234_5067n;
    expect([pmd.bad(marked), pud.bad(marked), p4d.bad(marked), pgd.bad(marked)]).toEqual([true, true, false, false]);
    expect(linuxX86Predicates({ isolation: false }).pgd.bad(marked)).toBe(true);
  });

  it('call a shadow stack writable where there are any', () => {
    const entry = 0x45n; // present, user, dirty, not writable
    expect(pte.write(entry)).toBe(false);
    expect(linuxX86Predicates({ shadowStack: true }).pte.write(entry)).toBe(true);
    expect(pte.dirty(1n << 58n)).toBe(true);
  });
});

describe('swap entries', () => {
  it('store the offset inverted, so that high physical bits are set', () => {
    expect(hex(encodeSwapEntry({ type: 0, offset: 0n }))).toBe('0x7fffffffffffe00');
    expect(hex(encodeSwapEntry({ type: 3, offset: 0x1234n, exclusive: true }))).toBe('0x1fffffffffdb9608');
    expect(encodeSwapEntry({ type: 31, offset: (1n << 50n) - 1n })).toBe(31n << 59n);
  });

  it('read back what was written, and are not present to anybody', () => {
    const { pte, pmd } = linuxX86Predicates();
    for (const type of [0, 1, 31]) {
      for (const offset of [0n, 1n, 0x2_aaaa_aaaa_aaaan, (1n << 50n) - 1n]) {
        for (let flags = 0; flags < 8; flags++) {
          const [exclusive, softDirty, uffdWriteProtected] = [0, 1, 2].map((at) => ((flags >> at) & 1) === 1);
          const entry = { type, offset, exclusive, softDirty, uffdWriteProtected } as Parameters<
            typeof encodeSwapEntry
          >[0];
          if (type === 0 && flags === 0 && offset === (1n << 50n) - 1n) continue;
          const word = encodeSwapEntry(entry);
          expect(decodeSwapEntry(word)).toEqual(entry);
          expect([pte.present(word), pmd.present(word), pte.protnone(word)]).toEqual([false, false, false]);
        }
      }
    }
    // Bits 6:4 are nobody's.
    expect(decodeSwapEntry(encodeSwapEntry({ type: 2, offset: 5n }) | 0x70n)).toMatchObject({ type: 2, offset: 5n });
  });

  it('are not what is empty or present to Linux, and have limits', () => {
    for (const word of [0n, 0x60n, 0x163n, linuxX86Bits('PROTNONE ACCESSED'), 0xe0n]) {
      expect(decodeSwapEntry(word)).toBeUndefined();
    }
    for (const entry of [
      { type: 32, offset: 0n },
      { type: -1, offset: 0n },
      { type: 0.5, offset: 0n },
      { type: 0, offset: 1n << 50n },
      { type: 0, offset: -1n },
      // Would be 0: no swap area is that large.
      { type: 0, offset: (1n << 50n) - 1n },
    ]) {
      expect(() => encodeSwapEntry(entry)).toThrow('swap-entry');
    }
    expect(() => decodeSwapEntry(1n << 64n)).toThrow('swap-entry');
    expect(() => decodeSwapEntry(-1n)).toThrow('swap-entry');
  });
});

describe('the layout', () => {
  it('lies within what the tables translate, in rising order', () => {
    for (const levels of [4, 5] as const) {
      const { user, ...layout } = linuxX86Layout(levels);
      const { guardHole, ldt, direct, vmalloc, vmemmap, kasan, cpuEntryArea, espfix, efi } = layout;
      const { image, modules, fixmap } = layout;
      const kernel = [
        guardHole,
        ldt,
        direct,
        vmalloc,
        vmemmap,
        kasan,
        cpuEntryArea,
        espfix,
        efi,
        image,
        modules,
        fixmap,
      ];
      expect(new Set(kernel)).toEqual(new Set(Object.values(layout)));
      kernel.forEach(({ start, end }, at) => {
        expect(end).toBeGreaterThan(start);
        expect(start).toBeGreaterThanOrEqual(kernel[at - 1]?.end ?? 0n);
      });
      const [low, high] = x86Paging(levels).geometry.ranges;
      expect(user.end + 4096n).toBe(BigInt(low?.end ?? 0));
      expect(guardHole.start).toBe(BigInt(high?.start ?? 0));
      // The shadow of the kernel's half, 8 bytes in one, from KASAN_SHADOW_OFFSET.
      const shadow = (va: bigint): bigint => BigInt.asUintN(64, 0xdfff_fc00_0000_0000n + (va >> 3n));
      expect(kasan).toEqual({ start: shadow(guardHole.start), end: shadow(1n << 64n) });
    }
    expect(linuxX86Layout(4).espfix.start).toBe(0xffff_ff00_0000_0000n);
    expect(linuxX86Layout(4).cpuEntryArea.start).toBe(0xffff_fe00_0000_0000n);
  });
});
