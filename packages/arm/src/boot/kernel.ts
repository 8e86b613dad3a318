/** A kernel that boots: what is known of it before the first instruction, and its memory. */
import {
  BootError,
  describedSymbol,
  higherOf,
  lowerOf,
  Memblock,
  type PhysAddr,
  phys,
  SparseMemory,
} from '@pagefold/core';
import { armLayoutNumbers } from '../layout/create.ts';
import { type ArmAddresses, clampVmalloc, PMD_BYTES, VMALLOC_BYTES } from '../layout/numbers.ts';
import type { LinuxModel } from '../linux-pte.ts';
import { type ArmDescription, isOn, memoryArguments, sizeArgument, splitOf } from './description.ts';
import { KernelTables } from './kernel-tables.ts';
import type { ArmCpu } from './memory-types.ts';

/** The kernel and its machine. */
export interface ArmKernel {
  readonly description: ArmDescription;
  readonly model: LinuxModel;
  readonly kasan: boolean;
  readonly cpu: ArmCpu;
  /** Follows from the memory that may be mapped: computed again once reservations have taken of it. */
  addresses: ArmAddresses;
  readonly memblock: Memblock;
  readonly tables: KernelTables;
  readonly warnings: string[];
  /** Physical span of the sections that the first code maps the kernel with: `kernel_sec_start`, `kernel_sec_end`. */
  readonly sections: { start: bigint; end: bigint };
  /** Areas of contiguous memory, in the order in which they were set aside. */
  readonly contiguous: { readonly start: bigint; readonly end: bigint }[];
  /** The addresses as they follow from the memory that may be mapped now. */
  numbers(): ArmAddresses;
  /** Physical address of a symbol of the image. */
  symbolPa(name: string): PhysAddr;
  /** Physical address of a static table; one that the symbols do not name is put behind the end of the kernel. */
  staticTable(name: string, bytes: number): PhysAddr;
  /** Names of the static tables that were asked for. */
  readonly staticNames: Map<bigint, string>;
}

/**
 * Memory as the kernel sees it: that of the boot arguments, or else of the device tree; only what its format can address
 * and does not lie below the kernel, only whole pages.
 * Source: Linux 6.12 arch/arm/kernel/setup.c (`early_mem`), drivers/of/fdt.c (`early_init_dt_add_memory_arch`).
 */
function usableRam(description: ArmDescription, model: LinuxModel, physOffset: bigint): Memblock {
  const top = model === 'short' ? 1n << 32n : 1n << 40n;
  const named = memoryArguments(description, physOffset);
  const memblock = new Memblock();
  for (const piece of named.length > 0 ? named : description.ram) {
    const start = (higherOf(piece.start, physOffset) + 0xfffn) & ~0xfffn;
    const end = lowerOf(piece.end & ~0xfffn, top);
    if (start < end) memblock.add({ start, end });
  }
  if (memblock.memory.length === 0) {
    throw new BootError('no-memory', 'there is no memory where the kernel can use it', { physOffset });
  }
  return memblock;
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
 * @throws BootError `load-address` if the kernel lies where it cannot run
 */
export function createKernel(description: ArmDescription, kasan?: boolean): ArmKernel {
  const model: LinuxModel = isOn(description, 'ARM_LPAE') ? 'lpae' : 'short';
  const warnings: string[] = [];
  const vmsplit = splitOf(description);
  const withKasan = kasan ?? isOn(description, 'KASAN');
  const text = describedSymbol(description, '_text');
  const asked = sizeArgument(description, 'vmalloc');
  const pageOffset = text & -(1n << 28n);
  const textOffset = text - pageOffset;
  const physOffset = description.loadAddress - textOffset;
  if (physOffset < 0n || physOffset % PMD_BYTES !== 0n) {
    throw new BootError('load-address', 'the kernel must be loaded at a multiple of 2 MiB plus its text offset', {
      loadAddress: description.loadAddress,
      textOffset,
    });
  }
  const memblock = usableRam(description, model, physOffset);
  const numbers = (): ArmAddresses =>
    armLayoutNumbers({
      vmsplit,
      lpae: model === 'lpae',
      kasan: withKasan,
      highmem: isOn(description, 'HIGHMEM', true),
      thumb2: isOn(description, 'THUMB2_KERNEL'),
      vmallocBytes: asked ?? VMALLOC_BYTES,
      memory: memblock.mappable,
      physOffset,
      textOffset,
    });
  const addresses = numbers();
  if (addresses.pageOffset !== pageOffset) {
    throw new BootError('description', 'the kernel is not linked where its split begins', { text, vmsplit });
  }
  if (asked !== undefined && clampVmalloc(asked, pageOffset) !== asked) {
    warnings.push('vmalloc area is too small or too big, limited');
  }
  const sparse = new SparseMemory();
  const symbolPa = (name: string): PhysAddr => phys(describedSymbol(description, name) - pageOffset + physOffset);
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
    numbers,
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
