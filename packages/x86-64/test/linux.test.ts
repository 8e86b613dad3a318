import { describe, expect, it } from 'vitest';
import {
  LINUX_X86_PROTECTIONS,
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

describe('the layout', () => {
  it('lies within what the tables translate, in rising order', () => {
    for (const levels of [4, 5] as const) {
      const { user, direct, vmalloc, vmemmap, cpuEntryArea, espfix, image, modules, ldt } = linuxX86Layout(levels);
      const kernel = [direct, vmalloc, vmemmap, cpuEntryArea, espfix, image, modules];
      kernel.forEach(({ start, end }, at) => {
        expect(end).toBeGreaterThan(start);
        expect(start).toBeGreaterThanOrEqual(kernel[at - 1]?.end ?? 0n);
      });
      const [low, high] = x86Paging(levels).geometry.ranges;
      expect(user.end + 4096n).toBe(BigInt(low?.end ?? 0));
      expect(ldt.start).toBeGreaterThanOrEqual(BigInt(high?.start ?? 0));
      expect(ldt.end).toBeLessThanOrEqual(direct.start);
    }
    expect(linuxX86Layout(4).espfix.start).toBe(0xffff_ff00_0000_0000n);
    expect(linuxX86Layout(4).cpuEntryArea.start).toBe(0xffff_fe00_0000_0000n);
  });
});
