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
  hex,
  reachableTables,
} from '@pagefold/core';
import { FIXED } from '../layout/numbers.ts';
import { LINUX_MAIR, LINUX_REMAP } from '../memory-types.ts';
import { isOn, readArmDescription } from './description.ts';
import { earlyFixmapInit } from './fixmap.ts';
import { createPageTables } from './head.ts';
import { kasanEarlyInit, kasanInit } from './kasan.ts';
import { type ArmKernel, createKernel } from './kernel.ts';
import { reserveMemory } from './memory.ts';
import { pagingInit } from './paging-init.ts';

const STAGES: readonly BootStage[] = [
  { name: 'start_kernel', meaning: 'the MMU is on, on the sections that the first code made' },
  { name: 'paging_init', meaning: 'its entry: the same, and a table for the fixmap' },
  { name: 'after_paging_init', meaning: 'low memory, vectors and device tree are mapped for good' },
  { name: 'after_kasan_init', meaning: 'KASAN has its real shadow (kernels with KASAN only)' },
];

/**
 * Boots a kernel up to a stage.
 * @throws BootError `boot-stage` for an unknown stage, or where the description is unusable
 */
export function bootArmKernel(description: Capture, request: BootRequest): ArmKernel {
  const reached = STAGES.findIndex(({ name }) => name === request.stage);
  if (reached < 0) {
    const stages = STAGES.map(({ name }) => name).join(' ');
    throw new BootError('boot-stage', 'there is no such stage', { stage: request.stage, stages });
  }
  const kernel = createKernel(readArmDescription(description), request.kasan);
  if (reached === 3 && !kernel.kasan) {
    throw new BootError('boot-stage', 'only a kernel with KASAN reaches that stage', { stage: request.stage });
  }
  createPageTables(kernel);
  if (kernel.kasan) kasanEarlyInit(kernel);
  if (reached === 0) return kernel;
  earlyFixmapInit(kernel);
  reserveMemory(kernel);
  if (reached > 1) pagingInit(kernel);
  if (reached > 2) kasanInit(kernel);
  return kernel;
}

/** TTBR as Linux fills it: where walks are cached, and whether they are shared. */
function tableBase({ model, cpu, tables }: ArmKernel): bigint {
  if (model === 'lpae') return tables.root;
  return tables.root | (cpu.smp ? 0x6an : 0x59n);
}

/** The registers that translation depends on, as Linux programs them. */
function registersOf(kernel: ArmKernel): Record<string, bigint> {
  const { model, cpu, addresses, description } = kernel;
  const ttbr = tableBase(kernel);
  if (model === 'short') {
    return {
      TTBR0: ttbr,
      TTBR1: ttbr,
      TTBCR: 0n,
      // Users' domain is closed while the kernel runs, unless it was built to trust itself.
      DACR: isOn(description, 'CPU_SW_DOMAIN_PAN', true) ? 0x51n : 0x55n,
      MAIR0: LINUX_REMAP.prrr,
      MAIR1: LINUX_REMAP.nmrr,
    };
  }
  const flags = cpu.smp ? 0x3500n : 0xf00n;
  // Kernels that close users' addresses through TTBR0 need TTBR1 for all others, and the whole table in it: usual
  // since Linux 6.10 (arch/arm/Kconfig, CPU_TTBR0_PAN).
  const whole = { offset: 0n, t1sz: 0 };
  const split = isOn(description, 'CPU_TTBR0_PAN', true) ? whole : (addresses.ttbr1 ?? whole);
  return {
    TTBR0: ttbr,
    TTBR1: ttbr + split.offset,
    TTBCR: (1n << 31n) | (flags << 16n) | flags | (BigInt(split.t1sz) << 16n),
    MAIR0: LINUX_MAIR & 0xffff_ffffn,
    MAIR1: LINUX_MAIR >> 32n,
  };
}

/** The kernel's variables about addresses, under its own names. */
function valuesOf({ addresses, sections, tables }: ArmKernel): Record<string, bigint> {
  return {
    page_offset: addresses.pageOffset,
    phys_offset: addresses.physOffset,
    arm_lowmem_limit: addresses.lowmemLimit,
    high_memory: addresses.highMemory,
    vmalloc_start: addresses.vmallocStart,
    kernel_sec_start: sections.start,
    kernel_sec_end: sections.end,
    swapper_pg_dir: tables.root,
    fixaddr_start: FIXED.fixmapStart,
  };
}

function hexed(values: Readonly<Record<string, bigint>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, hex(value)]));
}

/** The facts file of the result, in the shape that captures of real machines have. */
function captureOf(kernel: ArmKernel, stage: string, tables: readonly BootedTable[]): Capture {
  const { model, description, tables: own } = kernel;
  const ttbr = tableBase(kernel);
  const size = model === 'lpae' ? { start_level: 1, tsz: 0, asid: 0 } : {};
  return {
    name: `arm-${model}-${stage}`,
    arch: 'arm',
    stage: `early:${stage}`,
    page_size: 4096,
    regime: model === 'lpae' ? { format: 'long (LPAE)', t0sz: 0, t1sz: 0 } : { format: 'short', ttbcr_n: 0 },
    roots: {
      swapper_pg_dir: { reg: 'TTBR0', ttbr: hex(ttbr), root_pa: hex(own.root), tables: tables.length, ...size },
    },
    registers: hexed({ ...registersOf(kernel), SCTLR: model === 'lpae' ? 0x30c5_387dn : 0x10c5_387dn }),
    kernel_version: description.kernelVersion ?? null,
    boot_args: description.commandLine,
    symbols: hexed(Object.fromEntries(description.symbols)),
    values: hexed(valuesOf(kernel)),
    note: 'made by pagefold boot from a description; nothing here was read from a machine',
  };
}

function boot(description: Capture, request: BootRequest): BootResult {
  const kernel = bootArmKernel(description, request);
  const { tables: own, model, memblock, staticNames } = kernel;
  const registers = registersOf(kernel);
  const root: BootedRoot = {
    label: 'swapper_pg_dir',
    paging: own.names.paging,
    address: own.root,
    registers: { TTBR0: tableBase(kernel) },
    ...(model === 'short' ? { control: { dacr: Number(registers.DACR) } } : {}),
  };
  const tables = reachableTables(own.memory, [root]).map((table) => ({
    ...table,
    // Hardware tables lie in the second half of their page; the page is what was reserved.
    symbol: staticNames.get(table.address) ?? staticNames.get(table.address & ~0xfffn),
  }));
  return {
    stage: request.stage,
    mode: model,
    memory: own.memory,
    roots: [root],
    registers,
    values: valuesOf(kernel),
    tables,
    reserved: memblock.reserved.map(({ start, end }) => ({ start, end })),
    warnings: [...kernel.warnings, ...own.warnings],
    capture: captureOf(kernel, request.stage, tables),
    elf: { machine: 40, bits: 64 },
  };
}

/** The boot of 32-bit Arm kernels as Linux 6.12 does it. */
export const armBoot: BootProvider = { stages: STAGES, boot };
