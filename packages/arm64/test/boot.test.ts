import {
  type BootResult,
  createSpace,
  hex,
  type Memory,
  mappedRanges,
  phys,
  type RootDescription,
  rangesOverlap,
  reachableTables,
  readWord,
  translate,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  arm64,
  arm64Boot,
  bootKernel,
  LINUX_BUILDS,
  type LinuxBuild,
  linuxTtbr,
  symbolPa,
  vaBitsMin,
} from '../src/index.ts';
import {
  CAPTURED,
  capturedFacts,
  capturedMachine,
  capturedRuns,
  capturedTables,
  earlyCapture,
  type MachineChange,
  machineWith,
  runningMachine,
} from './boot-machine.ts';
import { PlainMap, plainMachine } from './boot-reference.ts';

const ALL = { start: 0n, end: 1n << 64n };

/** The words of a table as text. */
function words(memory: Memory, table: bigint, bytes: number): string {
  return Array.from({ length: bytes / 8 }, (_, i) => hex(readWord(memory, phys(table + BigInt(i) * 8n)))).join(' ');
}

/** Leaves as runs of equal ones. */
function leafTexts(memory: Memory, root: RootDescription): string[] {
  return mappedRanges(createSpace(memory, root), ALL).map(
    ({ start, end, pa, level, bits, leafBytes }) =>
      `${hex(start)} ${hex(end)} ${hex(pa)} ${level} ${hex(bits)} ${leafBytes}`,
  );
}

describe('rebuilding a captured kernel from its description (pi/map_kernel.c, mm/fixmap.c, mm/mmu.c)', () => {
  for (const stage of CAPTURED) {
    it(`gives the tables of ${stage}`, () => {
      const result = arm64Boot.boot(capturedMachine(stage), { stage });
      const facts = capturedFacts(earlyCapture(stage));
      const real = capturedTables(stage);
      const labels = Object.keys(facts.roots).filter((label) => facts.roots[label]?.start_level !== null);
      expect(result.roots.map(({ label }) => label).filter((label) => !labels.includes(label))).toEqual([]);
      expect(labels.filter((label) => !result.roots.some((root) => root.label === label))).toEqual([]);
      for (const root of result.roots) {
        const fact = facts.roots[root.label];
        expect([root.label, hex(root.address)]).toEqual([root.label, fact?.root_pa]);
        if (fact?.ttbr !== undefined) expect(hex(root.registers.ttbr ?? 0n)).toBe(fact.ttbr);
        const tables = reachableTables(real, [root]);
        expect(tables.length).toBe(fact?.tables);
        // No symbol says where the tables of this one lie.
        if (root.label !== 'idmap_pg_dir') {
          expect(reachableTables(result.memory, [root])).toEqual(tables);
          for (const { address, bytes } of tables) {
            expect(words(result.memory, address, bytes)).toEqual(words(real, address, bytes));
          }
        }
        expect(leafTexts(result.memory, root)).toEqual(leafTexts(real, root));
      }
      for (const [name, value] of Object.entries(result.registers)) {
        expect([name, hex(value)]).toEqual([name, facts.registers[name]]);
      }
      for (const [name, value] of Object.entries(facts.values ?? {})) {
        if (name in result.values) expect([name, hex(result.values[name] ?? 0n)]).toEqual([name, value]);
      }
    });
  }
});

/** The linear map as runs, like those of a capture. */
function linearRuns(result: BootResult, start: bigint, end: bigint): string[] {
  const [root] = result.roots;
  if (root === undefined) return [];
  return mappedRanges(createSpace(result.memory, root), { start, end }).map((run) =>
    [hex(run.start), hex(run.end), hex(run.pa), 3 - run.level, run.leafBytes].join(' '),
  );
}

describe('linear maps with blocks, as running kernels have them', () => {
  for (const [name, page, groups] of [
    ['arm64-4k-48-blocks-6.12', 12, [16n, 16n]],
    ['arm64-16k-47-blocks-6.12', 14, [128n, 32n]],
  ] as const) {
    it(name, () => {
      const facts = capturedFacts(name);
      const result = arm64Boot.boot(runningMachine(name), { stage: 'after_paging_init' });
      for (const key of ['memstart_addr', 'high_memory', '__kfence_pool', 'rodata_full', 'kimage_voffset']) {
        expect([key, hex(result.values[key] ?? 0n)]).toEqual([key, facts.values[key]]);
      }
      const start = result.values.page_offset as bigint;
      const pool = result.values.__kfence_pool as bigint;
      const linear = (1n << 64n) - (1n << BigInt(vaBitsMin({ granule: page === 12 ? '4K' : '16K', vaBits: 52 })));
      const middle = linear + ((1n << 64n) - linear) / 2n;
      expect(start).toBeLessThan(linear);
      // What protections have become is later work; KFENCE switches pages of its pool on and off.
      const merged: string[] = [];
      let last: [bigint, bigint, bigint, bigint] | undefined;
      for (const [from, to, pa, level, bits, tables] of capturedRuns(name).kernel ?? []) {
        const va = BigInt(from);
        if (va < linear || va >= middle || va >= pool) continue;
        expect(BigInt(tables)).toBe(0x1800_0000_0000_0000n);
        const entry = 1n << BigInt(page + (3 - level) * (page - 3));
        const run = (BigInt(bits) >> 52n) & 1n;
        const leaf = run === 0n ? entry : entry * (groups[3 - level] as bigint);
        if (last !== undefined && last[1] === va && last[3] === leaf && last[2] + va - last[0] === BigInt(pa)) {
          last[1] = BigInt(to);
          continue;
        }
        if (last !== undefined) merged.push([hex(last[0]), hex(last[1]), hex(last[2]), last[3]].join(' '));
        last = [va, BigInt(to), BigInt(pa), leaf];
      }
      if (last !== undefined) merged.push([hex(last[0]), hex(last[1]), hex(last[2]), last[3]].join(' '));
      const mine: string[] = [];
      let open: { start: string; end: string; pa: bigint; leaf: string } | undefined;
      for (const text of linearRuns(result, linear, pool)) {
        const [from, to, pa, , leaf] = text.split(' ') as [string, string, string, string, string];
        if (open !== undefined && open.end === from && open.leaf === leaf) {
          open.end = to;
          continue;
        }
        if (open !== undefined) mine.push([open.start, open.end, hex(open.pa), open.leaf].join(' '));
        open = { start: from, end: to, pa: BigInt(pa), leaf };
      }
      if (open !== undefined) mine.push([open.start, open.end, hex(open.pa), open.leaf].join(' '));
      expect(mine.length).toBeGreaterThan(4);
      expect(mine).toEqual(merged);
    });
  }
});

const GIB = 1n << 30n;
const RAM: Readonly<Record<string, MachineChange['ram']>> = {
  'one bank': [[0x4000_0000n, 0x8000_0000n]],
  'holes and unaligned edges': [
    [0x4000_0000n, 0x5fff_0000n],
    [0x6021_0000n, 0x7fff_0000n],
    [0x8_8000_0000n, 0x8_c020_0000n],
  ],
  '5 GiB': [[0x4000_0000n, 0x4000_0000n + 5n * GIB]],
};

/** Compares every page of a boot with what each page should be. */
function compare(change: MachineChange): void {
  const description = machineWith(change);
  const kernel = bootKernel(description, { stage: 'after_paging_init' });
  const result = arm64Boot.boot(description, { stage: 'after_paging_init' });
  expect(result.warnings).toEqual([]);
  const plain = new PlainMap(plainMachine(kernel));
  // Later it may share tables with swapper_pg_dir, whose root began as its copy.
  const before = arm64Boot.boot(description, { stage: 'start_kernel' });
  const init = before.roots.find((each) => each.label === 'init_pg_dir') as RootDescription;
  expect(PlainMap.observed(before.memory, init)).toEqual(plain.ranges('init_pg_dir'));
  for (const label of ['swapper_pg_dir', 'init_idmap_pg_dir', 'idmap_pg_dir'] as const) {
    const root = result.roots.find((each) => each.label === label);
    if (root === undefined) throw new Error(label);
    expect([label, PlainMap.observed(result.memory, root)]).toEqual([label, plain.ranges(label)]);
  }
  // No table lies in memory that something else has, and none that was allocated lies in the image.
  const used = [kernel.description.dtb].map(({ address, size }) => ({ start: address, end: address + size }));
  for (const { address, bytes, symbol } of result.tables) {
    const at = { start: address as bigint, end: address + BigInt(bytes) };
    expect(used.some((each) => rangesOverlap(each, at))).toBe(false);
    const image = { start: kernel.description.loadAddress, end: plain.imageEnd };
    expect(rangesOverlap(image, at)).toBe(symbol !== undefined);
  }
  const swapper = result.roots[0];
  expect(result.registers.TTBR1_EL1).toBe(linuxTtbr({ root: swapper?.address ?? 0n }, plainMachine(kernel).paBits));
  // The facts file leads to the same addresses as the roots.
  expect((result.capture.regime as { ds_lpa2: boolean }).ds_lpa2).toBe(kernel.decision.lpa2);
  for (const root of result.roots) {
    const [again] = arm64.captureRoots(result.capture, root.label, {});
    expect([root.label, again?.address, again?.paging.geometry.vaBits]).toEqual([
      root.label,
      root.address,
      root.paging.geometry.vaBits,
    ]);
    const space = createSpace(result.memory, again as RootDescription);
    for (const va of [kernel.place.imageStart, kernel.description.loadAddress + 0x1_0000n]) {
      const expected = translate(createSpace(result.memory, root), va);
      expect('pa' in translate(space, va)).toBe('pa' in expected);
    }
  }
  expect(translate(createSpace(result.memory, swapper as RootDescription), kernel.place.imageStart)).toMatchObject({
    pa: kernel.description.loadAddress,
  });
}

describe('other machines, page by page', () => {
  const named = (build: LinuxBuild): string => `${build.granule} pages, ${build.vaBits} bits`;
  const builds = [...LINUX_BUILDS, { granule: '64K', vaBits: 52, paBits: 52 } as const];
  for (const build of builds) {
    // 36 and 39 bits hold the machine too; their linear maps are small.
    it(`${named(build)}${'paBits' in build ? ', 52 physical' : ''}`, () => {
      for (const wide of build.vaBits === 52 ? [true, false] : [false]) {
        for (const commandLine of ['nokaslr', 'nokaslr rodata=off kfence.sample_interval=100']) {
          compare({ build, wide, commandLine, ram: RAM['one bank'] as NonNullable<MachineChange['ram']> });
        }
      }
    });
  }

  for (const [name, ram] of Object.entries(RAM)) {
    it(name, () => {
      for (const build of [
        { granule: '4K', vaBits: 52 },
        { granule: '16K', vaBits: 52 },
        { granule: '64K', vaBits: 48 },
      ] as const) {
        const commandLine = 'nokaslr rodata=off kfence.sample_interval=100';
        compare({ build, wide: name === 'one bank', commandLine, ...(ram && { ram }) });
      }
    });
  }

  it('moved by KASLR, with page table isolation and without', () => {
    for (const e0pd of [true, false]) {
      for (const wide of [true, false]) {
        const build = { granule: '4K', vaBits: 52 } as const;
        const kaslrSeed = 0x0123_4567_89ab_cdefn;
        compare({ build, wide, e0pd, kaslrSeed, commandLine: 'quiet', loadAddress: 0x4023_0000n });
      }
    }
  });

  it('takes rodata= only as it is spelled, and the first rodata=off for its first map', () => {
    const told = (commandLine: string) => {
      const { options } = bootKernel(
        machineWith({ build: { granule: '16K', vaBits: 52 }, commandLine: `nokaslr ${commandLine}` }),
        { stage: 'start_kernel' },
      );
      return [options.rodata, options.writableText];
    };
    expect(told('')).toEqual(['full', false]);
    expect(told('rodata=off')).toEqual(['off', true]);
    expect(told('rodata=noalias')).toEqual(['full', false]);
    expect(told('rodata=n rodata=1')).toEqual(['full', false]);
    expect(told('rodata=full rodata=on rodata=OFF')).toEqual(['on', false]);
    expect(told('rodata=off rodata=full')).toEqual(['full', true]);
    expect(told('rodata=off arm64_sw.rodataoff=0')).toEqual(['off', false]);
    const described = machineWith({ build: { granule: '4K', vaBits: 48 }, commandLine: 'nokaslr rodata=off' });
    const full = ['start_kernel', 'paging_init'].map(
      (stage) => arm64Boot.boot(described, { stage }).values.rodata_full,
    );
    expect(full).toEqual([1n, 0n]);
  });

  it('maps all memory with mem=0', () => {
    const build = { granule: '4K', vaBits: 48 } as const;
    const [all, none] = ['nokaslr', 'nokaslr mem=0'].map((commandLine) =>
      bootKernel(machineWith({ build, commandLine }), { stage: 'after_paging_init' }),
    );
    expect(none?.memblock.memory).toEqual(all?.memblock.memory);
    expect(none?.memoryLimit).toBe(0n);
  });

  it('runs where its symbols have moved if nobody knows the seed', () => {
    const build = { granule: '4K', vaBits: 48 } as const;
    const commandLine = 'quiet';
    const seeded = machineWith({ build, wide: false, e0pd: false, kaslrSeed: 0x1234_5678_9abc_0000n, commandLine });
    const kernel = bootKernel(seeded, { stage: 'after_paging_init' });
    const { kaslrSeed: _, ...rest } = seeded as Record<string, unknown> & {
      kernel: { symbols: Record<string, string> };
    };
    const by = kernel.place.imageStart - BigInt(rest.kernel.symbols._text as string);
    const moved = Object.entries(rest.kernel.symbols).map(([name, at]) => [name, hex(BigInt(at) + by)]);
    const description = { ...rest, kernel: { ...rest.kernel, symbols: Object.fromEntries(moved) } };
    const again = bootKernel(description, { stage: 'after_paging_init' });
    expect([again.place.imageStart, again.nonGlobal]).toEqual([kernel.place.imageStart, true]);
    expect(again.warnings.join()).toMatch(/where its symbols say/);
    // The low bits of this seed are zero, so that the linear map stays, too.
    const [a, b] = [kernel, again].map((each) =>
      PlainMap.observed(each.memory, { paging: each.paging, address: symbolPa(each, 'swapper_pg_dir'), label: 'x' }),
    );
    expect(b).toEqual(a);
    const unmoved = arm64Boot.boot(rest, { stage: 'start_kernel' });
    expect(unmoved.warnings.join()).toMatch(/stays where it is linked/);
  });

  it('reserved memory, some of it not mapped; the device tree where a table is needed for it', () => {
    compare({
      build: { granule: '16K', vaBits: 48 },
      dtb: 0x5_0000_1000n,
      ram: [
        [0x4000_0000n, 0x8000_0000n],
        [0x5_0000_0000n, 0x5_1000_0000n],
      ],
      reservedMemory: [
        { node: 'firmware', base: '0x50000000', size: '0x200000', no_map: true },
        { node: 'buffer', base: '0x7ff00000', size: '0x100000', no_map: false },
        { node: 'pool', size: '0x400000', alignment: '0x200000', no_map: false },
      ],
    });
  });
});
