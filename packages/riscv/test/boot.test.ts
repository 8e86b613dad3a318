import { readFileSync } from 'node:fs';
import { BootError, createSpace, hex, phys, reachableTables, readWord, translate } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bootKernel,
  createMachine,
  fixToVirt,
  type Kernel,
  kernelAddresses,
  type RiscvMode,
  relocateKernel,
  riscvBoot,
  setupVm,
} from '../src/index.ts';
import {
  bootedKernel,
  capturedMachine,
  capturedTables,
  captureUrl,
  type MachineChange,
  machineWith,
  rootLines,
} from './boot-machine.ts';
import { PlainBoot, type PlainMachine } from './boot-reference.ts';

/** The 512 words of a table as text. */
function words(memory: Parameters<typeof readWord>[0], table: bigint): string[] {
  return Array.from({ length: 512 }, (_, i) => hex(readWord(memory, phys(table + BigInt(i) * 8n))));
}

describe('rebuilding a captured kernel from its description (mm/init.c, setup_vm and setup_vm_final)', () => {
  for (const stage of ['start_kernel', 'after_setup_vm_final'] as const) {
    it(`gives every table of ${stage} byte for byte`, () => {
      const description = JSON.parse(readFileSync(captureUrl(stage, 'boot.json'), 'utf8')) as object;
      const { expect: _, ...inputs } = description as Record<string, unknown>;
      const result = riscvBoot.boot(inputs, { stage });
      const facts = JSON.parse(readFileSync(captureUrl(stage, 'registers.json'), 'utf8')) as {
        roots: Record<string, { root_pa: string; satp: string; tables: number }>;
        cpu_registers_at_stop: { satp: string };
        values: Record<string, unknown> & { kernel_map: Record<string, string> };
      };
      const real = capturedTables(stage);
      expect(result.roots.map(({ label }) => label).sort()).toEqual(Object.keys(facts.roots).sort());
      for (const root of result.roots) {
        const fact = facts.roots[root.label];
        expect(hex(root.address)).toBe(fact?.root_pa);
        expect(hex(root.registers.satp ?? 0n)).toBe(fact?.satp);
        const tables = reachableTables(real, [root]);
        expect(reachableTables(result.memory, [root])).toEqual(tables);
        expect(tables.length).toBe(fact?.tables);
        for (const { address } of tables) expect(words(result.memory, address)).toEqual(words(real, address));
      }
      expect(hex(result.registers.satp ?? 0n)).toBe(facts.cpu_registers_at_stop.satp);
      for (const [name, value] of Object.entries({ ...facts.values.kernel_map, ...facts.values })) {
        if (name in result.values) expect([name, hex(result.values[name] ?? 0n)]).toEqual([name, value]);
      }
    });
  }

  it('has the same tables at the entry of paging_init as at that of start_kernel', () => {
    const [a, b] = (['start_kernel', 'paging_init'] as const).map((stage) =>
      riscvBoot.boot(capturedMachine(), { stage }),
    );
    expect(b?.tables).toEqual(a?.tables);
    expect(b?.registers).toEqual(a?.registers);
  });
});

/** The plain form of a machine, for the reference. */
function plain(kernel: Kernel, change: MachineChange, levels: 3 | 4 | 5): PlainMachine {
  const start = kernel.description.symbols.get('_start') ?? 0n;
  const range = (each: unknown): [number, number] => {
    const { base, size } = each as { base: string; size: string };
    return [Number(base), Number(base) + Number(size)];
  };
  const nodes = (change.reservedMemory ?? []) as { no_map?: boolean }[];
  const { dtb, initrd } = kernel.description;
  return {
    levels,
    pageOffset: kernel.addresses.pageOffset,
    fixaddrStart: kernel.addresses.fixmap.start,
    link: kernel.addresses.kernelLink,
    load: Number(kernel.description.loadAddress),
    symbols: Object.fromEntries([...kernel.description.symbols].map(([name, va]) => [name, Number(va - start)])),
    ram: (change.ram ?? []).map(([a, b]) => [Number(a), Number(b)] as const),
    reserved: [
      ...nodes.filter((node) => node.no_map !== true).map(range),
      [Number(dtb.address), Number(dtb.address + dtb.size)],
      ...(kernel.initrd.start === 0n || initrd === undefined
        ? []
        : [[Math.floor(Number(initrd.start) / 4096) * 4096, Math.ceil(Number(initrd.end) / 4096) * 4096] as const]),
    ],
    nomap: nodes.filter((node) => node.no_map === true).map(range),
    poolBytes: Number(kernel.options.kfencePoolBytes),
  };
}

const LEVELS = { sv39: 3, sv48: 4, sv57: 5 } as const;

/** Compares a boot with the slow one, table by table. */
function compare(mode: 'sv39' | 'sv48' | 'sv57', change: MachineChange): void {
  const kernel = bootedKernel({ ...change, mode });
  const slow = new PlainBoot(plain(kernel, change, LEVELS[mode]));
  for (const [address, table] of slow.tables) {
    expect([hex(address), ...words(kernel.memory, BigInt(address))]).toEqual([
      hex(address),
      ...[...table].map((word) => hex(word)),
    ]);
  }
  const own = kernel.allocations.events.map(({ address }) => Number(address));
  expect(own).toEqual([...slow.tables.keys()].slice(1));
}

const MIB = 2n ** 20n;

describe('other machines, against a slow and obvious boot', () => {
  const modes = ['sv39', 'sv48', 'sv57'] as const;
  const machines: Record<string, MachineChange> = {
    'tiny: 64 MiB with the device tree at the top': {
      ram: [['0x80000000', '0x84000000']],
      dtb: { address: '0x83e00000', size: '0x1527' },
      initrd: { start: '0x82200000', end: '0x823228f5' },
    },
    'an initrd in the topmost memory': {
      ram: [['0x80000000', '0x90000000']],
      dtb: { address: '0x8f000000', size: '0x2000' },
      initrd: { start: '0x8fe12345', end: '0x8ffffff0' },
    },
    'two banks, the kernel in the lower one, not at its start': {
      ram: [
        ['0x40000000', '0x48000000'],
        ['0x60200000', '0x68000000'],
      ],
      loadAddress: 0x4220_0000n,
      dtb: { address: '0x47e00000', size: '0x1800' },
      initrd: { start: '0x61000000', end: '0x61100000' },
    },
    'memory above 4 GiB, beginning inside a large page': {
      ram: [
        ['0x80040000', '0x88000000'],
        ['0x100000000', '0x140000000'],
      ],
      dtb: { address: '0x87e00000', size: '0x1527' },
      initrd: { start: '0x13ff00000', end: '0x13ff80000' },
    },
    'reserved memory, with and without no-map': {
      ram: [['0x80000000', '0x90000000']],
      dtb: { address: '0x8fe00000', size: '0x1527' },
      initrd: { start: '0x88200000', end: '0x883228f5' },
      reservedMemory: [
        { node: '/reserved-memory/firmware@80000000', base: '0x80000000', size: '0x80000', no_map: true },
        { node: '/reserved-memory/hole@8fd01000', base: '0x8fd01000', size: '0x3000', no_map: true },
        { node: '/reserved-memory/kept@8fc00000', base: '0x8fc00000', size: '0x100000', no_map: false },
      ],
    },
  };
  for (const [name, change] of Object.entries(machines)) {
    it(`${name}: ${modes.join(', ')}`, () => {
      for (const mode of modes) compare(mode, change);
    });
  }

  it('random banks, reservations and load addresses', () => {
    const megabytes = fc.integer({ min: 0, max: 24 });
    const machine = fc.record({
      mode: fc.constantFrom(...modes),
      first: fc.constantFrom(0x4000_0000n, 0x8000_0000n, 0x8000_1000n, 0xbfe0_0000n),
      pages: fc.integer({ min: 0, max: 511 }),
      tail: fc.integer({ min: 0, max: 511 }),
      gap: megabytes,
      kernelAt: fc.integer({ min: 1, max: 8 }),
      dtbBack: fc.integer({ min: 1, max: 40 }),
      noMap: fc.boolean(),
      kfence: fc.boolean(),
    });
    fc.assert(
      fc.property(machine, ({ mode, first, pages, tail, gap, kernelAt, dtbBack, noMap, kfence }) => {
        const base = (first & -0x20_0000n) + BigInt(kernelAt) * 2n * MIB;
        const end = base + 48n * MIB + BigInt(pages) * 4096n;
        const second = end + BigInt(gap) * MIB + 4096n;
        const last = second + 32n * MIB + BigInt(tail) * 4096n;
        const dtb = end - BigInt(dtbBack) * 0x1000n + 0x18n;
        const node = second + 8n * MIB + BigInt(tail) * 4096n;
        compare(mode, {
          loadAddress: base,
          ram: [
            [hex(first), hex(end)],
            [hex(second), hex(last)],
          ],
          dtb: { address: hex(dtb), size: '0x7e8' },
          initrd: { start: hex(last - 0x9_1234n), end: hex(last - 0x1_1000n) },
          reservedMemory: [{ node: '/reserved-memory/n', base: hex(node), size: '0x5000', no_map: noMap }],
          config: { CONFIG_KFENCE: kfence },
        });
      }),
      { numRuns: 25, seed: 12 },
    );
  });
});

describe('what a description decides', () => {
  it('chooses the mode by probing the hardware, after the command line', () => {
    const mode = (hardwareModes: readonly RiscvMode[], commandLine: string) =>
      bootKernel({ ...capturedMachine(), hardwareModes, commandLine }, { stage: 'start_kernel' }).mode;
    expect(mode(['sv39'], '')).toBe('sv39');
    expect(mode(['sv39', 'sv48'], '')).toBe('sv48');
    expect(mode(['sv39', 'sv48', 'sv57'], '')).toBe('sv57');
    expect(mode(['sv39', 'sv48', 'sv57'], 'no4lvl no5lvl')).toBe('sv39');
  });

  it('maps the early tables the same way in every mode', () => {
    for (const mode of ['sv39', 'sv48', 'sv57'] as const) {
      const kernel = bootKernel(machineWith({ mode }), { stage: 'start_kernel' });
      const fdt = fixToVirt(kernel.addresses, 'FIX_FDT');
      expect(rootLines(kernel, 'early_pg_dir')).toEqual([
        `${hex(fdt)}-${hex(fdt + 4n * MIB)} 0xbfe00000 level 1 0xe7`,
        '0xffffffff80000000-0xffffffff82000000 0x80200000 level 1 0xef',
      ]);
      expect(rootLines(kernel, 'trampoline_pg_dir')).toEqual([
        '0xffffffff80000000-0xffffffff80200000 0x80200000 level 1 0xef',
      ]);
    }
  });

  it('moves the kernel by the seed, and not with nokaslr', () => {
    const config = { CONFIG_RANDOMIZE_BASE: true, CONFIG_RELOCATABLE: true };
    const seeded = { ...machineWith({ config }), kaslrSeed: '0xb397764968ca9b4f' };
    const kernel = bootKernel(seeded, { stage: 'start_kernel' });
    const positions = (2n ** 30n - 0x1e6b000n) / (2n * MIB);
    const offset = (0xb397764968ca9b4fn % positions) * 2n * MIB;
    expect(kernel.kernelMap.virtAddr).toBe(0xffff_ffff_8000_0000n + offset);
    expect(rootLines(kernel, 'trampoline_pg_dir')[0]).toMatch(`${hex(kernel.kernelMap.virtAddr)}-`);
    const still = { ...seeded, commandLine: 'nokaslr' };
    expect(bootKernel(still, { stage: 'start_kernel' }).kernelMap.placement.virtOffset).toBe(0n);
  });

  it('takes a list of symbols that was moved as it is', () => {
    const { kernel, ...rest } = capturedMachine();
    const moved = Object.fromEntries(
      Object.entries(kernel.symbols).map(([name, va]) => [name, hex(BigInt(va) + 0x1_2a20_0000n - 0x1_0000_0000n)]),
    );
    const booted = bootKernel({ ...rest, kernel: { ...kernel, symbols: moved } }, { stage: 'start_kernel' });
    expect(booted.kernelMap.placement.virtOffset).toBe(0x2a20_0000n);
    expect(booted.symbolPa('early_pg_dir')).toBe(0x8100_5000n);
  });

  it('limits memory as mem= says, and forgets what lies above', () => {
    const kernel = bootedKernel({ commandLine: 'mem=256M no5lvl' });
    expect(kernel.memblock.memory).toEqual([{ start: 0x8000_0000n, end: 0x9000_0000n }]);
    expect(kernel.kfencePool).toBe(0x8fe0_0000n);
    expect(kernel.memoryLimit).toBe(256n * MIB);
  });

  it('cuts memory to what the linear map can hold', () => {
    const kernel = bootedKernel({ mode: 'sv39', ram: [['0x80000000', '0x10080000000']] });
    expect(kernel.memblock.memory).toEqual([{ start: 0x8000_0000n, end: 0x8000_0000n + 2n ** 37n }]);
  });

  it('gives up an initrd that is no memory or lies in the kernel, with a warning', () => {
    const outside = bootedKernel({ initrd: { start: '0x1000', end: '0x2000' } });
    expect([outside.initrd.start, outside.warnings.length]).toEqual([0n, 1]);
    const inside = bootedKernel({ initrd: { start: '0x80300000', end: '0x80310000' } });
    expect([inside.initrd.start, inside.warnings.length]).toEqual([0n, 1]);
  });

  it('lets the kernel place reserved memory that has no address', () => {
    const kernel = bootedKernel({
      reservedMemory: [
        { node: '/reserved-memory/pool', size: '0x100000', alignment: '0x100000', no_map: true },
        { node: '/reserved-memory/low', size: '0x1000', within: [{ start: '0x80000000', end: '0x90000000' }] },
      ],
    });
    expect(kernel.memblock.nomap).toEqual([{ start: 0x17ff0_0000n, end: 0x1_8000_0000n }]);
    expect(kernel.memblock.isReserved({ start: 0x8fff_f000n, end: 0x9000_0000n })).toBe(true);
    const space = createSpace(kernel.memory, { paging: kernel.paging, address: kernel.symbolPa('swapper_pg_dir') });
    expect(translate(space, kernel.kernelMap.va(0x17ff0_0000n)).mapped).toBe(false);
  });

  it('maps everything with pages for debug_pagealloc', () => {
    const kernel = bootedKernel({
      ram: [['0x80000000', '0x88000000']],
      commandLine: 'debug_pagealloc=on no5lvl',
      config: { CONFIG_DEBUG_PAGEALLOC: true },
      dtb: { address: '0x87000000', size: '0x1000' },
    });
    expect(
      rootLines(kernel, 'swapper_pg_dir')
        .filter((line) => line.startsWith('0xffffaf'))
        .every((line) => line.includes('level 0')),
    ).toBe(true);
  });

  it('maps the kernel executable throughout without strict protections', () => {
    const kernel = bootedKernel({ config: { CONFIG_STRICT_KERNEL_RWX: false } });
    expect(rootLines(kernel, 'swapper_pg_dir').at(-1)).toBe(
      '0xffffffff80000000-0xffffffff82000000 0x80200000 level 1 0xef',
    );
  });

  it('takes less than a second for a terabyte', () => {
    const before = performance.now();
    for (const mode of ['sv39', 'sv48', 'sv57'] as const) {
      bootedKernel({ mode, ram: [['0x80000000', '0x10080000000']] });
    }
    expect(performance.now() - before).toBeLessThan(3000);
  });
});

describe('where the kernel would have stopped', () => {
  const stop = (change: Parameters<typeof machineWith>[0]): string => {
    try {
      bootedKernel(change);
    } catch (error) {
      return error instanceof BootError ? error.rule : String(error);
    }
    return 'booted';
  };

  it('refuses a load address that is no large page, and a kernel without size', () => {
    expect(stop({ loadAddress: 0x8020_1000n })).toBe('load-align');
    expect(stop({ symbols: { _end: 0n } })).toBe('kernel-size');
  });

  it('refuses to use the linear map before its place is known', () => {
    const kernel = setupVm(createMachine(capturedMachine()));
    expect(() => kernel.kernelMap.va(0x8000_0000n)).toThrow(BootError);
    expect(() => kernel.kernelMap.pa(kernelAddresses('sv48').pageOffset)).toThrow(BootError);
    expect(() => kernel.kernelMap.paSymbol(0x1000n)).toThrow(/pa-symbol/);
  });

  it('names what a description lacks', () => {
    expect(() => bootKernel({}, { stage: 'start_kernel' })).toThrow(/kernel is no object/);
    const { kernel, ...rest } = capturedMachine();
    const { early_pg_dir: _, ...symbols } = kernel.symbols;
    const without = { ...rest, kernel: { ...kernel, symbols } };
    expect(() => bootKernel(without, { stage: 'start_kernel' })).toThrow(/early_pg_dir/);
    expect(() => bootKernel(capturedMachine(), { stage: 'lunch' })).toThrow(/boot-stage/);
    expect(() => bootKernel(capturedMachine(), { stage: 'after_kasan_init' })).toThrow(/boot-stage/);
  });
});

describe('relocation (relocate_kernel)', () => {
  it('moves addresses of the kernel and leaves those linked at 0', () => {
    const link = 0xffff_ffff_8000_0000n;
    const records = [
      { offset: link + 0x1000n, addend: link + 0x2000n },
      { offset: link + 0x1008n, addend: 0x5e8n },
      { offset: link + 0x1010n, addend: link, info: 2n },
    ];
    expect([...relocateKernel(records, link, link + 0x20_0000n, 0x8020_0000n)]).toEqual([
      { pa: 0x8020_1000n, value: link + 0x20_2000n },
      { pa: 0x8020_1008n, value: 0x5e8n },
    ]);
  });
});
