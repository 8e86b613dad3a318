/**
 * The description of a machine and a kernel that a boot starts from, as JSON: what the boot loader and the build knew.
 * The outcome (`expect`) may stand in it and is never read.
 */
import type { Capture } from '@pagefold/core';
import { BootError } from './errors.ts';

/** A piece of physical memory, half-open. */
export interface BootPiece {
  readonly start: bigint;
  readonly end: bigint;
}

/** A child of /reserved-memory. */
export interface ReservedNode {
  readonly node: string;
  /** Where it lies; `undefined` if the kernel chooses the place. */
  readonly place: BootPiece | undefined;
  /** `no-map`: must not be mapped. */
  readonly noMap: boolean;
  /** Bytes, alignment (0: any) and allowed places of one whose place the kernel chooses. */
  readonly size: bigint;
  readonly alignment: bigint;
  readonly within: readonly BootPiece[];
}

/** A description, checked. */
export interface BootDescription {
  readonly kernelVersion: string | undefined;
  readonly commandLine: string;
  /** Physical address of `_text`. */
  readonly loadAddress: bigint;
  /** Symbols where the kernel was linked, or where it ran: only their distances from `_text` count. */
  readonly symbols: ReadonlyMap<string, bigint>;
  /** The image header's flags, which name the page size; not supplied: `undefined`. */
  readonly imageFlags: bigint | undefined;
  /** Physical address and bytes of the device tree. */
  readonly dtb: { readonly address: bigint; readonly size: bigint };
  readonly ram: readonly BootPiece[];
  /** The reservation block of the device tree, in its order. */
  readonly memreserve: readonly BootPiece[];
  readonly reservedMemory: readonly ReservedNode[];
  readonly initrd: BootPiece | undefined;
  /** Bytes of a page, if somebody said so. */
  readonly pageSize: bigint | undefined;
  /** Identification registers by name: `ID_AA64MMFR0_EL1`. */
  readonly idRegisters: ReadonlyMap<string, bigint>;
  /** Random number for moving the kernel. Not supplied: `undefined`. */
  readonly kaslrSeed: bigint | undefined;
  /** Build options by name: `CONFIG_KFENCE`. */
  readonly config: ReadonlyMap<string, boolean | number | string>;
}

type Json = Readonly<Record<string, unknown>>;

function fail(rule: string, path: string, what: string): never {
  throw new BootError(rule, `the description is unusable: ${path} ${what}`);
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

/** A number: hex or decimal text, or a JSON number. */
function numberAt(value: unknown, path: string): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === 'string' && /^(0x[0-9a-f]+|[0-9]+)$/i.test(value.trim())) return BigInt(value.trim());
  return fail('description-number', path, `is no number: ${JSON.stringify(value) ?? 'missing'}`);
}

function optionalNumber(value: unknown, path: string): bigint | undefined {
  return value === undefined || value === null ? undefined : numberAt(value, path);
}

/** The first member that is there. */
function member(object: Json, ...names: string[]): unknown {
  for (const name of names) if (object[name] !== undefined && object[name] !== null) return object[name];
  return undefined;
}

/** `{base, size}`, `{start, end}` and the like; `undefined` if it says no place. */
function pieceAt(value: unknown, path: string): BootPiece | undefined {
  const object = objectAt(value, path);
  const start = optionalNumber(member(object, 'base', 'address', 'start'), `${path}.base`);
  if (start === undefined) return undefined;
  const end = optionalNumber(object.end, `${path}.end`);
  const size = end === undefined ? numberAt(object.size, `${path}.size`) : end - start;
  if (size < 0n || start + size > 1n << 64n) fail('description-range', path, 'ends before it begins or above 2^64');
  return { start, end: start + size };
}

function piecesAt(value: unknown, path: string): BootPiece[] {
  return listAt(value, path).map((each, i) => {
    return pieceAt(each, `${path}[${i}]`) ?? fail('description', `${path}[${i}]`, 'has no address');
  });
}

function reservedAt(value: unknown, path: string): ReservedNode {
  const object = objectAt(value, path);
  const place = pieceAt(value, path);
  const size = place === undefined ? numberAt(object.size, `${path}.size`) : place.end - place.start;
  return {
    node: typeof object.node === 'string' ? object.node : path,
    place,
    noMap: member(object, 'no_map', 'noMap') === true,
    size,
    alignment: optionalNumber(object.alignment, `${path}.alignment`) ?? 0n,
    within: piecesAt(member(object, 'within', 'alloc_ranges'), `${path}.within`),
  };
}

function numbersAt(value: unknown, path: string): Map<string, bigint> {
  const object = objectAt(value ?? {}, path);
  return new Map(Object.entries(object).map(([name, each]) => [name, numberAt(each, `${path}.${name}`)]));
}

function configAt(value: unknown, path: string): Map<string, boolean | number | string> {
  const entries = Object.entries(objectAt(value ?? {}, path)).map(([name, each]) => {
    const usable = typeof each === 'boolean' || typeof each === 'number' || typeof each === 'string';
    if (!usable && each !== null) fail('description', `${path}.${name}`, 'is no switch, number or text');
    const key = name.startsWith('CONFIG_') ? name : `CONFIG_${name}`;
    return [key, (each ?? false) as boolean | number | string] as const;
  });
  return new Map(entries);
}

/**
 * Reads a description.
 * @throws BootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readDescription(capture: Capture): BootDescription {
  const description = objectAt(capture, 'it');
  const kernel = objectAt(description.kernel, 'kernel');
  const header = objectAt(kernel.imageHeader ?? {}, 'kernel.imageHeader');
  const dtb = objectAt(description.dtb, 'dtb');
  const initrd = description.initrd ?? undefined;
  const ram = piecesAt(description.ram, 'ram');
  if (ram.length === 0) fail('description-ram', 'ram', 'is empty');
  return {
    kernelVersion: typeof description.kernelVersion === 'string' ? description.kernelVersion : undefined,
    commandLine: typeof description.commandLine === 'string' ? description.commandLine : '',
    loadAddress: numberAt(kernel.loadAddress, 'kernel.loadAddress'),
    symbols: numbersAt(kernel.symbols, 'kernel.symbols'),
    imageFlags: optionalNumber(header.flags, 'kernel.imageHeader.flags'),
    dtb: { address: numberAt(dtb.address, 'dtb.address'), size: numberAt(dtb.size, 'dtb.size') },
    ram,
    memreserve: piecesAt(description.memreserve, 'memreserve'),
    reservedMemory: listAt(description.reservedMemory, 'reservedMemory').map((each, i) =>
      reservedAt(each, `reservedMemory[${i}]`),
    ),
    initrd: initrd === undefined ? undefined : pieceAt(initrd, 'initrd'),
    pageSize: optionalNumber(description.pageSize, 'pageSize'),
    idRegisters: numbersAt(description.idRegisters, 'idRegisters'),
    kaslrSeed: optionalNumber(
      member(description, 'kaslrSeed', 'kaslr_seed') ?? member(kernel, 'kaslrSeed', 'kaslr_seed'),
      'kaslrSeed',
    ),
    config: configAt(description.config, 'config'),
  };
}

/**
 * The value of a symbol.
 * @throws BootError `symbol` if the description has none of that name
 */
export function symbolOf(description: BootDescription, name: string): bigint {
  const value = description.symbols.get(name);
  if (value === undefined) throw new BootError('symbol', 'the description lacks a symbol of the kernel', { name });
  return value;
}
