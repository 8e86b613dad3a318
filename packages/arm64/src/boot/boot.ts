/** From a description to the tables of a stage, with everything that can be said about them. */
import {
  BootError,
  type BootedRoot,
  type BootedTable,
  type BootProvider,
  type BootRequest,
  type BootResult,
  type BootStage,
  type Capture,
  decodeRegister,
  encodeRegister,
  hex,
  type Paging,
  reachableTables,
} from '@pagefold/core';
import { PAGE_BITS } from '../granule.ts';
import { cpuOfIds, physicalBits } from '../identification.ts';
import { paBitsOf } from '../linux-builds.ts';
import { linuxTcr, linuxTtbr } from '../linux-registers.ts';
import { LINUX_MAIR } from '../memory-types.ts';
import { tcrEl1 } from '../registers.ts';
import { readDescription } from './description.ts';
import { createIdmap, earlyMapKernel } from './early-map.ts';
import { earlyFixmapInit, mapDeviceTree, mapEarlyConsole } from './fixmap.ts';
import { kasanEarlyInit, kasanInit } from './kasan.ts';
import { createKernel, idmapPaging, type Kernel, linearVa, symbolPa } from './kernel.ts';
import { dramRange, memblockInit } from './memory.ts';
import { lowPaging } from './page-tree.ts';
import { pagingInit } from './paging-init.ts';

/** A stage, what has happened when it is reached, and which roots it has: those in registers first. */
interface Stage extends BootStage {
  readonly done: number;
  readonly ttbr0: string | undefined;
  readonly ttbr1: string | undefined;
  readonly roots: readonly string[];
}

const EARLY = ['init_idmap_pg_dir', 'init_pg_dir'] as const;
const RESERVED = 'reserved_pg_dir';
const SWAPPER = 'swapper_pg_dir';

const STAGES: readonly Stage[] = [
  {
    name: 'mmu_off_idmap',
    meaning: 'the identity map is made, the MMU is still off',
    done: 0,
    ttbr0: undefined,
    ttbr1: undefined,
    roots: ['init_idmap_pg_dir'],
  },
  {
    name: 'start_kernel',
    meaning: 'the kernel runs at its own address',
    done: 1,
    ttbr0: 'init_idmap_pg_dir',
    ttbr1: SWAPPER,
    roots: [SWAPPER, ...EARLY],
  },
  {
    name: 'paging_init',
    meaning: 'its entry: memory is known, the device tree is in the fixmap',
    done: 2,
    ttbr0: RESERVED,
    ttbr1: SWAPPER,
    roots: [SWAPPER, RESERVED, ...EARLY],
  },
  {
    name: 'after_paging_init',
    meaning: 'all memory is mapped',
    done: 3,
    ttbr0: RESERVED,
    ttbr1: SWAPPER,
    roots: [SWAPPER, RESERVED, 'idmap_pg_dir', ...EARLY],
  },
  {
    name: 'after_kasan_init',
    meaning: 'KASAN has its real shadow (kernels with KASAN only)',
    done: 4,
    ttbr0: RESERVED,
    ttbr1: SWAPPER,
    roots: [SWAPPER, RESERVED, 'idmap_pg_dir', ...EARLY],
  },
];

function stageNamed(name: string): Stage {
  const found = STAGES.find((stage) => stage.name === name);
  if (found !== undefined) return found;
  const stages = STAGES.map((stage) => stage.name).join(' ');
  throw new BootError('boot-stage', 'there is no such stage', { stage: name, stages });
}

/** What happens on the way, in its order. */
const STEPS: readonly ((kernel: Kernel) => void)[] = [
  createIdmap,
  (kernel) => {
    earlyMapKernel(kernel);
    if (kernel.options.kasan !== undefined) kasanEarlyInit(kernel);
  },
  (kernel) => {
    earlyFixmapInit(kernel);
    mapDeviceTree(kernel);
    mapEarlyConsole(kernel);
    memblockInit(kernel);
  },
  pagingInit,
  kasanInit,
];

/**
 * Boots a kernel up to a stage.
 * @throws BootError `boot-stage` for an unknown stage; and where the kernel would have stopped
 */
export function bootKernel(description: Capture, request: BootRequest): Kernel {
  const { done } = stageNamed(request.stage);
  const kernel = createKernel(readDescription(description), request.kasan);
  if (done === 4 && kernel.options.kasan === undefined) {
    throw new BootError('boot-stage', 'only a kernel with KASAN reaches that stage', { stage: request.stage });
  }
  for (const step of STEPS.slice(0, done + 1)) step(kernel);
  const { kernelVersion } = kernel.description;
  if (kernelVersion !== undefined && !/^v?6\.12\b/.test(kernelVersion)) {
    kernel.warnings.push(`described is ${kernelVersion}, but the tables are made as Linux 6.12 makes them`);
  }
  return kernel;
}

/** TCR_EL1 at a stage. */
function tcrOf(kernel: Kernel, { done }: Stage): bigint {
  const { options, decision, ids } = kernel;
  const tcr = linuxTcr(options.build, {
    actualBits: decision.vaBits,
    physicalBits: physicalBits(ids),
    accessFlag: options.accessFlag && cpuOfIds(ids).hafdbs >= 1,
    randomizeBase: options.randomizeBase,
    softwareTags: options.kasan === 'sw_tags',
    ...(options.mte ? { tagging: 'mte' as const } : {}),
    stage: done === 0 ? 'boot' : 'running',
  });
  // Once the identity map is not needed, the lower half is as large as programs have it.
  if (done < 2) return tcr;
  return encodeRegister(tcrEl1, { ...decodeRegister(tcrEl1, tcr), t0sz: 64 - decision.vaBits });
}

function isLow(label: string): boolean {
  return label.includes('idmap') || label === RESERVED;
}

function pagingOf(kernel: Kernel, label: string): Paging {
  if (label === RESERVED) return lowPaging(kernel.options.build, kernel.lpa2, kernel.decision.vaBits);
  return isLow(label) ? idmapPaging(kernel) : kernel.paging;
}

function rootsOf(kernel: Kernel, stage: Stage): BootedRoot[] {
  const paBits = paBitsOf(kernel.options.build);
  return stage.roots.map((label) => {
    const offset = isLow(label) ? 0n : kernel.rootOffset;
    const address = symbolPa(kernel, label) + offset;
    const ttbr = linuxTtbr({ root: address }, paBits);
    return { label, paging: pagingOf(kernel, label), address, registers: { ttbr } };
  });
}

function registersOf(kernel: Kernel, stage: Stage, roots: readonly BootedRoot[]): Record<string, bigint> {
  const ttbr = (label: string | undefined): bigint => roots.find((root) => root.label === label)?.registers.ttbr ?? 0n;
  return {
    TTBR0_EL1: ttbr(stage.ttbr0),
    TTBR1_EL1: ttbr(stage.ttbr1),
    TCR_EL1: tcrOf(kernel, stage),
    MAIR_EL1: LINUX_MAIR,
  };
}

/** The kernel's variables about addresses, under its own names, as far as they have their values at a stage. */
function valuesOf(kernel: Kernel, { done }: Stage): Record<string, bigint> {
  const { options, symbols, description, decision } = kernel;
  const early = {
    page_offset: symbols.PAGE_OFFSET,
    vabits_actual: BigInt(decision.vaBits),
    kimage_vaddr: kernel.place.imageStart,
    kimage_voffset: kernel.kimageVoffset,
    kaslr_offset: kernel.place.offset,
    arm64_use_ng_mappings: BigInt(kernel.nonGlobal),
    // Boot arguments are read later.
    rodata_full: BigInt(done < 2 ? options.rodataFullByDefault : options.rodata === 'full'),
    __fdt_pointer: description.dtb.address,
  };
  if (done < 2) return early;
  const { end } = dramRange(kernel);
  return {
    ...early,
    memstart_addr: BigInt.asUintN(64, kernel.memstart),
    memory_limit: kernel.memoryLimit,
    high_memory: linearVa(kernel, end - 1n) + 1n,
    initrd_start: kernel.initrd === undefined ? 0n : linearVa(kernel, kernel.initrd.start),
    initrd_end: kernel.initrd === undefined ? 0n : linearVa(kernel, kernel.initrd.end),
    __kfence_pool: kernel.kfencePool === undefined ? 0n : linearVa(kernel, kernel.kfencePool),
  };
}

/** Names of the tables that are part of the image, by their addresses. */
function staticNames(kernel: Kernel): Map<bigint, string> {
  const { symbols } = kernel.description;
  const roots = STAGES.flatMap(({ roots }) => roots).map((name) => [symbolPa(kernel, name), name] as const);
  const offset = kernel.rootOffset;
  const upper = roots.filter(([, name]) => !isLow(name)).map(([at, name]) => [at + offset, name] as const);
  const known = ['bm_pud', 'bm_pmd', 'bm_pte', 'idmap_ptes', 'kpti_ptes', 'map_fdt.ptes'].filter((name) =>
    symbols.has(name),
  );
  const tables = known.map((name) => [symbolPa(kernel, name), name] as const);
  return new Map<bigint, string>([...roots, ...upper, ...tables]);
}

/** The symbol of a table: its own, or that of the area of the image that it lies in. */
function tableNames(kernel: Kernel): (address: bigint) => string | undefined {
  const names = staticNames(kernel);
  const page = kernel.paging.pageBytes;
  const pages = page * 8n;
  const areas: readonly (readonly [start: bigint, end: bigint, name: string])[] = [
    [symbolPa(kernel, 'init_idmap_pg_dir'), symbolPa(kernel, 'init_idmap_pg_end'), 'init_idmap_pg_dir'],
    [symbolPa(kernel, 'init_pg_dir'), symbolPa(kernel, 'init_pg_end'), 'init_pg_dir'],
    ...[...kernel.assumed].map(([name, start]) => [start, start + pages, name] as const),
    ...['bm_pte', 'idmap_ptes', 'kpti_ptes', 'map_fdt.ptes']
      .filter((name) => kernel.description.symbols.has(name))
      .map((name) => [symbolPa(kernel, name), symbolPa(kernel, name) + pages, name] as const),
  ];
  return (address) => {
    const exact = names.get(address);
    if (exact !== undefined) return exact;
    return areas
      .filter(([start, end]) => address >= start && address < end)
      .sort((a, b) => Number(b[0] - a[0]))[0]?.[2];
  };
}

function hexed(values: Readonly<Record<string, bigint>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, hex(value)]));
}

/** The facts file of the result, in the shape that captures of real machines have. */
function captureOf(kernel: Kernel, stage: Stage, result: Omit<BootResult, 'capture' | 'elf'>): Capture {
  const { description, options } = kernel;
  const { registers, roots, tables, mode } = result;
  const field = decodeRegister(tcrEl1, registers.TCR_EL1 ?? 0n);
  const value = (name: string): number => Number(field[name]);
  const granule = 2 ** PAGE_BITS[options.build.granule];
  const one = (label: string, root: BootedRoot): Record<string, unknown> => ({
    ...(label === stage.ttbr0 ? { reg: 'TTBR0_EL1' } : label === stage.ttbr1 ? { reg: 'TTBR1_EL1' } : {}),
    ...hexed(root.registers),
    root_pa: hex(root.address),
    upper: !isLow(label),
    asid: 0,
    tsz: 64 - root.paging.geometry.vaBits,
    start_level: root.paging.geometry.root.hardware,
    tables: tables.filter((table) => table.roots.includes(label)).length,
  });
  return {
    name: `arm64-${mode}-${stage.name}`,
    arch: 'arm64',
    stage: `early:${stage.name}`,
    page_size: granule,
    regime: {
      t0sz: value('t0sz'),
      t1sz: value('t1sz'),
      va_bits_low: 64 - value('t0sz'),
      va_bits_high: 64 - value('t1sz'),
      granule0: granule,
      granule1: granule,
      ds_lpa2: value('ds') === 1,
      ips: value('ips'),
      ...Object.fromEntries(
        ['tbi0', 'tbi1', 'tbid0', 'tbid1', 'ha', 'hd', 'hpd0', 'hpd1', 'a1', 'e0pd0', 'e0pd1', 'epd0', 'epd1'].map(
          (name) => [name, value(name)],
        ),
      ),
      as16: value('as'),
    },
    roots: Object.fromEntries(roots.map((root) => [root.label, one(root.label, root)])),
    registers: hexed(registers),
    kernel_version: description.kernelVersion ?? null,
    boot_args: description.commandLine,
    symbols: hexed(Object.fromEntries(description.symbols)),
    values: hexed(result.values),
    note: 'made by pagefold boot from a description; nothing here was read from a machine',
  };
}

/** Boots and describes the outcome. */
function boot(description: Capture, request: BootRequest): BootResult {
  const stage = stageNamed(request.stage);
  const kernel = bootKernel(description, request);
  const { granule, vaBits } = kernel.options.build;
  const roots = rootsOf(kernel, stage);
  const nameOf = tableNames(kernel);
  const tables: BootedTable[] = reachableTables(kernel.memory, roots).map((table) => ({
    ...table,
    symbol: nameOf(table.address),
  }));
  const actual = kernel.decision.vaBits;
  const result = {
    stage: stage.name,
    mode: `${granule}-${vaBits}${actual === vaBits ? '' : `-on-${actual}`}`,
    memory: kernel.memory,
    roots,
    registers: registersOf(kernel, stage, roots),
    values: valuesOf(kernel, stage),
    tables,
    reserved: kernel.memblock.reserved.map(({ start, end }) => ({ start, end })),
    warnings: kernel.warnings,
  };
  return { ...result, capture: captureOf(kernel, stage, result), elf: { machine: 183, bits: 64 } };
}

/** The boot of arm64 kernels as Linux 6.12 does it. */
export const arm64Boot: BootProvider = {
  stages: STAGES.map(({ name, meaning }) => ({ name, meaning })),
  boot,
};
