import { createSpace, hex, Memblock, phys, type RootDescription, readWord, translate } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { bootKernel, type Kernel, kasanShadow, type RiscvMode } from '../src/index.ts';
import { machineWith } from './boot-machine.ts';

const MODES = ['sv39', 'sv48', 'sv57'] as const;

function boot(mode: RiscvMode, stage: string, ram: [string, string][] = [['0x80000000', '0x180000000']]): Kernel {
  return bootKernel(machineWith({ mode, ram }), { stage, kasan: true });
}

function root(kernel: Kernel, label: string): RootDescription {
  return { paging: kernel.paging, address: kernel.symbolPa(label), label };
}

/** What an address is mapped to, as text: physical address, size and bits. */
function mapped(kernel: Kernel, label: string, va: bigint): string {
  const result = translate(createSpace(kernel.memory, root(kernel, label)), va);
  if (!result.mapped) return 'nothing';
  return `${hex(result.pa - (result.pa % 4096n))} ${hex(result.leafBytes)} ${hex(result.entry & 0x3ffn)}`;
}

/** Addresses spread over a range: the first and last page, and pseudo-random ones. */
function samples({ start, end }: { start: bigint; end: bigint }, count = 200): bigint[] {
  let state = 0x2545_f491_4f6c_dd1dn;
  const inner = Array.from({ length: count }, () => {
    state = BigInt.asUintN(64, (state ^ (state << 13n)) * 0x9e37_79b9_7f4a_7c15n);
    return start + ((state >> 7n) % (end - start));
  });
  return [start, end - 1n, ...inner];
}

describe('early shadow (mm/kasan_init.c, kasan_early_init and kasan_swapper_init)', () => {
  for (const mode of MODES) {
    it(`${mode}: every shadow address leads to the one page, in the early and in the final root`, () => {
      const kernel = boot(mode, 'after_setup_vm_final');
      const page = hex(kernel.symbolPa('kasan_early_shadow_page'));
      for (const label of ['early_pg_dir', 'swapper_pg_dir']) {
        for (const va of samples(kasanShadow(mode))) expect(mapped(kernel, label, va)).toBe(`${page} 0x1000 0xe7`);
      }
    });

    it(`${mode}: what is mapped besides stays`, () => {
      const plain = bootKernel(machineWith({ mode }), { stage: 'after_setup_vm_final' });
      const kernel = boot(mode, 'after_setup_vm_final');
      const kernelEnd = { start: kernel.kernelMap.virtAddr, end: kernel.kernelMap.virtAddr + 0x1e6_b000n };
      const linear = { start: kernel.kernelMap.va(0x8000_0000n), end: kernel.kernelMap.va(0x1_7000_0000n) };
      for (const va of [...samples(kernelEnd, 50), ...samples(linear, 50)]) {
        expect(mapped(kernel, 'swapper_pg_dir', va)).toBe(mapped(plain, 'swapper_pg_dir', va));
      }
    });
  }

  it('is there before start_kernel, and reaches the tables it shares through the fixmap', () => {
    const kernel = boot('sv57', 'start_kernel');
    expect(mapped(kernel, 'early_pg_dir', kasanShadow('sv57').start)).not.toBe('nothing');
    expect(kernel.ptOps.open).toEqual([2, 3]);
    expect(boot('sv39', 'start_kernel').ptOps.open).toEqual([]);
  });

  it('stands behind the end of a kernel that has no tables for it', () => {
    const kernel = boot('sv48', 'start_kernel');
    expect(kernel.symbolPa('kasan_early_shadow_page')).toBe(0x8020_0000n + 0x1e6_b000n);
    expect(kernel.kernelMap.size).toBe(0x1e6_b000n + 8n * 4096n);
    expect(kernel.warnings.length).toBe(1);
  });
});

describe('the shadow that stays (kasan_init)', () => {
  for (const mode of MODES) {
    const { shadow } = kasanShadow(mode);
    const { shadowOf } = shadow;

    it(`${mode}: memory has shadow of its own, in large leaves, all of it different`, () => {
      const kernel = boot(mode, 'after_kasan_init');
      const { start, end } = { start: kernel.kernelMap.va(0x8000_0000n), end: kernel.kernelMap.va(0x1_8000_0000n) };
      const seen = new Map<string, bigint>();
      for (let va = start; va < end; va += 0x100_0000n) {
        const what = mapped(kernel, 'swapper_pg_dir', shadowOf(va));
        expect(what).toMatch(/ 0x200000 0xe7$/);
        expect(seen.has(what)).toBe(false);
        seen.set(what, va);
      }
      expect(mapped(kernel, 'swapper_pg_dir', shadowOf(end))).toBe('nothing');
    });

    it(`${mode}: below vmalloc the one page, read-only; vmalloc and modules nothing yet`, () => {
      const kernel = boot(mode, 'after_kasan_init');
      const page = hex(kernel.symbolPa('kasan_early_shadow_page'));
      const { fixmap, vmalloc } = kernel.addresses;
      for (const va of samples({ start: fixmap.start, end: vmalloc.start }, 50)) {
        expect(mapped(kernel, 'swapper_pg_dir', shadowOf(va))).toMatch(new RegExp(`^${page} 0x1000 0x(43|e3)$`));
      }
      for (const va of samples(vmalloc, 50)) expect(mapped(kernel, 'swapper_pg_dir', shadowOf(va))).toBe('nothing');
      const ptes = kernel.symbolPa('kasan_early_shadow_pte');
      const ppn = kernel.symbolPa('kasan_early_shadow_page') >> 12n;
      for (const i of [0n, 1n, 511n]) expect(readWord(kernel.memory, phys(ptes + i * 8n))).toBe((ppn << 10n) | 0x43n);
    });

    it(`${mode}: the kernel has shadow`, () => {
      const kernel = boot(mode, 'after_kasan_init');
      const { virtAddr, size } = kernel.kernelMap;
      for (const va of [virtAddr, virtAddr + size - 1n]) {
        expect(mapped(kernel, 'swapper_pg_dir', shadowOf(va))).toMatch(/0xe7$/);
      }
      expect(hex(kernel.satp & ((1n << 44n) - 1n))).toBe(hex(kernel.symbolPa('swapper_pg_dir') >> 12n));
    });

    it(`${mode}: every root entry of vmalloc's shadow has a table, so that processes can share it`, () => {
      const kernel = boot(mode, 'after_kasan_init');
      const { pgd } = kernel.names;
      const { vmalloc, pgdirSize } = kernel.addresses;
      for (let va = shadowOf(vmalloc.start); va < shadowOf(vmalloc.end); va += pgdirSize) {
        const word = pgd.offset(kernel.symbolPa('swapper_pg_dir'), va).load();
        expect(word & 0xfn).toBe(1n);
      }
    });
  }

  it('falls back to smaller leaves where memory is in pieces', () => {
    // Some 26 MiB of shadow are needed; of 48 MiB every second page of the lower 40 is taken.
    const reserved = Array.from({ length: 5120 }, (_, i) => ({
      base: hex(0x8d00_0000n + BigInt(i) * 0x2000n),
      size: '0x1000',
    }));
    const ram: [string, string][] = [
      ['0x80000000', '0x88000000'],
      ['0x8d000000', '0x90000000'],
    ];
    const description = machineWith({
      ram,
      dtb: { address: '0x8fe00000', size: '0x1000' },
      reservedMemory: [
        { node: '/reserved-memory/all', base: '0x82400000', size: '0x5c00000', no_map: false },
        ...reserved.map((each, i) => ({ ...each, node: `/reserved-memory/${i}`, no_map: false })),
      ],
      config: { CONFIG_KFENCE: false },
    });
    const kernel = bootKernel(description, { stage: 'after_kasan_init', kasan: true });
    const { shadow } = kasanShadow('sv48');
    const sizes = new Set<string>();
    for (let va = kernel.kernelMap.va(0x8000_0000n); va < kernel.kernelMap.va(0x8800_0000n); va += 0x8000n) {
      sizes.add(mapped(kernel, 'swapper_pg_dir', shadow.shadowOf(va)).split(' ')[1] ?? '');
    }
    expect([...sizes].sort()).toEqual(['0x1000', '0x200000']);
  });

  it('needs memory', () => {
    const ram: [string, string][] = [
      ['0x80000000', '0x82400000'],
      ['0x100000000', '0x100080000'],
    ];
    const change = { ram, dtb: { address: '0x100000000', size: '0x1000' }, config: { CONFIG_KFENCE: false } };
    const description = machineWith(change);
    expect(() => bootKernel(description, { stage: 'after_kasan_init', kasan: true })).toThrow(/memory/);
    expect(new Memblock().find(1n, 1n)).toBe(undefined);
  });
});
