import { createSpace, hex, mappedRanges, phys, readWord } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  arm64Boot,
  bootKernel,
  fixmapSlot,
  type Kernel,
  kasanPage,
  kptiInstallNonGlobal,
  LINUX_BITS,
  type LinuxBuild,
  linearVa,
  makeNonGlobal,
  mapEntryTrampoline,
  markLinearTextAliasRo,
  markRodataRo,
  swapperTree,
  symbolPa,
  symbolVa,
} from '../src/index.ts';
import { capturedRuns, machineWith, runningMachine } from './boot-machine.ts';

const RAM = [
  [0x4000_0000n, 0x4800_0000n],
  [0x5010_0000n, 0x5410_0000n],
] as const;

function booted(build: LinuxBuild, wide: boolean, kind: 'generic' | 'sw_tags', stage: string): Kernel {
  const config = { CONFIG_KASAN: true, CONFIG_KASAN_SW_TAGS: kind === 'sw_tags', CONFIG_KASAN_GENERIC: true };
  return bootKernel(machineWith({ build, wide, config, ram: RAM, dtb: 0x4700_0000n }), { stage });
}

/** What a virtual address leads to: physical address and whether it may be written. */
function look(kernel: Kernel, va: bigint): { pa: bigint; writable: boolean } | undefined {
  const tree = swapperTree(kernel, kernel.memblock);
  const space = createSpace(kernel.memory, { paging: tree.paging, address: tree.root, label: 'swapper' });
  const page = kernel.paging.pageBytes;
  const start = va & -page;
  const [found] = mappedRanges(space, { start, end: start + page });
  if (found === undefined) return undefined;
  return { pa: found.pa + (va - start), writable: (found.bits & LINUX_BITS.RDONLY) === 0n };
}

/** Addresses of a range: its first and last pages, and some between. */
function samples(start: bigint, end: bigint, page: bigint): bigint[] {
  const step = (end - start) / 7n;
  const inner = Array.from({ length: 6 }, (_, i) => (start + BigInt(i + 1) * step) & -page);
  return [start & -page, ...inner.filter((va) => va > start), (end - 1n) & -page];
}

const BUILDS: readonly (readonly [LinuxBuild, boolean])[] = [
  [{ granule: '4K', vaBits: 39 }, false],
  [{ granule: '4K', vaBits: 48 }, false],
  [{ granule: '4K', vaBits: 52 }, true],
  [{ granule: '4K', vaBits: 52 }, false],
  [{ granule: '16K', vaBits: 47 }, false],
  [{ granule: '16K', vaBits: 48 }, false],
  [{ granule: '16K', vaBits: 52 }, true],
  [{ granule: '16K', vaBits: 52 }, false],
  [{ granule: '64K', vaBits: 42 }, false],
  [{ granule: '64K', vaBits: 48 }, false],
  [{ granule: '64K', vaBits: 52 }, true],
  [{ granule: '64K', vaBits: 52 }, false],
];

describe('the shadow of KASAN (mm/kasan_init.c)', () => {
  for (const kind of ['generic', 'sw_tags'] as const) {
    for (const [build, wide] of BUILDS) {
      const name = `${build.granule} pages, ${build.vaBits} bits${wide ? ', as built' : ''}, ${kind}`;
      it(`is one page at first: ${name}`, () => {
        const kernel = booted(build, wide, kind, 'start_kernel');
        const shared = kasanPage(kernel, 'kasan_early_shadow_page');
        const { start, end } = kernel.layout.shadow as NonNullable<Kernel['layout']['shadow']>;
        const page = kernel.paging.pageBytes;
        for (const va of samples(start, end, page)) {
          expect([hex(va), look(kernel, va)]).toEqual([hex(va), { pa: shared, writable: true }]);
        }
        expect(look(kernel, start - page)).toBeUndefined();
        expect(look(kernel, end)).toBeUndefined();
        expect(look(kernel, kernel.place.imageStart)?.pa).toBe(kernel.description.loadAddress);
      });

      it(`is real in the end: ${name}`, () => {
        const before = booted(build, wide, kind, 'after_paging_init');
        const kernel = booted(build, wide, kind, 'after_kasan_init');
        const { shadow, start, end } = kernel.layout.shadow as NonNullable<Kernel['layout']['shadow']>;
        const shared = kasanPage(kernel, 'kasan_early_shadow_page');
        const page = kernel.paging.pageBytes;
        const { symbols } = kernel;
        const real = new Set<bigint>();
        const pieces = [
          ...kernel.memblock.mappable.map((bank) => {
            const va = linearVa(kernel, bank.start);
            return [va, va + (bank.end - bank.start)] as const;
          }),
          [symbolVa(kernel, '_text'), symbolVa(kernel, '_end')] as const,
        ];
        for (const [from, to] of pieces) {
          for (const va of samples(shadow.shadowOf(from), shadow.shadowOf(to - 1n) + 1n, page)) {
            const found = look(kernel, va);
            expect([hex(va), found?.writable]).toEqual([hex(va), true]);
            real.add(found?.pa as bigint);
          }
        }
        expect(real.has(shared)).toBe(false);
        for (const [from, to] of [
          [shadow.shadowOf(symbols.PAGE_END), shadow.shadowOf(symbols.MODULES_VADDR)],
          [shadow.shadowOf(symbols.VMALLOC_END), end],
        ] as const) {
          for (const va of samples(from, to, page).slice(1)) {
            expect([hex(va), look(kernel, va)]).toEqual([hex(va), { pa: shared, writable: false }]);
          }
        }
        // Modules and vmalloc get theirs when they are used; memory that is not there gets none.
        const modules = shadow.shadowOf(symbols.MODULES_VADDR);
        expect(look(kernel, (modules + page) & -page)).toBeUndefined();
        const hole = shadow.shadowOf(linearVa(kernel, 0x4c00_0000n)) & -page;
        expect(look(kernel, hole)).toBeUndefined();
        expect(start).toBeLessThan(end);
        // Everything else is as it was.
        for (const at of ['_text', '_stext', '__start_rodata', '_data'] as const) {
          expect(look(kernel, symbolVa(kernel, at))).toEqual(look(before, symbolVa(before, at)));
          const linear = linearVa(kernel, symbolPa(kernel, at));
          expect(look(kernel, linear)).toEqual(look(before, linear));
        }
        expect(look(kernel, symbols.FIXADDR_TOP - page)).toEqual(look(before, symbols.FIXADDR_TOP - page));
      });
    }
  }

  it('reaches its last stage with KASAN only', () => {
    const description = machineWith({ build: { granule: '4K', vaBits: 48 } });
    expect(() => arm64Boot.boot(description, { stage: 'after_kasan_init' })).toThrow(/boot-stage/);
    const result = arm64Boot.boot(description, { stage: 'after_kasan_init', kasan: true });
    expect(result.warnings.some((warning) => warning.includes('kasan_early_shadow_page'))).toBe(true);
  });
});

describe('page table isolation (mm/proc.S, mm/mmu.c)', () => {
  it('makes every entry non-global, shared tables once', () => {
    const kernel = booted({ granule: '4K', vaBits: 48 }, false, 'generic', 'start_kernel');
    const first = kptiInstallNonGlobal(kernel);
    expect(first.leaves).toBeGreaterThan(2813);
    expect(kptiInstallNonGlobal(kernel)).toEqual({ leaves: 0, tables: 0 });
    const ptes = kasanPage(kernel, 'kasan_early_shadow_pte');
    expect(readWord(kernel.memory, phys(ptes + 8n)) & LINUX_BITS.NG).toBe(LINUX_BITS.NG);
    const tree = swapperTree(kernel, kernel.memblock);
    expect(makeNonGlobal(kernel.memory, tree.paging, tree.root, tree.addresses).tables).toBe(0);
  });

  it('maps the way into the kernel alone, global', () => {
    const kernel = bootKernel(runningMachine('arm64-4k-48-blocks-6.12'), { stage: 'after_paging_init' });
    mapEntryTrampoline(kernel, kernel.memblock);
    const tree = swapperTree(kernel, kernel.memblock, 'tramp_pg_dir');
    const space = createSpace(kernel.memory, { paging: tree.paging, address: tree.root, label: 'tramp' });
    const start = symbolPa(kernel, '__entry_tramp_text_start');
    const first = fixmapSlot(kernel, 'FIX_ENTRY_TRAMP_TEXT1');
    const end = symbolPa(kernel, '__entry_tramp_text_end');
    const ranges = mappedRanges(space, { start: 0xffff_0000_0000_0000n, end: 1n << 64n });
    expect(ranges).toMatchObject([{ start: first, end: first + (end - start), pa: start, leafBytes: 4096n }]);
    expect((ranges[0]?.bits ?? 0n) & (LINUX_BITS.NG | LINUX_BITS.PXN)).toBe(0n);
    // The kernel's own root has data behind it, too.
    expect([0n, 1n, 2n].map((i) => look(kernel, first + i * 4096n)?.pa)).toEqual([start, start + 4096n, start + 8192n]);
    expect(look(kernel, first + (end - start))).toMatchObject({ pa: end, writable: false });
    expect(look(kernel, kernel.place.imageStart)).toBeDefined();
  });
});

describe('protections when booting is over', () => {
  it('are those of a running kernel', () => {
    const name = 'arm64-16k-47-blocks-6.12';
    const kernel = bootKernel(runningMachine(name), { stage: 'after_paging_init' });
    markLinearTextAliasRo(kernel);
    markRodataRo(kernel);
    const tree = swapperTree(kernel, kernel.memblock);
    const space = createSpace(kernel.memory, { paging: tree.paging, address: tree.root, label: 'swapper' });
    const inits = [symbolVa(kernel, '__init_begin'), symbolVa(kernel, '__init_end')] as const;
    let checked = 0;
    for (const [from, , pa, , bits] of capturedRuns(name).kernel ?? []) {
      const va = BigInt(from);
      const alias = BigInt(pa) >= symbolPa(kernel, '_text') && BigInt(pa) < symbolPa(kernel, '__init_begin');
      const image = va >= symbolVa(kernel, '_text') && va < symbolVa(kernel, '_end');
      if (!alias && !image) continue;
      if (va >= inits[0] && va < inits[1]) continue;
      const [found] = mappedRanges(space, { start: va, end: va + kernel.paging.pageBytes });
      if (found === undefined) throw new Error(`${from} is not mapped`);
      const address = tree.paging.codec(found.level).leaves[0]?.address.mask ?? 0n;
      expect([from, hex(found.pa), hex(found.bits & ~address)]).toEqual([from, pa, bits]);
      checked++;
    }
    expect(checked).toBeGreaterThan(5);
  });
});
