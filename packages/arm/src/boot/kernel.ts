/** A kernel that boots: what is known of it before the first instruction, and its memory. */
import { higherOf, lowerOf, Memblock, type PhysAddr, phys, SparseMemory } from '@pagefold/core';
import { armLayoutNumbers } from '../layout/create.ts';
import { type ArmAddresses, clampVmalloc, PMD_BYTES, VMALLOC_BYTES } from '../layout/numbers.ts';
import type { LinuxModel } from '../linux-pte.ts';
import { type ArmDescription, isOn, sizeArgument, splitOf, symbolOf } from './description.ts';
import { ArmBootError } from './errors.ts';
import { KernelTables } from './kernel-tables.ts';
import type { ArmCpu } from './memory-types.ts';

/** The kernel and its machine. */
export interface ArmKernel {
  readonly description: ArmDescription;
  readonly model: LinuxModel;
  readonly kasan: boolean;
  readonly cpu: ArmCpu;
  readonly addresses: ArmAddresses;
  readonly memblock: Memblock;
  readonly tables: KernelTables;
  readonly warnings: string[];
  /** Physical span of the sections that the first code maps the kernel with: `kernel_sec_start`, `kernel_sec_end`. */
  readonly sections: { start: bigint; end: bigint };
  /** Areas of contiguous memory, in the order in which they were set aside. */
  readonly contiguous: { readonly start: bigint; readonly end: bigint }[];
  /** Physical address of a symbol of the image. */
  symbolPa(name: string): PhysAddr;
  /** Physical address of a static table; one that the symbols do not name is put behind the end of the kernel. */
  staticTable(name: string, bytes: number): PhysAddr;
  /** Names of the static tables that were asked for. */
  readonly staticNames: Map<bigint, string>;
}

/** Memory as the kernel sees it: only what its format can address, only whole pages. */
function usableRam(description: ArmDescription, model: LinuxModel): { start: bigint; end: bigint }[] {
  const top = model === 'short' ? 1n << 32n : 1n << 40n;
  return description.ram
    .map(({ start, end }) => ({ start: (start + 0xfffn) & ~0xfffn, end: lowerOf(end & ~0xfffn, top) }))
    .filter(({ start, end }) => start < end)
    .sort((a, b) => (a.start < b.start ? -1 : 1));
}

/** The processor, by what its identification registers say and the kernel was built for. */
function cpuOf(description: ArmDescription): ArmCpu {
  const mmfr0 = description.idRegisters.get('ID_MMFR0');
  const arch = mmfr0 === undefined || (mmfr0 & 0xfn) >= 3n ? 7 : 6;
  return { arch, tre: arch === 7, smp: isOn(description, 'SMP', true), io36: isOn(description, 'IO_36') };
}

/**
 * The state before the first instruction.
 * @param kasan as if built with KASAN; not supplied: as described
 * @throws ArmBootError `load-address` if the kernel lies where it cannot run
 */
export function createKernel(description: ArmDescription, kasan?: boolean): ArmKernel {
  const model: LinuxModel = isOn(description, 'ARM_LPAE') ? 'lpae' : 'short';
  const warnings: string[] = [];
  const vmsplit = splitOf(description);
  const withKasan = kasan ?? isOn(description, 'KASAN');
  const memory = usableRam(description, model);
  const text = symbolOf(description, '_text');
  const asked = sizeArgument(description, 'vmalloc');
  const pageOffset = text & -(1n << 28n);
  const textOffset = text - pageOffset;
  const physOffset = description.loadAddress - textOffset;
  if (physOffset < 0n || physOffset % PMD_BYTES !== 0n) {
    throw new ArmBootError('load-address', 'the kernel must be loaded at a multiple of 2 MiB plus its text offset', {
      loadAddress: description.loadAddress,
      textOffset,
    });
  }
  const addresses = armLayoutNumbers({
    vmsplit,
    lpae: model === 'lpae',
    kasan: withKasan,
    highmem: isOn(description, 'HIGHMEM', true),
    thumb2: isOn(description, 'THUMB2_KERNEL'),
    vmallocBytes: asked ?? VMALLOC_BYTES,
    memory: memory.filter(({ end }) => end > physOffset),
    physOffset,
    textOffset,
  });
  if (addresses.pageOffset !== pageOffset) {
    throw new ArmBootError('description', 'the kernel is not linked where its split begins', { text, vmsplit });
  }
  if (asked !== undefined && clampVmalloc(asked, pageOffset) !== asked) {
    warnings.push('vmalloc area is too small or too big, limited');
  }
  const sparse = new SparseMemory();
  const memblock = new Memblock({ memory });
  const symbolPa = (name: string): PhysAddr => phys(symbolOf(description, name) - pageOffset + physOffset);
  const root = phys(addresses.swapper - pageOffset + physOffset);
  const cpu = cpuOf(description);
  const staticNames = new Map<bigint, string>([[root, 'swapper_pg_dir']]);
  let behind = (symbolPa('_end') + 0xfffn) & ~0xfffn;
  const staticTable = (name: string, bytes: number): PhysAddr => {
    const known = [...staticNames].find(([, each]) => each === name);
    if (known !== undefined) return phys(known[0]);
    const given = description.symbols.has(name);
    const address = given ? symbolPa(name) : phys(behind);
    if (!given) {
      behind += BigInt(bytes);
      warnings.push(`the symbols have no ${name}: it is put behind the end of the kernel`);
    }
    staticNames.set(address, name);
    return address;
  };
  return {
    description,
    model,
    kasan: withKasan,
    cpu,
    addresses,
    memblock,
    tables: new KernelTables({ model, cpu, memory: sparse, root, allocator: memblock }),
    warnings,
    sections: { start: physOffset, end: physOffset },
    contiguous: [],
    symbolPa,
    staticTable,
    staticNames,
  };
}

/** Contiguous memory: what the boot arguments or the build ask for. */
function contiguousBytes(description: ArmDescription): bigint {
  const mib = description.config.get('CONFIG_CMA_SIZE_MBYTES');
  return sizeArgument(description, 'cma') ?? (typeof mib === 'number' ? BigInt(mib) << 20n : 0n);
}

/** `cma_declare_contiguous`: in high memory if there is room, else as high as possible in low memory. */
function reserveContiguous({ description, memblock, addresses, contiguous, warnings }: ArmKernel): void {
  const size = contiguousBytes(description);
  if (size === 0n) return;
  const alignment = 1n << 22n;
  const end = memblock.memory.at(-1)?.end ?? 0n;
  const top = lowerOf(end, 1n << 32n);
  const { lowmemLimit } = addresses;
  const bytes = (size + alignment - 1n) & -alignment;
  const high = top > lowmemLimit ? memblock.find(bytes, alignment, { min: lowmemLimit, max: top }) : undefined;
  const found = high ?? memblock.find(bytes, alignment, { max: lowerOf(top, lowmemLimit) });
  if (found === undefined) {
    warnings.push('cma: failed to reserve contiguous memory');
    return;
  }
  const area = { start: found, end: found + bytes };
  memblock.reserve(area);
  contiguous.push(area);
}

/**
 * What setup_arch does to the list of memory before the tables are made.
 * Source: Linux 6.12 arch/arm/mm/mmu.c (`adjust_lowmem_bounds`), init.c (`arm_memblock_init`).
 */
export function reserveMemory(kernel: ArmKernel): void {
  const { memblock, addresses, description, tables, model } = kernel;
  const first = memblock.memory[0];
  if (first !== undefined && first.start % PMD_BYTES !== 0n) {
    memblock.markNomap({ start: first.start, end: lowerOf(first.end, (first.start + PMD_BYTES - 1n) & -PMD_BYTES) });
  }
  const end = memblock.memory.at(-1)?.end ?? 0n;
  if (!isOn(description, 'HIGHMEM', true) && end > addresses.lowmemLimit) {
    memblock.remove({ start: addresses.lowmemLimit, end });
  }
  memblock.reserve({ start: kernel.symbolPa('_text'), end: kernel.symbolPa('_end') });
  const behind = [...kernel.staticNames.keys()].reduce((a, b) => higherOf(a, b), 0n);
  if (behind >= kernel.symbolPa('_end')) memblock.reserve({ start: kernel.symbolPa('_end'), end: behind + 0x2000n });
  memblock.reserve({ start: tables.root, end: tables.root + (model === 'short' ? 0x4000n : 0x5000n) });
  for (const piece of [description.initrd, description.dtb, ...description.memreserve]) {
    if (piece !== undefined) memblock.reserve(piece);
  }
  for (const piece of description.reservedMemory) {
    if (piece.noMap) memblock.markNomap(piece);
    else memblock.reserve(piece);
    if (piece.reusable) kernel.contiguous.push({ start: piece.start, end: piece.end });
  }
  memblock.limit = addresses.memblockLimit;
  reserveContiguous(kernel);
}
