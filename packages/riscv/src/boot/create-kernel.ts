/**
 * What `setup_vm` decides before it maps anything: where the kernel runs, in which mode, with which tools.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`setup_vm`, `set_satp_mode`).
 */
import { createNames, describedSymbol, type PhysAddr, phys, RecordingAllocator } from '@pagefold/core';
import { linuxProtections } from '../linux-protections.ts';
import { chooseMode, createSatpHart, findModePolicy, type ModePolicy } from '../mode-choice.ts';
import { type RiscvMode, riscvPaging } from '../modes.ts';
import { type KernelAddresses, kernelAddresses } from './addresses.ts';
import { memblockOf } from './bootmem.ts';
import { bugOn } from './errors.ts';
import { Fixmap } from './fixmap.ts';
import { kaslrOffset, noKaslr } from './kaslr.ts';
import type { BootMachine, Kernel } from './kernel.ts';
import { KernelMap, type KernelPlacement } from './kernel-map.ts';
import { createPtOps } from './pt-ops.ts';

/** `_end - _start`, from the symbols or the image header. */
function kernelSize({ description }: BootMachine): bigint {
  const end = description.symbols.get('_end');
  const size = end === undefined ? (description.imageSize ?? 0n) : end - describedSymbol(description, '_start');
  bugOn(size <= 0n, 'kernel-size', 'neither _end nor the image header says how large the kernel is', { size });
  return size;
}

/** How far the kernel is moved from its link address: by a seed, or as far as its symbols say. */
function virtOffset(machine: BootMachine, addresses: KernelAddresses): bigint {
  const { description, options } = machine;
  const { kaslrSeed, commandLine } = description;
  const moved = describedSymbol(description, '_start') - addresses.kernelLink;
  if (!options.randomizeBase || noKaslr(commandLine)) return moved > 0n ? moved : 0n;
  // Without a seed the list of symbols may still come from a kernel that was moved.
  if (kaslrSeed === undefined) return moved > 0n ? moved : 0n;
  return kaslrOffset(kernelSize(machine), kaslrSeed, addresses.pudSize, addresses.pmdSize).virtOffset;
}

/** `kernel_map`. */
function placeKernel(machine: BootMachine, addresses: KernelAddresses): KernelMap {
  const { description, options } = machine;
  const symbol = (name: string): bigint => describedSymbol(description, name);
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
function modePolicy({ description }: BootMachine): ModePolicy {
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
function setSatpMode(machine: BootMachine): { readonly mode: RiscvMode; readonly tried: readonly RiscvMode[] } {
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

/**
 * The kernel's variables and tools.
 * @throws BootError for symbols that the description lacks, `kernel-size`
 */
export function createKernel(machine: BootMachine): Kernel {
  const { description, options, memory } = machine;
  const { mode, tried } = setSatpMode(machine);
  const addresses = kernelAddresses(mode, options);
  const kernelMap = placeKernel(machine, addresses);
  const start = describedSymbol(description, '_start');
  const symbolPa = (name: string): PhysAddr =>
    phys(kernelMap.paSymbol(describedSymbol(description, name) - start + kernelMap.virtAddr));
  const thead = options.memoryTypes === 'thead';
  const paging = riscvPaging(mode, mode === 'sv32' ? [] : thead ? ['xtheadmae'] : ['svnapot', 'svpbmt']);
  const lowest = addresses.xlen === 32 ? kernelMap.physAddr : 0n;
  const memblock = memblockOf(description, lowest);
  const allocations = new RecordingAllocator(memblock);
  const protections = linuxProtections({ xlen: addresses.xlen, memoryTypes: options.memoryTypes });
  const { PAGE_KERNEL, PAGE_TABLE } = protections.values;
  const bare = { names: createNames(memory, paging), memoryTypes: options.memoryTypes };
  const fixmap = new Fixmap(bare, addresses, symbolPa('fixmap_pte'), PAGE_KERNEL);
  const ptOps = createPtOps(kernelMap, addresses, fixmap, allocations, symbolPa);
  const names = createNames(memory, paging, { allocator: ptOps });
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
