/**
 * The description of a machine and a kernel that a boot starts from, as JSON: what the boot loader and the build knew.
 * The outcome (`expect`) may stand in it and is never read.
 */
import type { Capture } from '@pagefold/core';
import type { MemoryTypes } from '../linux-config.ts';
import type { CpuNode } from '../mode-choice.ts';
import { RISCV_MODES, type RiscvMode } from '../modes.ts';
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
  readonly xlen: 32 | 64;
  readonly kernelVersion: string | undefined;
  readonly commandLine: string;
  /** Physical address of `_start`. */
  readonly loadAddress: bigint;
  readonly symbols: ReadonlyMap<string, bigint>;
  /** Does the list hold all symbols, so that what it lacks was not built? */
  readonly allSymbols: boolean;
  /** Bytes from `_start` to `_end` as the image header says. */
  readonly imageSize: bigint | undefined;
  /** Physical address and bytes of the device tree. */
  readonly dtb: { readonly address: bigint; readonly size: bigint };
  readonly ram: readonly BootPiece[];
  /** The reservation block of the device tree, in its order. */
  readonly memreserve: readonly BootPiece[];
  readonly reservedMemory: readonly ReservedNode[];
  readonly initrd: BootPiece | undefined;
  /** Modes that the hardware takes; not supplied: `undefined`. */
  readonly hardwareModes: readonly RiscvMode[] | undefined;
  /** CPU nodes of the device tree. */
  readonly cpus: readonly CpuNode[];
  /** Random number for moving the kernel. Not supplied: `undefined`. */
  readonly kaslrSeed: bigint | undefined;
  /** How memory types are encoded in entries. Not supplied: not at all. */
  readonly memoryTypes: MemoryTypes;
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

function symbolsAt(value: unknown, path: string): Map<string, bigint> {
  const object = objectAt(value ?? {}, path);
  return new Map(Object.entries(object).map(([name, address]) => [name, numberAt(address, `${path}.${name}`)]));
}

function modesAt(value: unknown, path: string): readonly RiscvMode[] | undefined {
  if (value === undefined || value === null) return undefined;
  return listAt(value, path).map((word) => {
    return RISCV_MODES.find((mode) => mode === word) ?? fail('description-mode', path, `names ${String(word)}`);
  });
}

function cpuAt(value: unknown, path: string): CpuNode {
  const { mmuType, enabled } = objectAt(value, path);
  return { enabled: enabled !== false, ...(typeof mmuType === 'string' ? { mmuType } : {}) };
}

function memoryTypesAt(value: unknown, path: string): MemoryTypes {
  const types = (['none', 'svpbmt', 'thead'] as const).find((each) => each === (value ?? 'none'));
  return types ?? fail('description-types', path, `is ${String(value)}`);
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

/** RV32 or RV64: by the architecture's name, else by where the kernel is linked. */
function xlenOf(description: Json, symbols: ReadonlyMap<string, bigint>): 32 | 64 {
  const arch = typeof description.arch === 'string' ? description.arch : '';
  if (/32/.test(arch)) return 32;
  if (/64/.test(arch)) return 64;
  const start = symbols.get('_start');
  return start !== undefined && start < 1n << 32n ? 32 : 64;
}

/**
 * Reads a description.
 * @throws BootError `description` and rules that begin with it, naming the member that is missing or wrong
 */
export function readDescription(capture: Capture): BootDescription {
  const description = objectAt(capture, 'it');
  const kernel = objectAt(description.kernel, 'kernel');
  const symbols = symbolsAt(kernel.symbols, 'kernel.symbols');
  const header = objectAt(kernel.imageHeader ?? {}, 'kernel.imageHeader');
  const dtb = objectAt(description.dtb, 'dtb');
  const initrd = description.initrd ?? undefined;
  const ram = piecesAt(description.ram, 'ram');
  if (ram.length === 0) fail('description-ram', 'ram', 'is empty');
  return {
    xlen: xlenOf(description, symbols),
    kernelVersion: typeof description.kernelVersion === 'string' ? description.kernelVersion : undefined,
    commandLine: typeof description.commandLine === 'string' ? description.commandLine : '',
    loadAddress: numberAt(kernel.loadAddress, 'kernel.loadAddress'),
    symbols,
    allSymbols: kernel.allSymbols === true,
    imageSize: optionalNumber(member(header, 'image_size', 'imageSize'), 'kernel.imageHeader.image_size'),
    dtb: { address: numberAt(dtb.address, 'dtb.address'), size: numberAt(dtb.size, 'dtb.size') },
    ram,
    memreserve: piecesAt(description.memreserve, 'memreserve'),
    reservedMemory: listAt(description.reservedMemory, 'reservedMemory').map((each, i) =>
      reservedAt(each, `reservedMemory[${i}]`),
    ),
    initrd: initrd === undefined ? undefined : pieceAt(initrd, 'initrd'),
    hardwareModes: modesAt(description.hardwareModes, 'hardwareModes'),
    cpus: listAt(description.cpus, 'cpus').map((each, i) => cpuAt(each, `cpus[${i}]`)),
    kaslrSeed: optionalNumber(member(description, 'kaslrSeed') ?? kernel.kaslrSeed, 'kaslrSeed'),
    memoryTypes: memoryTypesAt(description.memoryTypes, 'memoryTypes'),
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
