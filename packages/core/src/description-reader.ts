/**
 * Reading the description of a machine and a kernel that a boot starts from, as JSON: what the boot loader and the build
 * knew. The outcome (`expect`) may stand in it and is never read. What all architectures describe alike is read here;
 * each reads its own members with the same helpers.
 */
import { type Facts, factNumber } from './capture.ts';
import { BootError } from './errors.ts';
import type { AddressRange } from './range.ts';

/** A piece of physical memory, half-open; may be empty. */
export type DescribedPiece = AddressRange<bigint>;

/** A child of /reserved-memory. */
export interface ReservedNode {
  readonly node: string;
  /** Where it lies; `undefined` if the kernel chooses the place. */
  readonly place: DescribedPiece | undefined;
  /** `no-map`: must not be mapped. */
  readonly noMap: boolean;
  /** `reusable`: a contiguous memory area, handed out again until it is wanted. */
  readonly reusable: boolean;
  /** Bytes, alignment (0: any) and allowed places of one whose place the kernel chooses. */
  readonly size: bigint;
  readonly alignment: bigint;
  readonly within: readonly DescribedPiece[];
}

/** What is described alike for all architectures, checked. */
export interface MachineDescription {
  readonly kernelVersion: string | undefined;
  readonly commandLine: string;
  /** Physical address of the image's first byte. */
  readonly loadAddress: bigint;
  /** Symbols of the kernel: where it was linked, or where it ran. */
  readonly symbols: ReadonlyMap<string, bigint>;
  readonly ram: readonly DescribedPiece[];
  /** The reservation block of the device tree, in its order. */
  readonly memreserve: readonly DescribedPiece[];
  readonly reservedMemory: readonly ReservedNode[];
  readonly initrd: DescribedPiece | undefined;
  /** Build options by name: `CONFIG_KFENCE`. */
  readonly config: ReadonlyMap<string, boolean | number | string>;
}

/** @throws BootError which says what is wrong with a member of a description */
export function refuseDescription(rule: string, path: string, what: string): never {
  throw new BootError(rule, `the description is unusable: ${path} ${what}`);
}

/** @throws BootError `description` if it is no object */
export function describedObject(value: unknown, path: string): Facts {
  const usable = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!usable) refuseDescription('description', path, 'is no object');
  return value as Facts;
}

/**
 * A list, empty if nothing is there.
 * @throws BootError `description` if it is something else
 */
export function describedList(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) refuseDescription('description', path, 'is no list');
  return value as readonly unknown[];
}

/**
 * A number: hex or decimal text, or a JSON number.
 * @throws BootError `description-number`
 */
export function describedNumber(value: unknown, path: string): bigint {
  const text = typeof value === 'string' ? value.trim() : value;
  const number = typeof text === 'boolean' ? undefined : factNumber(text);
  return number ?? refuseDescription('description-number', path, `is no number: ${JSON.stringify(value) ?? 'missing'}`);
}

/** The same of a member that may be missing. */
export function describedOptional(value: unknown, path: string): bigint | undefined {
  return value === undefined || value === null ? undefined : describedNumber(value, path);
}

/** Numbers by name; none if the member is missing. */
export function describedNumbers(value: unknown, path: string): Map<string, bigint> {
  const object = describedObject(value ?? {}, path);
  return new Map(Object.entries(object).map(([name, each]) => [name, describedNumber(each, `${path}.${name}`)]));
}

/** The first member that is there. */
export function firstMember(object: Facts, ...names: readonly string[]): unknown {
  for (const name of names) if (object[name] !== undefined && object[name] !== null) return object[name];
  return undefined;
}

/**
 * `{base, size}`, `{start, end}` and the like; `undefined` if it says no place.
 * @param bits addresses are below two to the power of so many
 * @throws BootError `description-range`
 */
export function describedPiece(value: unknown, path: string, bits = 64): DescribedPiece | undefined {
  const object = describedObject(value, path);
  const start = describedOptional(firstMember(object, 'base', 'address', 'start'), `${path}.base`);
  if (start === undefined) return undefined;
  const end = describedOptional(object.end, `${path}.end`) ?? start + describedNumber(object.size, `${path}.size`);
  if (end < start || end > 1n << BigInt(bits)) {
    refuseDescription('description-range', path, `ends before it begins or above 2^${bits}`);
  }
  return { start, end };
}

/** A list of pieces, each with its place. */
export function describedPieces(value: unknown, path: string, bits = 64): DescribedPiece[] {
  return describedList(value, path).map((each, i) => {
    const at = `${path}[${i}]`;
    return describedPiece(each, at, bits) ?? refuseDescription('description', at, 'has no address');
  });
}

function reservedNode(value: unknown, path: string, bits: number): ReservedNode {
  const object = describedObject(value, path);
  const place = describedPiece(value, path, bits);
  return {
    node: typeof object.node === 'string' ? object.node : path,
    place,
    noMap: firstMember(object, 'no_map', 'noMap') === true,
    reusable: object.reusable === true,
    size: place === undefined ? describedNumber(object.size, `${path}.size`) : place.end - place.start,
    alignment: describedOptional(object.alignment, `${path}.alignment`) ?? 0n,
    within: describedPieces(firstMember(object, 'within', 'alloc_ranges'), `${path}.within`, bits),
  };
}

function buildConfig(value: unknown, path: string): Map<string, boolean | number | string> {
  const entries = Object.entries(describedObject(value ?? {}, path)).map(([name, each]) => {
    const usable = typeof each === 'boolean' || typeof each === 'number' || typeof each === 'string';
    if (!usable && each !== null) {
      refuseDescription('description', `${path}.${name}`, 'is no switch, number or text');
    }
    const key = name.startsWith('CONFIG_') ? name : `CONFIG_${name}`;
    return [key, (each ?? false) as boolean | number | string] as const;
  });
  return new Map(entries);
}

/**
 * Reads what all architectures describe alike.
 * @param bits physical addresses are below two to the power of so many
 * @throws BootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readMachineDescription(value: unknown, bits = 64): MachineDescription {
  const description = describedObject(value, 'it');
  const kernel = describedObject(description.kernel, 'kernel');
  const { initrd } = description;
  const ram = describedPieces(description.ram, 'ram', bits);
  if (ram.length === 0) refuseDescription('description-ram', 'ram', 'is empty');
  return {
    kernelVersion: typeof description.kernelVersion === 'string' ? description.kernelVersion : undefined,
    commandLine: typeof description.commandLine === 'string' ? description.commandLine : '',
    loadAddress: describedNumber(kernel.loadAddress, 'kernel.loadAddress'),
    symbols: describedNumbers(kernel.symbols, 'kernel.symbols'),
    ram,
    memreserve: describedPieces(description.memreserve, 'memreserve', bits),
    reservedMemory: describedList(description.reservedMemory, 'reservedMemory').map((each, i) =>
      reservedNode(each, `reservedMemory[${i}]`, bits),
    ),
    initrd: initrd === undefined || initrd === null ? undefined : describedPiece(initrd, 'initrd', bits),
    config: buildConfig(description.config, 'config'),
  };
}

/**
 * The value of a symbol.
 * @throws BootError `symbol` if the description has none of that name
 */
export function describedSymbol({ symbols }: Pick<MachineDescription, 'symbols'>, name: string): bigint {
  const value = symbols.get(name);
  if (value === undefined) throw new BootError('symbol', 'the description lacks a symbol of the kernel', { name });
  return value;
}
