/**
 * What a boot needs to know from a device tree: RAM, reservations, the boot arguments, the CPUs.
 *
 * Facts: Devicetree Specification v0.4 chapter 3; Linux 6.12 drivers/of/fdt.c (early_init_dt_scan_memory,
 * early_init_dt_check_for_initrd, early_init_dt_scan_chosen) and Documentation/devicetree/bindings/riscv/cpus.yaml.
 */
import type { Dtb } from './dtb.ts';
import type { DtbNode } from './dtb-node.ts';
import type { AddressRange } from './elf-core.ts';
import { ImageError } from './errors.ts';

/** A place that a child of /reserved-memory reserves. */
export interface ReservedRange extends AddressRange {
  /** Path of the node. */
  readonly node: string;
  /** `no-map`: the kernel must not map it. */
  readonly noMap: boolean;
}

/** A child of /reserved-memory that asks for memory and leaves the place to the kernel. */
export interface DynamicReservation {
  /** Path of the node. */
  readonly node: string;
  readonly noMap: boolean;
  /** Bytes. */
  readonly size: bigint;
  /** Bytes; `undefined` where the node does not say. */
  readonly alignment: bigint | undefined;
  /** Where it must lie; empty means anywhere. */
  readonly within: readonly AddressRange[];
}

/** The /chosen node. What it lacks is `undefined`. */
export interface Chosen {
  /** The kernel's command line. */
  readonly bootArguments: string | undefined;
  /** `linux,initrd-start` and `-end`. */
  readonly initrd: AddressRange | undefined;
  /** `rng-seed`, raw. Kernels remove it from the tree once read. */
  readonly rngSeed: Uint8Array | undefined;
  /** `kaslr-seed`, raw. Kernels overwrite it with zeros once read. */
  readonly kaslrSeed: Uint8Array | undefined;
}

/** A CPU node. */
export interface Cpu {
  /** Path of the node. */
  readonly node: string;
  /** The first `reg`: hart id (RISC-V) or MPIDR (Arm). */
  readonly id: bigint | undefined;
  /** Whether its `status` lets it be used. */
  readonly enabled: boolean;
  readonly compatible: readonly string[];
  /** RISC-V `mmu-type`: the largest mode, `riscv,sv39` and so on. */
  readonly mmuType: string | undefined;
  /** RISC-V `riscv,isa`: `rv64imafdch_zicbom` and so on; deprecated. */
  readonly isa: string | undefined;
  /** RISC-V `riscv,isa-base`. */
  readonly isaBase: string | undefined;
  /** RISC-V `riscv,isa-extensions`. */
  readonly isaExtensions: readonly string[] | undefined;
}

/** What a device tree says about a machine. */
export interface Machine {
  /** The root's `model`. */
  readonly model: string | undefined;
  /** The root's `compatible`. */
  readonly compatible: readonly string[];
  /** Banks of RAM: sorted, touching and overlapping ones merged. */
  readonly ram: readonly AddressRange[];
  /** The memory reservation block, in its order, without empty entries. */
  readonly reservations: readonly AddressRange[];
  /** Children of /reserved-memory with a place, in the order of the tree. */
  readonly reservedMemory: readonly ReservedRange[];
  /** Children of /reserved-memory without a place. */
  readonly dynamicReservations: readonly DynamicReservation[];
  readonly chosen: Chosen;
  /** All CPU nodes, in the order of the tree. */
  readonly cpus: readonly Cpu[];
  /** The first CPU node that is enabled. */
  readonly bootCpu: Cpu | undefined;
  /** `totalsize` of the tree in bytes. */
  readonly dtbSize: number;
}

const TWO_64 = 1n << 64n;

/** The ranges of a property in `reg` form, without empty ones. */
function ranges(node: DtbNode, property = 'reg'): readonly AddressRange[] {
  const entries = node.reg(property) ?? [];
  for (const { address, size } of entries) {
    if (address + size <= TWO_64) continue;
    const values = { node: node.path, property, address, size };
    throw new ImageError('dtb-property', 'a range ends above 2^64', values);
  }
  return entries.filter(({ size }) => size > 0n).map(({ address, size }) => ({ start: address, end: address + size }));
}

/** Sorts ranges and joins those that touch or overlap. */
function merge(list: readonly AddressRange[]): readonly AddressRange[] {
  const merged: { start: bigint; end: bigint }[] = [];
  for (const { start, end } of [...list].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))) {
    const last = merged.at(-1);
    if (last === undefined || last.end < start) merged.push({ start, end });
    else if (last.end < end) last.end = end;
  }
  return merged;
}

/** RAM: enabled memory nodes under the root; `linux,usable-memory` replaces `reg` for a crash kernel. */
function ramOf(root: DtbNode): readonly AddressRange[] {
  const banks = root.children
    .filter((node) => node.properties.has('device_type') && node.string('device_type') === 'memory' && node.enabled)
    .flatMap((node) => ranges(node, node.has('linux,usable-memory') ? 'linux,usable-memory' : 'reg'));
  return merge(banks);
}

function dynamicReservation(node: DtbNode): DynamicReservation | undefined {
  const size = node.u64('size');
  if (node.has('reg') || size === undefined) return undefined;
  const within = ranges(node, 'alloc-ranges');
  return { node: node.path, noMap: node.has('no-map'), size, alignment: node.u64('alignment'), within };
}

function chosenOf(dtb: Dtb): Chosen {
  const node = dtb.find('/chosen');
  const start = node?.u64('linux,initrd-start');
  const end = node?.u64('linux,initrd-end');
  if (node !== undefined && start !== undefined && end !== undefined && start > end) {
    throw new ImageError('dtb-property', 'the initrd ends before it starts', { node: node.path, start, end });
  }
  return {
    bootArguments: node?.string('bootargs'),
    initrd: start === undefined || end === undefined || start === end ? undefined : { start, end },
    rngSeed: node?.properties.get('rng-seed'),
    kaslrSeed: node?.properties.get('kaslr-seed'),
  };
}

function cpuOf(node: DtbNode): Cpu {
  return {
    node: node.path,
    id: node.reg()?.[0]?.address,
    enabled: node.enabled,
    compatible: node.strings('compatible') ?? [],
    mmuType: node.string('mmu-type'),
    isa: node.string('riscv,isa'),
    isaBase: node.string('riscv,isa-base'),
    isaExtensions: node.strings('riscv,isa-extensions'),
  };
}

/**
 * Reads the facts of a boot out of a device tree.
 * @throws ImageError `dtb-property` where a property that is needed has the wrong form
 */
export function machineFromDtb(dtb: Dtb): Machine {
  const reserved = (dtb.find('/reserved-memory')?.children ?? []).filter((node) => node.enabled);
  const cpus = (dtb.find('/cpus')?.children ?? [])
    .filter((node) => node.properties.has('device_type') && node.string('device_type') === 'cpu')
    .map(cpuOf);
  return {
    model: dtb.root.string('model'),
    compatible: dtb.root.strings('compatible') ?? [],
    ram: ramOf(dtb.root),
    reservations: dtb.reservations
      .filter(({ size }) => size > 0n)
      .map(({ address, size }) => ({ start: address, end: address + size })),
    reservedMemory: reserved.flatMap((node) =>
      ranges(node).map((range) => ({ ...range, node: node.path, noMap: node.has('no-map') })),
    ),
    dynamicReservations: reserved.map(dynamicReservation).filter((item) => item !== undefined),
    chosen: chosenOf(dtb),
    cpus,
    bootCpu: cpus.find((cpu) => cpu.enabled),
    dtbSize: dtb.totalSize,
  };
}
