/**
 * The description of a machine and a kernel that a boot starts from, as JSON: what the boot loader and the build knew.
 * The outcome (`expect`) may stand in it and is never read.
 */
import {
  type Capture,
  describedList,
  describedNumber,
  describedObject,
  describedOptional,
  firstMember,
  type MachineDescription,
  readMachineDescription,
  refuseDescription,
} from '@pagefold/core';
import type { MemoryTypes } from '../linux-config.ts';
import type { CpuNode } from '../mode-choice.ts';
import { RISCV_MODES, type RiscvMode } from '../modes.ts';

/** A description, checked. The image is loaded at `_start`. */
export interface BootDescription extends MachineDescription {
  readonly xlen: 32 | 64;
  /** Does the list hold all symbols, so that what it lacks was not built? */
  readonly allSymbols: boolean;
  /** Bytes from `_start` to `_end` as the image header says. */
  readonly imageSize: bigint | undefined;
  /** Physical address and bytes of the device tree. */
  readonly dtb: { readonly address: bigint; readonly size: bigint };
  /** Modes that the hardware takes; not supplied: `undefined`. */
  readonly hardwareModes: readonly RiscvMode[] | undefined;
  /** CPU nodes of the device tree. */
  readonly cpus: readonly CpuNode[];
  /** Random number for moving the kernel. Not supplied: `undefined`. */
  readonly kaslrSeed: bigint | undefined;
  /** How memory types are encoded in entries. Not supplied: not at all. */
  readonly memoryTypes: MemoryTypes;
}

function modesAt(value: unknown, path: string): readonly RiscvMode[] | undefined {
  if (value === undefined || value === null) return undefined;
  return describedList(value, path).map((word) => {
    const found = RISCV_MODES.find((mode) => mode === word);
    return found ?? refuseDescription('description-mode', path, `names ${String(word)}`);
  });
}

function cpuAt(value: unknown, path: string): CpuNode {
  const { mmuType, enabled } = describedObject(value, path);
  return { enabled: enabled !== false, ...(typeof mmuType === 'string' ? { mmuType } : {}) };
}

function memoryTypesAt(value: unknown, path: string): MemoryTypes {
  const types = (['none', 'svpbmt', 'thead'] as const).find((each) => each === (value ?? 'none'));
  return types ?? refuseDescription('description-types', path, `is ${String(value)}`);
}

/** RV32 or RV64: by the architecture's name, else by where the kernel is linked. */
function xlenOf({ arch }: Capture, symbols: ReadonlyMap<string, bigint>): 32 | 64 {
  const name = typeof arch === 'string' ? arch : '';
  if (/32/.test(name)) return 32;
  if (/64/.test(name)) return 64;
  const start = symbols.get('_start');
  return start !== undefined && start < 1n << 32n ? 32 : 64;
}

/**
 * Reads a description.
 * @throws BootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readDescription(capture: Capture): BootDescription {
  const machine = readMachineDescription(capture);
  const kernel = describedObject(capture.kernel, 'kernel');
  const header = describedObject(kernel.imageHeader ?? {}, 'kernel.imageHeader');
  const dtb = describedObject(capture.dtb, 'dtb');
  const imageSize = firstMember(header, 'image_size', 'imageSize');
  return {
    ...machine,
    xlen: xlenOf(capture, machine.symbols),
    allSymbols: kernel.allSymbols === true,
    imageSize: describedOptional(imageSize, 'kernel.imageHeader.image_size'),
    dtb: { address: describedNumber(dtb.address, 'dtb.address'), size: describedNumber(dtb.size, 'dtb.size') },
    hardwareModes: modesAt(capture.hardwareModes, 'hardwareModes'),
    cpus: describedList(capture.cpus, 'cpus').map((each, i) => cpuAt(each, `cpus[${i}]`)),
    kaslrSeed: describedOptional(firstMember(capture, 'kaslrSeed') ?? kernel.kaslrSeed, 'kaslrSeed'),
    memoryTypes: memoryTypesAt(capture.memoryTypes, 'memoryTypes'),
  };
}
