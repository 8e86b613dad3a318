/** The five names over the tables of every build, also where the hardware has fewer levels than the build. */
import {
  BumpAllocator,
  createNames,
  createSpace,
  type LinuxNames,
  map,
  type Paging,
  phys,
  SparseMemory,
  walk,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  LINUX_BUILDS,
  type LinuxBuild,
  levelsBuilt,
  linuxPaging,
  linuxPredicates,
  linuxProtections,
  rootAllocation,
  rootOffset,
  runtimeFoldedName,
  vaBitsMin,
} from '../src/index.ts';

const ROOT = 0x4000_0000n;
const PA = 0x8000_0000n;

function namesOver(build: LinuxBuild, paging: Paging, memory: SparseMemory): LinuxNames {
  const allocator = new BumpAllocator(0x5000_0000n, 0x6000_0000n);
  return createNames(memory, paging, { allocator, predicates: linuxPredicates(build.granule, levelsBuilt(build)) });
}

/** The slots of all names for an address, as code for five levels finds them. */
function slotsOf(names: LinuxNames, root: bigint, va: bigint) {
  const pgd = names.pgd.offset(phys(root), va);
  const p4d = names.p4d.offset(pgd, va);
  const pud = names.pud.offset(p4d, va);
  const pmd = names.pmd.offset(pud, va);
  const pte = names.pte.offset(pmd, va);
  return { pgd, p4d, pud, pmd, pte };
}

const running = LINUX_BUILDS.flatMap((build) =>
  [...new Set([build.vaBits, vaBitsMin(build)])].map((actualBits) => ({ build, actualBits })),
);

describe.each(running)('$build.granule pages, $build.vaBits bits, $actualBits in use', ({ build, actualBits }) => {
  const half = 1n << BigInt(actualBits);
  const kernel = [1n << 64n, (1n << 64n) - half + 0x20_0000n, (1n << 64n) - half / 2n].map((end) => end - 0x20_0000n);
  const cases = [
    { half: 'low' as const, vas: [0x1_0000n, half / 2n, half - 0x20_0000n] },
    { half: 'high' as const, vas: kernel },
  ];

  it.each(cases)('leads to the slot that the hardware reads, $half half', ({ half: which, vas }) => {
    const paging = linuxPaging(build, { actualBits, half: which });
    const memory = new SparseMemory();
    // Only the kernel's root is shown to the hardware from further up.
    const offset = which === 'high' ? BigInt(rootOffset(build, actualBits)) : 0n;
    const space = createSpace(memory, { paging, address: ROOT + offset });
    const allocator = new BumpAllocator(0x4800_0000n, 0x5000_0000n);
    const attributes = linuxProtections({ lpa2: paging.features.has('lpa2') }).values.PAGE_KERNEL;
    const bytes = paging.pageBytes;
    vas.forEach((va, i) => {
      map(space, { va, pa: PA + BigInt(i) * bytes, bytes, attributes, allocator, runs: false });
    });
    const names = namesOver(build, paging, memory);
    for (const va of vas) {
      const { steps, outcome } = walk(space, va);
      const slots = slotsOf(names, ROOT, va);
      expect(slots.pte.address).toBe(outcome.slot);
      expect(names.pte.present(slots.pte.load())).toBe(true);
      // The root's slot belongs to the lowest name that is folded into it; every name below has a slot of its own.
      const [first] = steps;
      const folded = runtimeFoldedName(build, actualBits);
      const owner = folded === undefined ? slots.pgd : slots[folded as 'p4d' | 'pud'];
      expect(owner.address).toBe(first?.slot);
      expect(names.pmd.bad(slots.pmd.load()) || names.pud.bad(slots.pud.load())).toBe(false);
    }
  });

  it('builds tables that the hardware can walk', () => {
    const paging = linuxPaging(build, { actualBits, half: 'high' });
    const memory = new SparseMemory();
    const names = namesOver(build, paging, memory);
    const [va = 0n] = kernel;
    const pgd = names.pgd.offset(phys(ROOT), va);
    const p4d = names.p4d.alloc(pgd, va);
    const pud = names.pud.alloc(p4d, va);
    const pmd = names.pmd.alloc(pud, va);
    const pte = names.pte.alloc(pmd, va);
    const { PAGE_KERNEL } = linuxProtections({ lpa2: paging.features.has('lpa2') }).values;
    names.pte.set(pte, PAGE_KERNEL | PA);
    const address = ROOT + BigInt(rootOffset(build, actualBits));
    const { outcome } = walk(createSpace(memory, { paging, address }), va + 0x123n);
    expect(outcome.mapped && outcome.pa).toBe(PA + 0x123n);
  });
});

describe('a 52-bit build on smaller hardware', () => {
  it('folds p4d with 4K pages: the pgd of 16 entries is a page of 512', () => {
    const build = { granule: '4K', vaBits: 52 } as const;
    const { p4d, pgd, pud } = linuxPaging(build, { actualBits: 48 }).geometry.names;
    expect([pgd.shift, pgd.entries, p4d.folded, p4d.shift, p4d.entries, pud.folded]).toEqual([
      48,
      16,
      true,
      39,
      512,
      false,
    ]);
    expect(rootAllocation(build, 48)).toEqual({ bytes: 4096, cache: false });
    expect(rootAllocation(build)).toEqual({ bytes: 128, cache: true });
  });

  it('looks up again in the page of the slot that it was given, not at the slot', () => {
    const paging = linuxPaging({ granule: '4K', vaBits: 52 }, { actualBits: 48 });
    const names = createNames(new SparseMemory(), paging);
    const va = 0xffff_8000_0000_0000n;
    const pgd = names.pgd.offset(phys(ROOT), va);
    expect(pgd.address).toBe(ROOT + 15n * 8n);
    expect(names.p4d.offset(pgd, va).address).toBe(ROOT + 256n * 8n);
    expect([names.pgd.none(0n), names.pgd.bad(0n), names.pgd.present(0n)]).toEqual([false, false, true]);
  });

  it('folds pud with 16K pages, and there is no p4d to fold at run time', () => {
    const paging = linuxPaging({ granule: '16K', vaBits: 52 }, { actualBits: 47 });
    const names = createNames(new SparseMemory(), paging);
    const va = 0xffff_c000_8000_0000n;
    const pgd = names.pgd.offset(phys(ROOT), va);
    const p4d = names.p4d.offset(pgd, va);
    expect(p4d.address).toBe(pgd.address);
    expect(names.pud.offset(p4d, va).address).toBe(ROOT + 1024n * 8n);
    expect([names.p4d.trivial, names.pud.folded, names.pud.tableEntries]).toEqual([true, true, 2048]);
  });

  it('folds nothing with 64K pages: the root keeps 1024 entries, hardware sees the last 64', () => {
    const build = { granule: '64K', vaBits: 52 } as const;
    const names = createNames(new SparseMemory(), linuxPaging(build, { actualBits: 48 }));
    expect([names.pgd.entries, rootOffset(build, 48)]).toEqual([1024, 0x1e00]);
    expect(names.pgd.offset(phys(ROOT), 0xffff_0000_0000_0000n).address).toBe(ROOT + 0x1e00n);
    expect(names.pgd.offset(phys(ROOT), 0x0000_8000_0000_0000n).address).toBe(ROOT + 32n * 8n);
  });

  it('refuses bits that it does not run with', () => {
    expect(() => linuxPaging({ granule: '16K', vaBits: 52 }, { actualBits: 48 })).toThrow(/linux-va-bits/);
    expect(() => linuxPaging({ granule: '16K', vaBits: 42 })).toThrow(/linux-build/);
    expect(() => linuxPaging({ granule: '4K', vaBits: 52, paBits: 48 })).toThrow(/linux-build/);
  });
});
