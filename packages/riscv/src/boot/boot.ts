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
  SparseMemory,
} from '@pagefold/core';
import { kasanEarlyInit } from '../kasan/early.ts';
import { kasanInit } from '../kasan/init.ts';
import { KASAN_PAGES, withKasanPages } from '../kasan/symbols.ts';
import { parseRelease } from '../layout/release.ts';
import { encodeSatp } from '../satp.ts';
import { buildOptions } from './build-options.ts';
import { readDescription } from './description.ts';
import type { BootMachine, Kernel } from './kernel.ts';
import { setupVm } from './setup-vm.ts';
import { pagingInit } from './setup-vm-final.ts';

const EARLY_ROOTS = ['early_pg_dir', 'trampoline_pg_dir'] as const;
const FINAL_ROOTS = ['swapper_pg_dir', ...EARLY_ROOTS] as const;

/** A stage, and which roots it has: the one in use first. */
interface Stage extends BootStage {
  readonly roots: readonly string[];
  /** How far the kernel gets. */
  readonly until: 'setup_vm' | 'paging_init' | 'kasan_init';
}

const STAGES: readonly Stage[] = [
  { name: 'start_kernel', meaning: 'the MMU is on, on the early tables', roots: EARLY_ROOTS, until: 'setup_vm' },
  { name: 'paging_init', meaning: 'its entry: the same tables', roots: EARLY_ROOTS, until: 'setup_vm' },
  {
    name: 'after_setup_vm_final',
    meaning: 'all memory is mapped, on the final tables',
    roots: FINAL_ROOTS,
    until: 'paging_init',
  },
  {
    name: 'after_kasan_init',
    meaning: 'KASAN has its real shadow (kernels with KASAN only)',
    roots: FINAL_ROOTS,
    until: 'kasan_init',
  },
];

/** Machine and kernel from a description, nothing done yet. */
export function createMachine(description: Capture, kasan?: boolean): BootMachine {
  const read = readDescription(description);
  const built = buildOptions(read);
  const options = { ...built, kasan: kasan ?? built.kasan };
  if (options.kasan && read.xlen === 32) throw new BootError('kasan-mode', 'there is no KASAN on RV32');
  const warnings: string[] = [];
  const complete = options.kasan ? withKasanPages(read) : read;
  if (complete !== read)
    warnings.push('the symbols have no tables of KASAN: they are put behind the end of the kernel');
  const end = read.symbols.get('_end');
  const start = read.symbols.get('_start');
  if (read.imageSize !== undefined && end !== undefined && start !== undefined && end - start !== read.imageSize) {
    warnings.push(
      `the symbols are those of a kernel of ${hex(end - start)} bytes, the image has ${hex(read.imageSize)}`,
    );
  }
  if (read.hardwareModes === undefined && read.xlen === 64 && options.xip === undefined) {
    warnings.push('it is not described which modes the hardware takes: all of them');
  }
  const release = parseRelease(read.kernelVersion ?? '6.12');
  if (release !== undefined && (release.major !== 6 || release.minor !== 12)) {
    warnings.push(`described is ${read.kernelVersion}, but the tables are made as Linux 6.12 makes them`);
  }
  return { description: complete, options, memory: new SparseMemory(), warnings };
}

/**
 * Boots a kernel up to a stage.
 * @throws BootError `boot-stage` for an unknown stage, or one that needs KASAN; and where the kernel would have stopped
 */
export function bootKernel(description: Capture, request: BootRequest): Kernel {
  const stage = stageNamed(request.stage);
  const machine = createMachine(description, request.kasan);
  if (stage.until === 'kasan_init' && !machine.options.kasan) {
    throw new BootError('boot-stage', 'only a kernel with KASAN reaches that stage', { stage: stage.name });
  }
  const kernel = setupVm(machine);
  if (machine.options.kasan) kasanEarlyInit(kernel);
  if (stage.until !== 'setup_vm') pagingInit(kernel);
  if (stage.until === 'kasan_init') kasanInit(kernel);
  return kernel;
}

function stageNamed(name: string): Stage {
  const found = STAGES.find((stage) => stage.name === name);
  if (found !== undefined) return found;
  const stages = STAGES.map((stage) => stage.name).join(' ');
  throw new BootError('boot-stage', 'there is no such stage', { stage: name, stages });
}

function rootsOf(kernel: Kernel, stage: Stage): BootedRoot[] {
  return stage.roots.map((label) => {
    const address = kernel.symbolPa(label);
    return { label, paging: kernel.paging, address, registers: { satp: encodeSatp(kernel.mode, address) } };
  });
}

/** Names of the tables that are part of the image, by their addresses. */
function staticTables(kernel: Kernel): Map<bigint, string> {
  const families = ['early', 'trampoline', 'fixmap'].flatMap((family) => {
    return ['pg_dir', 'p4d', 'pud', 'pmd', 'pte'].map((name) => `${family}_${name}`);
  });
  const names = [...families, 'swapper_pg_dir', ...KASAN_PAGES].filter((name) => kernel.description.symbols.has(name));
  return new Map(names.map((name) => [kernel.symbolPa(name), name]));
}

/** The kernel's variables about addresses, under its own names. */
function valuesOf(kernel: Kernel): Record<string, bigint> {
  const { kernelMap, physRamBase, dtbEarlyVa, description, maxPfn, initrd, addresses } = kernel;
  return {
    page_offset: kernelMap.pageOffset,
    virt_addr: kernelMap.virtAddr,
    virt_offset: kernelMap.placement.virtOffset,
    phys_addr: kernelMap.physAddr,
    size: kernelMap.size,
    va_pa_offset: kernelMap.vaPaOffset,
    va_kernel_pa_offset: kernelMap.vaKernelPaOffset,
    phys_ram_base: physRamBase,
    memory_limit: kernel.memoryLimit,
    _dtb_early_pa: description.dtb.address,
    _dtb_early_va: dtbEarlyVa,
    max_low_pfn: maxPfn,
    max_pfn: maxPfn,
    high_memory: maxPfn === 0n ? 0n : kernelMap.va(maxPfn << 12n),
    initrd_start: initrd.start,
    initrd_end: initrd.end,
    fixaddr_start: addresses.fixmap.start,
    fixaddr_top: addresses.fixmap.end,
    ...(kernel.kfencePool === undefined ? {} : { kfence_pool: kernel.kfencePool }),
  };
}

function hexed(values: Readonly<Record<string, bigint>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, hex(value)]));
}

/** Symbols that say where something of the tables is: of a complete list the rest is left out. */
const PLACES = ['_start', '_end', '_sdata', '__init_data_begin', '__start_rodata', '_data'];

function symbolsOf(kernel: Kernel): Record<string, bigint> {
  const { symbols, allSymbols } = kernel.description;
  const kept = new Set([...PLACES, ...staticTables(kernel).values()]);
  return Object.fromEntries([...symbols].filter(([name]) => !allSymbols || kept.has(name)));
}

/** The facts file of the result, in the shape that captures of real machines have. */
function captureOf(
  kernel: Kernel,
  stage: Stage,
  roots: readonly BootedRoot[],
  tables: readonly BootedTable[],
): Capture {
  const { mode, description, addresses, paging } = kernel;
  const arch = `riscv${addresses.xlen}`;
  return {
    name: `${arch}-${mode}-${stage.name}`,
    arch,
    stage: `early:${stage.name}`,
    mode,
    page_size: 4096,
    levels: paging.geometry.levels.length,
    roots: Object.fromEntries(
      roots.map(({ label, address, registers }) => [
        label,
        {
          ...hexed(registers),
          mode,
          asid: 0,
          root_pa: hex(address),
          tables: tables.filter((table) => table.roots.includes(label)).length,
        },
      ]),
    ),
    kernel_version: description.kernelVersion ?? null,
    boot_args: description.commandLine,
    symbols: hexed(symbolsOf(kernel)),
    values: hexed(valuesOf(kernel)),
    note: 'made by pagefold boot from a description; nothing here was read from a machine',
  };
}

/** Boots and describes the outcome. */
function boot(description: Capture, request: BootRequest): BootResult {
  const stage = stageNamed(request.stage);
  const kernel = bootKernel(description, request);
  const roots = rootsOf(kernel, stage);
  const names = staticTables(kernel);
  const tables = reachableTables(kernel.memory, roots).map((table) => ({ ...table, symbol: names.get(table.address) }));
  return {
    stage: stage.name,
    mode: kernel.mode,
    memory: kernel.memory,
    roots,
    registers: { satp: kernel.satp },
    values: valuesOf(kernel),
    tables,
    reserved: kernel.memblock.reserved.map(({ start, end }) => ({ start, end })),
    warnings: kernel.warnings,
    capture: captureOf(kernel, stage, roots, tables),
    elf: { machine: 243, bits: kernel.addresses.xlen },
  };
}

/** The boot of RISC-V kernels as Linux 6.12 does it. */
export const riscvBoot: BootProvider = {
  stages: STAGES.map(({ name, meaning }) => ({ name, meaning })),
  boot,
};
