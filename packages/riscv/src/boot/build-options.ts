/**
 * What the kernel was built with and told on its command line, as far as its tables depend on it.
 * Source: Linux 6.12 arch/riscv/Kconfig, lib/Kconfig.kfence, lib/cmdline.c (`memparse`).
 */
import { BootError, commandOptions, memparse } from '@pagefold/core';
import type { MemoryTypes } from '../linux-config.ts';
import type { BootDescription } from './description.ts';

/** Build options. */
export interface BuildOptions {
  readonly strictKernelRwx: boolean;
  readonly relocatable: boolean;
  readonly randomizeBase: boolean;
  readonly kasan: boolean;
  /** Bytes of KFENCE's pool; 0 without KFENCE. */
  readonly kfencePoolBytes: bigint;
  readonly debugPagealloc: boolean;
  /** Bytes that are set aside for contiguous allocations; 0 if there is no such area. */
  readonly cmaBytes: bigint;
  /** Physical address of an XIP kernel in flash, and where its data goes; not supplied: no XIP kernel. */
  readonly xip: { readonly rom: bigint; readonly ramBase: bigint } | undefined;
  /** How memory types are encoded; without T-Head's bits nothing of boot depends on it. */
  readonly memoryTypes: MemoryTypes;
  readonly structPageShift: number | undefined;
  readonly pageOffset: bigint | undefined;
}

/** Symbols that are there only if something was built. */
const TELLTALES: Readonly<Record<string, string>> = {
  CONFIG_KFENCE: '__kfence_pool',
  CONFIG_KASAN: 'kasan_init',
  CONFIG_STRICT_KERNEL_RWX: 'mark_rodata_ro',
  CONFIG_RELOCATABLE: '__rela_dyn_start',
  CONFIG_RANDOMIZE_BASE: '__pi_set_nokaslr_from_cmdline',
  CONFIG_XIP_KERNEL: '_xiprom',
};

/**
 * The build options of a description. What it does not say follows from its symbols if it has them all, else it is what
 * distributions build: strict protections and KFENCE with 255 objects, nothing else.
 */
export function buildOptions(description: BootDescription): BuildOptions {
  const { config, symbols, allSymbols, commandLine } = description;
  const flag = (name: string, usual: boolean): boolean => {
    const said = config.get(name);
    if (said !== undefined) return said !== false && said !== 'n' && said !== 0;
    const telltale = TELLTALES[name];
    return allSymbols && telltale !== undefined ? symbols.has(telltale) : usual;
  };
  const number = (name: string): bigint | undefined => {
    const said = config.get(name);
    return typeof said === 'number' || (typeof said === 'string' && /^(0x[0-9a-f]+|[0-9]+)$/i.test(said))
      ? BigInt(said)
      : undefined;
  };
  const xip = flag('CONFIG_XIP_KERNEL', false);
  const rom = number('CONFIG_XIP_PHYS_ADDR');
  const ramBase = number('CONFIG_PHYS_RAM_BASE');
  if (xip && (rom === undefined || ramBase === undefined)) {
    throw new BootError('description-xip', 'an XIP kernel needs CONFIG_XIP_PHYS_ADDR and CONFIG_PHYS_RAM_BASE');
  }
  const objects = number('CONFIG_KFENCE_NUM_OBJECTS') ?? 255n;
  const asked = commandOptions(commandLine, 'debug_pagealloc').at(-1);
  const cma = commandOptions(commandLine, 'cma').at(-1);
  const cmaBuilt = (number('CONFIG_CMA_SIZE_MBYTES') ?? 0n) << 20n;
  const shift = number('STRUCT_PAGE_MAX_SHIFT') ?? number('CONFIG_STRUCT_PAGE_MAX_SHIFT');
  return {
    strictKernelRwx: !xip && flag('CONFIG_STRICT_KERNEL_RWX', true),
    relocatable: !xip && flag('CONFIG_RELOCATABLE', false),
    randomizeBase: !xip && flag('CONFIG_RANDOMIZE_BASE', false),
    kasan: description.xlen === 64 && flag('CONFIG_KASAN', false),
    kfencePoolBytes: description.xlen === 64 && flag('CONFIG_KFENCE', true) ? (objects + 1n) * 2n * 4096n : 0n,
    debugPagealloc:
      flag('CONFIG_DEBUG_PAGEALLOC', false) &&
      (asked === undefined ? flag('CONFIG_DEBUG_PAGEALLOC_ENABLE_DEFAULT', false) : /^(on|1|y)/i.test(asked)),
    cmaBytes: !flag('CONFIG_DMA_CMA', false) ? 0n : cma === undefined ? cmaBuilt : memparse(cma),
    xip: xip && rom !== undefined && ramBase !== undefined ? { rom, ramBase } : undefined,
    memoryTypes: description.memoryTypes,
    structPageShift: shift === undefined ? undefined : Number(shift),
    pageOffset: number('CONFIG_PAGE_OFFSET'),
  };
}
