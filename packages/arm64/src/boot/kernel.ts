/** A kernel in the middle of booting: what it was given, what it decided, its variables. */
import {
  BootError,
  decodeRegister,
  describedSymbol,
  Memblock,
  type Memory,
  type Paging,
  type PhysAddr,
  phys,
  SparseMemory,
} from '@pagefold/core';
import { type BootDecision, bootDecision, type IdRegisters, parseOverrides } from '../identification.ts';
import { type KaslrPlace, kaslrPlace, MIN_IMAGE_ALIGN } from '../layout/kaslr.ts';
import { type LayoutBase, type LayoutSymbols, layoutBase, layoutSymbols } from '../layout/symbols.ts';
import { linuxPaging, rootOffset } from '../linux-builds.ts';
import { type LinuxProtections, linuxProtections } from '../linux-protections.ts';
import { idAa64mmfr2 } from '../registers.ts';
import { type BuildOptions, buildOptions } from './build-options.ts';
import type { BootDescription } from './description.ts';
import { lowPaging } from './page-tree.ts';

/** The kernel. Members that are not read-only are its variables. */
export interface Kernel {
  readonly description: BootDescription;
  readonly options: BuildOptions;
  readonly ids: IdRegisters;
  /** What it made of the processor. */
  readonly decision: BootDecision;
  readonly memory: Memory;
  readonly memblock: Memblock;
  readonly layout: LayoutBase;
  readonly symbols: LayoutSymbols;
  readonly place: KaslrPlace;
  /** `kimage_voffset`. */
  readonly kimageVoffset: bigint;
  /** Paging of the kernel's half. */
  readonly paging: Paging;
  /** Bytes from a root page of the kernel to where the hardware's root begins. */
  readonly rootOffset: bigint;
  /** Kernel mappings are not global (`arm64_use_ng_mappings`). */
  readonly nonGlobal: boolean;
  readonly protections: LinuxProtections;
  /** Where the kernel finds what it should mention; nothing here stops a boot. */
  readonly warnings: string[];
  /** Tables of the image whose place the description does not say, by symbol. */
  readonly assumed: Map<string, PhysAddr>;
  /** 52-bit descriptors are switched on (TCR.DS). */
  lpa2: boolean;
  /** `memstart_addr`, signed. */
  memstart: bigint;
  /** `memory_limit`. */
  memoryLimit: bigint;
  /** `initrd_start` and `initrd_end`, physical; `undefined` if there is none. */
  initrd: { readonly start: bigint; readonly end: bigint } | undefined;
  /** Physical address of KFENCE's pool. */
  kfencePool: bigint | undefined;
}

/** Identification of a plain processor: 48 bits, every granule. */
const USUAL_IDS = { mmfr0: 0x10_1125n, mmfr1: 0n, mmfr2: 0n };

function idsOf({ idRegisters }: BootDescription): IdRegisters | undefined {
  const mmfr0 = idRegisters.get('ID_AA64MMFR0_EL1');
  if (mmfr0 === undefined) return undefined;
  const mmfr1 = idRegisters.get('ID_AA64MMFR1_EL1') ?? 0n;
  return { mmfr0, mmfr1, mmfr2: idRegisters.get('ID_AA64MMFR2_EL1') ?? 0n };
}

/** `kaslr_requires_kpti`: a moved kernel must not be found out by timing, unless E0PD forbids the attempt. */
function requiresIsolation({ isolation, e0pd }: BuildOptions, { mmfr2 = 0n }: IdRegisters): boolean {
  return isolation && !(e0pd && Number(decodeRegister(idAa64mmfr2, mmfr2).e0pd) !== 0);
}

/**
 * Where the kernel runs. Kernels wipe their seed out of the device tree, but symbols that were read from a running kernel
 * have moved with it: without a seed these say where it went.
 */
function placeOf(
  description: BootDescription,
  options: BuildOptions,
  symbols: LayoutSymbols,
  warnings: string[],
): KaslrPlace & { readonly random: boolean } {
  const imagePhys = description.loadAddress;
  const still = kaslrPlace(symbols, { seed: 0n, imagePhys });
  if (!options.randomizeBase || options.nokaslr) return { ...still, random: false };
  const seed = description.kaslrSeed;
  if (seed !== undefined) return { ...kaslrPlace(symbols, { seed, imagePhys }), random: seed !== 0n };
  const text = describedSymbol(description, '_text');
  const offset = text - symbols.KIMAGE_VADDR;
  const moved = text > still.imageStart && text < symbols.VMALLOC_END && (text - imagePhys) % MIN_IMAGE_ALIGN === 0n;
  if (!moved) {
    warnings.push('no kaslrSeed is described: the kernel stays where it is linked');
    return { ...still, random: false };
  }
  warnings.push('no kaslrSeed is described: the kernel runs where its symbols say, the linear map is not moved');
  return { offset, imageStart: text, linearSeed: 0, random: true };
}

/** `early_init_dt_add_memory_arch`: banks, cut to whole pages. */
function memblockOf(description: BootDescription, page: bigint): Memblock {
  const memblock = new Memblock();
  const top = 1n << 56n;
  for (const bank of description.ram) {
    const start = (bank.start + page - 1n) & -page;
    const end = (bank.end < top ? bank.end : top) & -page;
    if (start < end) memblock.add({ start, end });
  }
  return memblock;
}

/**
 * A kernel before its first instruction, with what will be decided decided.
 * @param kasan build with KASAN whatever the description says. Not supplied: as it says
 * @throws BootError if the description is unusable; ArgumentError `no-granule` if the processor lacks the page size
 */
export function createKernel(description: BootDescription, kasan?: boolean): Kernel {
  const said = buildOptions(description);
  const options = kasan === undefined ? said : { ...said, kasan: kasan ? (said.kasan ?? 'generic') : undefined };
  const { build } = options;
  const warnings: string[] = [];
  const ids = idsOf(description) ?? USUAL_IDS;
  if (ids === USUAL_IDS) warnings.push('no identification registers are described: a processor of 48 bits is assumed');
  const decision = bootDecision(build, ids, parseOverrides(description.commandLine));
  const actualBits = decision.vaBits;
  const layout = layoutBase({ build, actualBits, ...(options.kasan === undefined ? {} : { kasan: options.kasan }) });
  const symbols = layoutSymbols(layout);
  const place = placeOf(description, options, symbols, warnings);
  const nonGlobal = place.random && requiresIsolation(options, ids);
  if (description.loadAddress % 0x1_0000n !== 0n) {
    throw new BootError('image-align', 'the kernel must be loaded at a multiple of 64 KiB', {
      loadAddress: description.loadAddress,
    });
  }
  const paging = linuxPaging(build, { actualBits, topByteIgnored: options.mte && 'data' });
  return {
    description,
    options,
    ids,
    decision,
    memory: new SparseMemory(),
    memblock: memblockOf(description, paging.pageBytes),
    layout,
    symbols,
    place,
    kimageVoffset: place.imageStart - description.loadAddress,
    paging,
    rootOffset: BigInt(rootOffset(build, actualBits)),
    nonGlobal,
    protections: linuxProtections({ lpa2: decision.lpa2, nonGlobalKernel: nonGlobal }),
    warnings,
    assumed: new Map(),
    lpa2: false,
    memstart: 0n,
    memoryLimit: (1n << 64n) - 1n,
    initrd: undefined,
    kfencePool: undefined,
  };
}

/** Where a symbol of the image lies. */
export function symbolPa({ description }: Kernel, name: string): PhysAddr {
  return phys(describedSymbol(description, name) - describedSymbol(description, '_text') + description.loadAddress);
}

/** Where a symbol of the image runs. */
export function symbolVa(kernel: Kernel, name: string): bigint {
  return symbolPa(kernel, name) + kernel.kimageVoffset;
}

/**
 * Where tables of the image lie that few symbol lists have. Without their symbol they are assumed in another part of the
 * image that holds no tables, with a warning.
 */
export function tablesPa(kernel: Kernel, name: string, otherwise: PhysAddr): PhysAddr {
  if (kernel.description.symbols.has(name)) return symbolPa(kernel, name);
  if (!kernel.assumed.has(name)) {
    kernel.assumed.set(name, otherwise);
    kernel.warnings.push(`the symbols have no ${name}: these tables are assumed elsewhere in the image`);
  }
  return otherwise;
}

/** The hardware's root in a root page of the kernel. */
export function kernelRoot(kernel: Kernel, name: string): PhysAddr {
  return phys(symbolPa(kernel, name) + kernel.rootOffset);
}

/** Paging of an identity map, as descriptors are now. */
export function idmapPaging({ options, lpa2 }: Kernel): Paging {
  return lowPaging(options.build, lpa2);
}

/** The linear address of physical memory (`__phys_to_virt`). */
export function linearVa({ memstart, symbols }: Kernel, pa: bigint): bigint {
  return BigInt.asUintN(64, pa - memstart) | symbols.PAGE_OFFSET;
}
