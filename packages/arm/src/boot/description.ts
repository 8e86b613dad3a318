/**
 * The description of a machine and a kernel that a boot starts from, as JSON: what boot loader and build knew. The
 * outcome (`expect`) may stand in it and is never read.
 */
import {
  type AddressRange,
  type Capture,
  commandOptions,
  describedList,
  describedNumber,
  describedNumbers,
  describedObject,
  describedPiece,
  type MachineDescription,
  memparse,
  readMachineDescription,
  refuseDescription,
} from '@pagefold/core';
import type { VmSplit } from '../layout/numbers.ts';
import { PAGE_OFFSETS, VM_SPLITS } from '../layout/numbers.ts';
import type { MemoryTypeName } from './memory-types.ts';

/** Physical addresses are below two to the power of so many. */
const PHYSICAL_BITS = 40;

/** A device that the machine maps for ever (`map_desc` of its `map_io`). */
export interface StaticDevice {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  readonly type: MemoryTypeName;
}

/** A description, checked. The image is loaded at `_text`. */
export interface ArmDescription extends MachineDescription {
  /** `undefined`: no device tree. */
  readonly dtb: AddressRange<bigint> | undefined;
  readonly devices: readonly StaticDevice[];
  /** A serial port that is mapped before everything else, with DEBUG_LL. */
  readonly debugUart: { readonly va: bigint; readonly pa: bigint } | undefined;
  readonly idRegisters: ReadonlyMap<string, bigint>;
}

function devicesAt(value: unknown, path: string): StaticDevice[] {
  return describedList(value, path).map((each, i) => {
    const object = describedObject(each, `${path}[${i}]`);
    const number = (name: string): bigint => describedNumber(object[name], `${path}[${i}].${name}`);
    const type = (typeof object.type === 'string' ? object.type.replace(/^MT_/, '') : 'DEVICE') as MemoryTypeName;
    return { va: number('virtual'), pa: number('physical'), bytes: number('size'), type };
  });
}

/**
 * Reads a description.
 * @throws BootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readArmDescription(capture: Capture): ArmDescription {
  const machine = readMachineDescription(capture, PHYSICAL_BITS);
  const { dtb, debugUart } = capture;
  const uart = debugUart === undefined ? undefined : describedObject(debugUart, 'debugUart');
  return {
    ...machine,
    dtb: dtb === undefined || dtb === null ? undefined : describedPiece(dtb, 'dtb', PHYSICAL_BITS),
    devices: devicesAt(capture.devices, 'devices'),
    debugUart:
      uart === undefined
        ? undefined
        : {
            va: describedNumber(uart.virtual, 'debugUart.virtual'),
            pa: describedNumber(uart.physical, 'debugUart.physical'),
          },
    idRegisters: describedNumbers(capture.idRegisters, 'idRegisters'),
  };
}

/** A switch of the build; what is not described has its usual value. */
export function isOn({ config }: ArmDescription, name: string, usual = false): boolean {
  const value = config.get(`CONFIG_${name}`);
  return value === undefined ? usual : value === true || value === 'y';
}

/** How the build split the addresses. */
export function splitOf({ config }: ArmDescription): VmSplit {
  const found = VM_SPLITS.find((split) => config.get(`CONFIG_VMSPLIT_${split}`) === true);
  if (found !== undefined) return found;
  const offset = config.get('CONFIG_PAGE_OFFSET');
  if (offset === undefined) return '3G';
  const value = BigInt(offset as string | number);
  const named = VM_SPLITS.find((split) => PAGE_OFFSETS[split] === value);
  return named ?? refuseDescription('description', 'config.CONFIG_PAGE_OFFSET', 'is no split');
}

/** A size among the boot arguments (`vmalloc=320M`, `cma=64M`); the last one counts. */
export function sizeArgument({ commandLine }: ArmDescription, name: string): bigint | undefined {
  const last = commandOptions(commandLine, name)
    .filter((word) => /^[0-9]/.test(word))
    .at(-1);
  return last === undefined ? undefined : memparse(last);
}

/**
 * Memory that the boot arguments name instead of the device tree's (`mem=300M`, `mem=64M@0x80000000`), in their order.
 * @param start where memory begins that is named without its place
 */
export function memoryArguments({ commandLine }: ArmDescription, start: bigint): AddressRange<bigint>[] {
  const words = commandOptions(commandLine, 'mem').filter((word) => /^[0-9]/.test(word));
  return words.map((word) => {
    const [size = '', place] = word.split('@');
    const from = place === undefined ? start : memparse(place);
    return { start: from, end: from + memparse(size) };
  });
}
