/**
 * From the files of a real machine to a description of its boot: device tree, symbol list, kernel image, configuration.
 * The description has the shape that `pagefold boot` reads from JSON.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Capture, hex } from '@pagefold/core';
import {
  isGzip,
  type KernelImage,
  type Machine,
  machineFromDtb,
  parseDtb,
  parseSystemMap,
  readKernelImage,
} from '@pagefold/image';
import { UsageError } from './errors.ts';
import { reasonOf } from './files.ts';

/** Kernels have more symbols than this; shorter lists are excerpts. */
const COMPLETE_LIST = 5000;

/** Which files, and what they do not say. */
export interface BootFiles {
  readonly dtb: string;
  readonly systemMap: string;
  readonly kernel: string;
  /** A kernel's `.config`. */
  readonly config?: string | undefined;
  /** Replaces the boot arguments of the device tree. */
  readonly commandLine?: string | undefined;
  readonly loadAddress?: bigint | undefined;
  readonly dtbAddress?: bigint | undefined;
}

/** Bytes of a file, inflated if it is gzip. */
function bytesOf(option: string, path: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UsageError(`${option}: cannot read '${path}': ${reasonOf(error)}`);
  }
  try {
    return isGzip(bytes) ? gunzipSync(bytes) : bytes;
  } catch (error) {
    throw new UsageError(`${option}: cannot inflate '${path}': ${reasonOf(error)}`);
  }
}

/** Where boot loaders put device trees: aligned to 2 MiB, as high as fits in the kernel's bank and below 3 GiB. */
function usualDtbAddress(machine: Machine, load: bigint): bigint {
  const bank = machine.ram.find(({ start, end }) => load >= start && load < end);
  if (bank === undefined) throw new UsageError('--load-address: there is no memory at that address');
  const limit = 3n << 30n;
  const top = bank.start < limit && bank.end > limit ? limit : bank.end;
  return (top - BigInt(machine.dtbSize)) & -0x20_0000n;
}

/** The image header's offset from the start of memory, where it has one. */
function usualLoadAddress(machine: Machine, image: KernelImage): bigint {
  const first = machine.ram[0];
  if (first === undefined) throw new UsageError('--dtb: the device tree names no memory');
  return first.start + ('textOffset' in image ? image.textOffset : 0n);
}

/** Options of a `.config`: `CONFIG_X=y`, numbers, text; `# CONFIG_X is not set`. */
export function parseConfig(text: string): Record<string, boolean | number | string> {
  const options: Record<string, boolean | number | string> = {};
  for (const line of text.split('\n')) {
    const [, off] = /^# (CONFIG_\w+) is not set$/.exec(line.trim()) ?? [];
    if (off !== undefined) options[off] = false;
    const [, name, value] = /^(CONFIG_\w+)=(.*)$/.exec(line.trim()) ?? [];
    if (name === undefined || value === undefined) continue;
    if (value === 'y' || value === 'm') options[name] = true;
    else if (value === 'n') options[name] = false;
    else if (/^[0-9]+$/.test(value) && Number.isSafeInteger(Number(value))) options[name] = Number(value);
    else options[name] = value.replace(/^"(.*)"$/, '$1');
  }
  return options;
}

function range({ start, end }: { readonly start: bigint; readonly end: bigint }): Record<string, string> {
  return { base: hex(start), size: hex(end - start) };
}

/** Eight random bytes as a kernel reads them: big-endian. */
function seedNumber(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined || bytes.length < 8) return undefined;
  return hex(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}

/**
 * A description as a file holds it, with what only the device tree says that it names (`dtb.file`, beside it): the seed
 * for moving the kernel. A tree that is not there is none.
 * @param directory of the description
 */
export function withDeviceTree(description: Capture, directory: string): Capture {
  const { dtb, kaslrSeed } = description as {
    readonly dtb?: { readonly file?: unknown };
    readonly kaslrSeed?: unknown;
  };
  if (kaslrSeed !== undefined || typeof dtb?.file !== 'string') return description;
  const path = join(directory, dtb.file);
  if (!existsSync(path)) return description;
  const seed = seedNumber(machineFromDtb(parseDtb(bytesOf('dtb.file', path))).chosen.kaslrSeed);
  return seed === undefined ? description : { ...description, kaslrSeed: seed };
}

/**
 * Reads the files.
 * @returns a description; JSON with numbers as hex text
 * @throws UsageError if a file cannot be read; ImageError if it is not what it should be
 */
export function describeBoot(files: BootFiles): Capture {
  const machine = machineFromDtb(parseDtb(bytesOf('--dtb', files.dtb)));
  const image = readKernelImage(bytesOf('--kernel', files.kernel));
  const { symbols } = parseSystemMap(new TextDecoder().decode(bytesOf('--system-map', files.systemMap)));
  const load = files.loadAddress ?? usualLoadAddress(machine, image);
  const { chosen } = machine;
  return {
    arch: image.arch,
    commandLine: files.commandLine ?? chosen.bootArguments ?? '',
    kernel: {
      loadAddress: hex(load),
      // A list of a few symbols says nothing about what was not built.
      allSymbols: symbols.size > COMPLETE_LIST,
      symbols: Object.fromEntries([...symbols].map(([name, address]) => [name, hex(address)])),
      ...('imageSize' in image
        ? {
            imageHeader: {
              text_offset: hex(image.textOffset),
              image_size: hex(image.imageSize),
              flags: hex(image.flags),
            },
          }
        : {}),
    },
    dtb: { address: hex(files.dtbAddress ?? usualDtbAddress(machine, load)), size: hex(machine.dtbSize) },
    ram: machine.ram.map(range),
    memreserve: machine.reservations.map(range),
    reservedMemory: [
      ...machine.reservedMemory.map((each) => ({ ...range(each), node: each.node, no_map: each.noMap })),
      ...machine.dynamicReservations.map(({ node, noMap, size, alignment, within }) => ({
        node,
        no_map: noMap,
        size: hex(size),
        alignment: hex(alignment ?? 0n),
        within: within.map(range),
      })),
    ],
    initrd: chosen.initrd === undefined ? undefined : { start: hex(chosen.initrd.start), end: hex(chosen.initrd.end) },
    cpus: machine.cpus.map(({ mmuType, enabled }) => ({ mmuType, enabled })),
    kaslrSeed: seedNumber(chosen.kaslrSeed),
    config: files.config === undefined ? {} : parseConfig(new TextDecoder().decode(bytesOf('--config', files.config))),
  };
}
