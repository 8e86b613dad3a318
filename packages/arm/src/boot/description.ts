/**
 * The description of a machine and a kernel that a boot starts from, as JSON: what boot loader and build knew. The
 * outcome (`expect`) may stand in it and is never read.
 */
import type { AddressRange, Capture } from '@pagefold/core';
import type { VmSplit } from '../layout/numbers.ts';
import { PAGE_OFFSETS, VM_SPLITS } from '../layout/numbers.ts';
import { ArmBootError } from './errors.ts';
import type { MemoryTypeName } from './memory-types.ts';

/** A device that the machine maps for ever (`map_desc` of its `map_io`). */
export interface StaticDevice {
  readonly va: bigint;
  readonly pa: bigint;
  readonly bytes: bigint;
  readonly type: MemoryTypeName;
}

/** A child of /reserved-memory. */
export interface ArmReservation {
  readonly node: string;
  /** Where it lies; `undefined` if the kernel chooses the place. */
  readonly place: AddressRange<bigint> | undefined;
  /** Must not be mapped. */
  readonly noMap: boolean;
  /** A contiguous memory area: handed out again until it is wanted. */
  readonly reusable: boolean;
  /** Bytes, alignment (0: any) and allowed places of one whose place the kernel chooses. */
  readonly size: bigint;
  readonly alignment: bigint;
  readonly within: readonly AddressRange<bigint>[];
}

/** A description, checked. */
export interface ArmDescription {
  readonly kernelVersion: string | undefined;
  readonly commandLine: string;
  /** Physical address of `_text`. */
  readonly loadAddress: bigint;
  readonly symbols: ReadonlyMap<string, bigint>;
  /** `undefined`: no device tree. */
  readonly dtb: AddressRange<bigint> | undefined;
  readonly ram: readonly AddressRange<bigint>[];
  readonly memreserve: readonly AddressRange<bigint>[];
  readonly reservedMemory: readonly ArmReservation[];
  readonly initrd: AddressRange<bigint> | undefined;
  readonly devices: readonly StaticDevice[];
  /** A serial port that is mapped before everything else, with DEBUG_LL. */
  readonly debugUart: { readonly va: bigint; readonly pa: bigint } | undefined;
  readonly idRegisters: ReadonlyMap<string, bigint>;
  readonly config: ReadonlyMap<string, boolean | number | string>;
}

type Json = Readonly<Record<string, unknown>>;

function fail(rule: string, path: string, what: string): never {
  throw new ArmBootError(rule, `the description is unusable: ${path} ${what}`);
}

function objectAt(value: unknown, path: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail('description', path, 'is no object');
  return value as Json;
}

function listAt(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) fail('description', path, 'is no list');
  return value as readonly unknown[];
}

function numberAt(value: unknown, path: string): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === 'string' && /^(0x[0-9a-f]+|[0-9]+)$/i.test(value.trim())) return BigInt(value.trim());
  return fail('description-number', path, `is no number: ${JSON.stringify(value) ?? 'missing'}`);
}

function numbersAt(value: unknown, path: string): Map<string, bigint> {
  return new Map(
    Object.entries(objectAt(value ?? {}, path)).map(([name, each]) => [name, numberAt(each, `${path}.${name}`)]),
  );
}

/** `{base, size}` or `{start, end}`. */
function pieceAt(value: unknown, path: string): AddressRange<bigint> {
  const object = objectAt(value, path);
  const start = numberAt(object.base ?? object.address ?? object.start, `${path}.base`);
  const end =
    object.end === undefined ? start + numberAt(object.size, `${path}.size`) : numberAt(object.end, `${path}.end`);
  if (end <= start || end > 1n << 40n) fail('description-range', path, 'is empty or ends above 2^40');
  return { start, end };
}

function piecesAt(value: unknown, path: string): AddressRange<bigint>[] {
  return listAt(value, path).map((each, i) => pieceAt(each, `${path}[${i}]`));
}

/** Children of /reserved-memory. */
function reservationsAt(value: unknown, path: string): ArmReservation[] {
  return listAt(value, path).map((each, i) => {
    const at = `${path}[${i}]`;
    const object = objectAt(each, at);
    const placed = (object.base ?? object.address ?? object.start ?? null) !== null;
    const place = placed ? pieceAt(each, at) : undefined;
    return {
      node: typeof object.node === 'string' ? object.node : at,
      place,
      noMap: object.no_map === true || object.noMap === true,
      reusable: object.reusable === true,
      size: place === undefined ? numberAt(object.size, `${at}.size`) : place.end - place.start,
      alignment: numberAt(object.alignment ?? 0, `${at}.alignment`),
      within: piecesAt(object.within ?? object.alloc_ranges, `${at}.within`),
    };
  });
}

function devicesAt(value: unknown, path: string): StaticDevice[] {
  return listAt(value, path).map((each, i) => {
    const object = objectAt(each, `${path}[${i}]`);
    const number = (name: string): bigint => numberAt(object[name], `${path}[${i}].${name}`);
    const type = (typeof object.type === 'string' ? object.type.replace(/^MT_/, '') : 'DEVICE') as MemoryTypeName;
    return { va: number('virtual'), pa: number('physical'), bytes: number('size'), type };
  });
}

function configAt(value: unknown, path: string): Map<string, boolean | number | string> {
  return new Map(
    Object.entries(objectAt(value ?? {}, path)).map(([name, each]) => {
      const usable = typeof each === 'boolean' || typeof each === 'number' || typeof each === 'string';
      if (!usable && each !== null) fail('description', `${path}.${name}`, 'is no switch, number or text');
      const key = name.startsWith('CONFIG_') ? name : `CONFIG_${name}`;
      return [key, (each ?? false) as boolean | number | string];
    }),
  );
}

/**
 * Reads a description.
 * @throws ArmBootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readArmDescription(capture: Capture): ArmDescription {
  const description = objectAt(capture, 'it');
  const kernel = objectAt(description.kernel, 'kernel');
  const ram = piecesAt(description.ram, 'ram');
  if (ram.length === 0) fail('description-ram', 'ram', 'is empty');
  const { dtb, initrd, debugUart } = description;
  const uart = debugUart === undefined ? undefined : objectAt(debugUart, 'debugUart');
  return {
    kernelVersion: typeof description.kernelVersion === 'string' ? description.kernelVersion : undefined,
    commandLine: typeof description.commandLine === 'string' ? description.commandLine : '',
    loadAddress: numberAt(kernel.loadAddress, 'kernel.loadAddress'),
    symbols: numbersAt(kernel.symbols, 'kernel.symbols'),
    dtb: dtb === undefined || dtb === null ? undefined : pieceAt(dtb, 'dtb'),
    ram,
    memreserve: piecesAt(description.memreserve, 'memreserve'),
    reservedMemory: reservationsAt(description.reservedMemory, 'reservedMemory'),
    initrd: initrd === undefined || initrd === null ? undefined : pieceAt(initrd, 'initrd'),
    devices: devicesAt(description.devices, 'devices'),
    debugUart:
      uart === undefined
        ? undefined
        : { va: numberAt(uart.virtual, 'debugUart.virtual'), pa: numberAt(uart.physical, 'debugUart.physical') },
    idRegisters: numbersAt(description.idRegisters, 'idRegisters'),
    config: configAt(description.config, 'config'),
  };
}

/**
 * The value of a symbol.
 * @throws ArmBootError `symbol` if the description has none of that name
 */
export function symbolOf({ symbols }: ArmDescription, name: string): bigint {
  const value = symbols.get(name);
  if (value === undefined) throw new ArmBootError('symbol', 'the description lacks a symbol of the kernel', { name });
  return value;
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
  return named ?? fail('description', 'config.CONFIG_PAGE_OFFSET', 'is no split');
}

const UNITS: Readonly<Record<string, bigint>> = { '': 1n, k: 1n << 10n, m: 1n << 20n, g: 1n << 30n };

/** `memparse`: a number with an optional unit. */
function sizeOf(digits: string | undefined, unit: string | undefined): bigint {
  return BigInt(digits ?? '0') * (UNITS[(unit ?? '').toLowerCase()] ?? 1n);
}

/** A size among the boot arguments (`vmalloc=320M`, `cma=64M`); the last one counts. */
export function sizeArgument({ commandLine }: ArmDescription, name: string): bigint | undefined {
  const matches = [...commandLine.matchAll(new RegExp(`(?:^|\\s)${name}=(0x[0-9a-f]+|[0-9]+)([kmg]?)`, 'gi'))];
  const last = matches.at(-1);
  return last === undefined ? undefined : sizeOf(last[1], last[2]);
}

/**
 * Memory that the boot arguments name instead of the device tree's (`mem=300M`, `mem=64M@0x80000000`), in their order.
 * @param start where memory begins that is named without its place
 */
export function memoryArguments({ commandLine }: ArmDescription, start: bigint): AddressRange<bigint>[] {
  const words = commandLine.matchAll(/(?:^|\s)mem=(0x[0-9a-f]+|[0-9]+)([kmg]?)(?:@(0x[0-9a-f]+|[0-9]+)([kmg]?))?/gi);
  return [...words].map(([, size, unit, place, placeUnit]) => {
    const from = place === undefined ? start : sizeOf(place, placeUnit);
    return { start: from, end: from + sizeOf(size, unit) };
  });
}
