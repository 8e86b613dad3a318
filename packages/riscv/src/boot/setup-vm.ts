/**
 * `setup_vm`: the first C code of the kernel. The MMU is off; it makes the tables with which the kernel runs until all
 * memory is known. Steps, order and names are those of Linux 6.12 arch/riscv/mm/init.c.
 */
import {
  createNames,
  earlyPhase,
  FixmapPhase,
  FreeListAllocator,
  latePhase,
  type Phase,
  PhaseSwitcher,
  type PhysAddr,
  phys,
  RecordingAllocator,
  type StaticPool,
  StaticTables,
} from '@pagefold/core';
import { linuxProtections } from '../linux-protections.ts';
import { chooseMode, createSatpHart, findModePolicy, type ModePolicy } from '../mode-choice.ts';
import { type RiscvMode, riscvPaging } from '../modes.ts';
import { encodeSatp } from '../satp.ts';
import { fixToVirt, type KernelAddresses, kernelAddresses } from './addresses.ts';
import { memblockOf } from './bootmem.ts';
import { createP4dMapping, createPgdMapping, createPmdMapping, createPudMapping } from './create-mapping.ts';
import { symbolOf } from './description.ts';
import { bugOn } from './errors.ts';
import { Fixmap } from './fixmap.ts';
import { fitsPud, kaslrOffset, noKaslr } from './kaslr.ts';
import type { Kernel, Machine } from './kernel.ts';
import { KernelMap, type KernelPlacement } from './kernel-map.ts';
import { createKernelPageTable } from './kernel-page-table.ts';

const ADDRESS_SPACE_END = (1n << 64n) - 1n;
const SZ_4K = 4096n;

/** `_end - _start`, from the symbols or the image header. */
function kernelSize({ description }: Machine): bigint {
  const end = description.symbols.get('_end');
  return end === undefined ? (description.imageSize ?? 0n) : end - symbolOf(description, '_start');
}

/** How far the kernel is moved from its link address: by a seed, or as far as its symbols say. */
function virtOffset(machine: Machine, addresses: KernelAddresses): bigint {
  const { description, options } = machine;
  const { kaslrSeed, commandLine } = description;
  const moved = symbolOf(description, '_start') - addresses.kernelLink;
  if (!options.randomizeBase || noKaslr(commandLine)) return moved > 0n ? moved : 0n;
  // Without a seed the list of symbols may still come from a kernel that was moved.
  if (kaslrSeed === undefined) return moved > 0n ? moved : 0n;
  return kaslrOffset(kernelSize(machine), kaslrSeed, addresses.pudSize, addresses.pmdSize).virtOffset;
}

/** `kernel_map`. */
function placeKernel(machine: Machine, addresses: KernelAddresses): KernelMap {
  const { description, options } = machine;
  const symbol = (name: string): bigint => symbolOf(description, name);
  const offset = virtOffset(machine, addresses);
  const placement: KernelPlacement = {
    xlen: addresses.xlen,
    pageOffset: addresses.pageOffset,
    kernVirtSize: addresses.kernVirtSize,
    virtAddr: addresses.kernelLink + offset,
    virtOffset: offset,
    physAddr: options.xip?.ramBase ?? description.loadAddress,
    size: kernelSize(machine),
    xip: options.xip && {
      rom: options.xip.rom,
      romSize: symbol('_exiprom') - symbol('_xiprom'),
      dataOffset: symbol('_sdata') - symbol('_start'),
    },
  };
  return new KernelMap(placement);
}

/** How the kernel's release chooses its mode; that of 6.12 if the release is not known. */
function modePolicy({ description }: Machine): ModePolicy {
  try {
    return findModePolicy(description.kernelVersion ?? '6.12.y');
  } catch {
    return findModePolicy('6.12.y');
  }
}

/**
 * `set_satp_mode`: probes a modelled hart. The identity map that probing needs is made in the early tables, which are
 * zero again afterwards, so nothing of it is left to see.
 */
function setSatpMode(machine: Machine): { readonly mode: RiscvMode; readonly tried: readonly RiscvMode[] } {
  const { description, options } = machine;
  if (description.xlen === 32) return { mode: 'sv32', tried: [] };
  const { commandLine, loadAddress, cpus } = description;
  const { mode, probes } = chooseMode({
    hart: createSatpHart(description.hardwareModes ?? ['sv57', 'sv48', 'sv39']),
    policy: modePolicy(machine),
    commandLine,
    cpus,
    kasan: options.kasan,
    xip: options.xip !== undefined,
    kernelPa: loadAddress,
  });
  return { mode, tried: probes.map((probe) => probe.mode) };
}

/** `pt_ops_set_early`, `_fixmap`, `_late`: the three ways of making and reaching tables, in their order. */
function phases(
  kernelMap: KernelMap,
  addresses: KernelAddresses,
  fixmap: Fixmap,
  allocations: RecordingAllocator,
  symbolPa: (name: string) => PhysAddr,
): PhaseSwitcher {
  const { virtAddr } = kernelMap;
  const pool = (name: string, level: number, bytes: bigint): StaticPool => {
    const end = virtAddr + bytes;
    const covers = { start: virtAddr, end: end < 1n << 64n ? end : 1n << 64n };
    return { name, level, addresses: [symbolPa(name)], covers: covers as NonNullable<StaticPool['covers']> };
  };
  const { pudSize, pgdirSize } = addresses;
  // One table of each level, and none for single pages: whoever needs another makes a mistake.
  const pools =
    addresses.xlen === 32
      ? []
      : [pool('early_pmd', 1, pudSize), pool('early_pud', 2, pgdirSize), pool('early_p4d', 3, pgdirSize)];
  const late = (): Phase => latePhase(new FreeListAllocator(allocations), kernelMap.vaPaOffset);
  return new PhaseSwitcher([
    earlyPhase(new StaticTables(pools)),
    new FixmapPhase({
      allocator: allocations,
      slots: fixmap.tableSlots,
      whenTaken: 'replace',
      onChange: fixmap.onChange,
    }),
    lazyPhase('late', late),
  ]);
}

/** A phase that is made when it is first used: the place of the linear map is not known before. */
function lazyPhase(name: string, make: () => Phase): Phase {
  let made: Phase | undefined;
  const phase = (): Phase => {
    made ??= make();
    return made;
  };
  return {
    name,
    get allocator() {
      return phase().allocator;
    },
    open: [],
    reach: (table, level) => phase().reach(table, level),
    release: (level) => phase().release(level),
    physical: (address) => phase().physical(address),
  };
}

/** The kernel's variables and tools, as soon as the mode is known. */
function createKernel(machine: Machine): Kernel {
  const { description, options, memory } = machine;
  const { mode, tried } = setSatpMode(machine);
  const addresses = kernelAddresses(mode, options);
  const kernelMap = placeKernel(machine, addresses);
  const start = symbolOf(description, '_start');
  const symbolPa = (name: string): PhysAddr =>
    phys(kernelMap.paSymbol(symbolOf(description, name) - start + kernelMap.virtAddr));
  const thead = options.memoryTypes === 'thead';
  const paging = riscvPaging(mode, mode === 'sv32' ? [] : thead ? ['xtheadmae'] : ['svnapot', 'svpbmt']);
  const lowest = addresses.xlen === 32 ? kernelMap.physAddr : 0n;
  const memblock = memblockOf(description, lowest);
  const allocations = new RecordingAllocator(memblock);
  const protections = linuxProtections({ xlen: addresses.xlen, memoryTypes: options.memoryTypes });
  const { PAGE_KERNEL, PAGE_TABLE } = protections.values;
  const bare = { names: createNames(paging, memory), memoryTypes: options.memoryTypes };
  const fixmap = new Fixmap(bare, addresses, symbolPa('fixmap_pte'), PAGE_KERNEL);
  const ptOps = phases(kernelMap, addresses, fixmap, allocations, symbolPa);
  const names = createNames(paging, memory, { allocator: ptOps });
  return {
    ...machine,
    mode,
    tried,
    addresses,
    kernelMap,
    paging,
    names,
    protections,
    fixmap,
    memblock,
    ptOps,
    allocations,
    target: { names, ptOps, pageTable: PAGE_TABLE, memoryTypes: options.memoryTypes },
    symbolPa,
    memoryLimit: addresses.kernVirtSize,
    physRamBase: options.xip?.ramBase ?? 0n,
    satp: 0n,
    dtbEarlyVa: 0n,
    initrd: { start: 0n, end: 0n },
    maxPfn: 0n,
    kfencePool: undefined,
  };
}

/** The checks that the kernel makes of itself before it maps anything. */
function sanityChecks({ kernelMap, addresses, options }: Kernel): void {
  const { virtAddr, physAddr, size, pageOffset } = kernelMap;
  const { pgdirSize, pmdSize, pudSize, xlen } = addresses;
  bugOn(pageOffset % pgdirSize !== 0n, 'page-offset', 'the linear map must begin at a root entry', { pageOffset });
  bugOn(physAddr % pmdSize !== 0n, 'load-align', 'the kernel must be loaded at a large page', { physAddr, pmdSize });
  bugOn(size <= 0n, 'kernel-size', 'neither _end nor the image header says how large the kernel is', { size });
  const end = virtAddr + size;
  const tooHigh = xlen === 64 && end > ADDRESS_SPACE_END - SZ_4K;
  bugOn(tooHigh, 'kernel-end', 'the last page of the address space cannot be used', { virtAddr, size });
  const crosses = options.relocatable && !fitsPud(virtAddr, size, pudSize);
  bugOn(crosses, 'kernel-pud', 'the kernel crosses what one early table can map', { virtAddr, size });
}

/** The table that a root points to: p4d, pud, pmd or pte, whichever is real. */
export function pgdNext(kernel: Kernel, family: 'fixmap' | 'trampoline'): PhysAddr {
  const { names } = kernel;
  const next = (['p4d', 'pud', 'pmd'] as const).find((name) => !names[name].folded) ?? 'pte';
  return kernel.symbolPa(`${family}_${next}`);
}

/** The fixmap's tables below the early root, down to the one with ptes. */
function createFixmapTables(kernel: Kernel, root: PhysAddr): void {
  const { target, addresses, symbolPa } = kernel;
  const { pgdirSize, pmdSize, pudSize } = addresses;
  const hook = (size: bigint, pa: PhysAddr) => ({ va: addresses.fixmap.start, pa, size, prot: target.pageTable });
  createPgdMapping(target, root, hook(pgdirSize, pgdNext(kernel, 'fixmap')));
  if (addresses.xlen === 32) return;
  createP4dMapping(target, symbolPa('fixmap_p4d'), hook(kernel.names.p4d.size, symbolPa('fixmap_pud')));
  createPudMapping(target, symbolPa('fixmap_pud'), hook(pudSize, symbolPa('fixmap_pmd')));
  createPmdMapping(target, symbolPa('fixmap_pmd'), hook(pmdSize, symbolPa('fixmap_pte')));
}

/** The trampoline: the first large page of the kernel and nothing else, for the jump to virtual addresses. */
function createTrampoline(kernel: Kernel): void {
  const { target, addresses, kernelMap, symbolPa, protections, options } = kernel;
  const { pgdirSize, pmdSize, pudSize } = addresses;
  const va = kernelMap.virtAddr;
  const root = symbolPa('trampoline_pg_dir');
  const prot = protections.values.PAGE_KERNEL_EXEC;
  if (addresses.xlen === 32) {
    createPgdMapping(target, root, { va, pa: kernelMap.physAddr, size: pgdirSize, prot });
    return;
  }
  const hook = (size: bigint, pa: PhysAddr) => ({ va, pa, size, prot: target.pageTable });
  createPgdMapping(target, root, hook(pgdirSize, pgdNext(kernel, 'trampoline')));
  createP4dMapping(target, symbolPa('trampoline_p4d'), hook(kernel.names.p4d.size, symbolPa('trampoline_pud')));
  createPudMapping(target, symbolPa('trampoline_pud'), hook(pudSize, symbolPa('trampoline_pmd')));
  const pa = options.xip?.rom ?? kernelMap.physAddr;
  createPmdMapping(target, symbolPa('trampoline_pmd'), { va, pa, size: pmdSize, prot });
}

/** `create_fdt_early_page_table`: 4 MiB around the device tree, in the fixmap. */
function createFdtEarlyPageTable(kernel: Kernel, root: PhysAddr): void {
  const { target, addresses, symbolPa, protections, description } = kernel;
  const { pmdSize } = addresses;
  const { address } = description.dtb;
  const va = fixToVirt(addresses, 'FIX_FDT');
  const pa = address - (address % pmdSize);
  const prot = protections.values.PAGE_KERNEL;
  if (addresses.xlen === 32) {
    createPgdMapping(target, root, { va, pa, size: pmdSize, prot });
  } else {
    const table = symbolPa('fixmap_pmd');
    createPmdMapping(target, table, { va, pa, size: pmdSize, prot });
    createPmdMapping(target, table, { va: va + pmdSize, pa: pa + pmdSize, size: pmdSize, prot });
  }
  kernel.dtbEarlyVa = va + (address % pmdSize);
}

/**
 * `setup_vm`, and the jump to virtual addresses after it: leaves the kernel running on `early_pg_dir`.
 * @throws BootError where the kernel would have stopped, and for symbols that the description lacks
 */
export function setupVm(machine: Machine): Kernel {
  const kernel = createKernel(machine);
  const { addresses } = kernel;
  const earlyPgDir = kernel.symbolPa('early_pg_dir');
  sanityChecks(kernel);
  // From here on `pt_ops` is `early`: tables are static and found at their physical addresses.

  // Setup early PGD for fixmap
  createFixmapTables(kernel, earlyPgDir);
  // Setup trampoline PGD and PMD
  createTrampoline(kernel);
  // Setup early PGD covering the entire kernel
  createKernelPageTable(kernel, earlyPgDir, 'early');
  // Setup early mapping for the device tree
  createFdtEarlyPageTable(kernel, earlyPgDir);

  // The fixmap of early boot has ptes for one large page only: slots for boot-time ioremap must not leave it.
  const [first, last] = [fixToVirt(addresses, 'FIX_BTMAP_BEGIN'), fixToVirt(addresses, 'FIX_BTMAP_END')];
  bugOn(first / addresses.pmdSize !== last / addresses.pmdSize, 'btmap', 'slots of ioremap leave their large page');
  kernel.ptOps.enter('fixmap');

  // relocate_enable_mmu: through the trampoline, to the early root.
  kernel.satp = encodeSatp(kernel.mode, earlyPgDir);
  return kernel;
}
