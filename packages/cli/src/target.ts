/** From options to an address space: which architecture, which roots, which memory. */
import { existsSync } from 'node:fs';
import {
  type AddressSpace,
  type Architecture,
  type ArchitectureOption,
  type Capture,
  createSpace,
  type OptionValues,
  type Paging,
  type RootDescription,
} from '@pagefold/core';
import { type ImageFile, openImage } from '@pagefold/image/node';
import type { Command } from 'commander';
import { UsageError } from './errors.ts';
import { readJsonObject, readText } from './files.ts';
import { looksLikeNumber, parseNumber } from './numbers.ts';
import { architectureNamed, architectures } from './registry.ts';
import { addSharedOptions, camel, refuseForeign } from './shared-options.ts';

/** Options that every command with tables has. */
export interface TargetOptions {
  readonly arch?: string;
  readonly image?: readonly string[];
  readonly registers?: string;
  readonly root?: string;
  readonly json?: boolean;
  readonly [name: string]: unknown;
}

/** What the options of a target are called, for messages. */
export interface TargetNames {
  readonly registers: string;
  readonly root: string;
}

const NAMES: TargetNames = { registers: '--registers', root: '--root' };

/** An option that names an architecture, and the architectures' own. */
export function addArchitecture(command: Command): Command {
  command.option('--arch <name>', `architecture: ${architectures.map(({ name }) => name).join(', ')}`);
  addSharedOptions(command, architectures, ({ options }) => options);
  return command;
}

/** Options that name an architecture and its registers. */
export function addArchitectureOptions(command: Command): Command {
  addArchitecture(command);
  command.option('--registers <file>', 'take architecture, mode and root from a facts file (registers.json)');
  command.option('--root <name>', 'name of the root in the facts file');
  return command;
}

/** An option that names memory. */
export function addImage(command: Command): Command {
  return command.option(
    '--image <file...>',
    'memory image: ELF core, kdump, LiME, gzip of one, or FILE@BASE for a raw file; several at once',
  );
}

/** Options that name memory too. */
export function addTargetOptions(command: Command): Command {
  addArchitectureOptions(addImage(command));
  return command.option('--json', 'print one JSON object per line');
}

/** Values of the architecture's own options. */
export function optionValues(arch: Architecture, options: TargetOptions): OptionValues {
  refuseForeign(arch, options, (each) => each.options);
  return valuesOf(arch.options, options);
}

/** Values of some options of an architecture. */
export function valuesOf(list: readonly ArchitectureOption[], options: TargetOptions): OptionValues {
  const values: Record<string, bigint | string | boolean | readonly string[] | undefined> = {};
  for (const { name, kind, values: words } of list) {
    const given = options[camel(name)];
    if (kind === 'flag' && given === true) values[name] = true;
    if (typeof given !== 'string') continue;
    if (kind === 'number') {
      values[name] = parseNumber(given, `--${name}`);
      continue;
    }
    const list = given.split(',').filter((word) => word !== '');
    const wrong = list.find((word) => words !== undefined && !words.includes(word));
    if (wrong !== undefined) throw new UsageError(`--${name}: '${wrong}' is not one of ${words?.join(', ')}`);
    values[name] = kind === 'list' ? list : given;
  }
  return values;
}

/** The facts file, if one is named. */
function readCapture(options: TargetOptions, { registers: name } = NAMES): Capture | undefined {
  if (options.registers === undefined) return undefined;
  return readJsonObject(options.registers, `${name}: `);
}

/**
 * The architecture that the options or the facts file name.
 * @throws UsageError if they name none, or two different ones
 */
function chooseArchitecture(options: TargetOptions, capture: Capture | undefined): Architecture {
  const given = options.arch === undefined ? undefined : architectureNamed(options.arch);
  const word = capture?.arch;
  if (typeof word === 'string') {
    const named = architectureNamed(word, `'${options.registers}': arch`);
    if (given === undefined || given === named) return named;
    throw new UsageError(`--arch: ${given.name}, but '${options.registers}' is about ${named.name} (arch '${word}')`);
  }
  if (given !== undefined) return given;
  throw new UsageError('--arch is missing (or --registers, which names the architecture)');
}

function chooseRoots(
  arch: Architecture,
  options: TargetOptions,
  capture: Capture | undefined,
  { root, registers } = NAMES,
): readonly RootDescription[] {
  const values = optionValues(arch, options);
  if (capture === undefined) {
    if (options.root !== undefined) throw new UsageError(`${root} needs ${registers}`);
    return arch.roots(values);
  }
  const roots = capture.roots;
  const names = typeof roots === 'object' && roots !== null ? Object.keys(roots) : [];
  const label = options.root ?? (names.length === 1 ? names[0] : undefined);
  if (names.length === 0) throw new UsageError(`${registers}: '${options.registers}' names no roots`);
  if (label === undefined) throw new UsageError(`${root} is missing: one of ${names.join(', ')}`);
  if (!names.includes(label)) throw new UsageError(`${root}: '${label}' is not one of ${names.join(', ')}`);
  return arch.captureRoots(capture, label, values);
}

/** An address space and what must be closed afterwards. */
export interface Target extends Disposable {
  readonly arch: Architecture;
  readonly space: AddressSpace;
}

/** Splits `FILE@BASE`. A file that exists under the whole name wins, so names with an @ stay usable. */
function source(text: string): string | { readonly path: string; readonly base: bigint } {
  const at = text.lastIndexOf('@');
  const base = text.slice(at + 1);
  if (at <= 0 || !looksLikeNumber(base) || existsSync(text)) return text;
  return { path: text.slice(0, at), base: parseNumber(base, '--image', 56) };
}

/**
 * The memory that the options name.
 * @throws UsageError if they name none
 */
export function openMemory({ image = [] }: TargetOptions): Promise<ImageFile> {
  if (image.length === 0) throw new UsageError('--image is missing');
  return openImage(image.map(source));
}

/**
 * Opens what the options name.
 * @param names what these options are called where they were given
 */
export async function openTarget(options: TargetOptions, names: TargetNames = NAMES): Promise<Target> {
  const capture = readCapture(options, names);
  const arch = chooseArchitecture(options, capture);
  const roots = chooseRoots(arch, options, capture, names);
  const image = await openMemory(options);
  try {
    return { arch, space: createSpace(image.memory, roots), [Symbol.dispose]: () => image.close() };
  } catch (error) {
    image.close();
    throw error;
  }
}

/** The architecture alone, for what needs no root. */
export function architectureOf(options: TargetOptions): Architecture {
  return chooseArchitecture(options, readCapture(options));
}

/**
 * A paging for explaining, without memory.
 * @param va the address that is to be explained
 */
export function choosePaging(options: TargetOptions, va?: bigint): Paging {
  const capture = readCapture(options);
  const arch = chooseArchitecture(options, capture);
  if (capture !== undefined) return (chooseRoots(arch, options, capture)[0] as RootDescription).paging;
  return arch.paging(optionValues(arch, options), va);
}

/**
 * Addresses from the arguments and, for `-`, from standard input. A variadic `--image` swallows what follows it, so
 * words there that are numbers (or `-`) are addresses too: name such a file `./0x1000`.
 */
export function takeAddresses(
  args: readonly string[],
  options: TargetOptions,
): { addresses: string[]; options: TargetOptions } {
  const isAddress = (word: string): boolean => word === '-' || looksLikeNumber(word);
  const files = (options.image ?? []).filter((word) => !isAddress(word));
  const swallowed = (options.image ?? []).filter(isAddress);
  const words = [...swallowed, ...args];
  if (words.length === 0) throw new UsageError('no address given (use - to read them from standard input)');
  const addresses = words.flatMap((word) => (word === '-' ? readText(0).split(/\s+/).filter(Boolean) : [word]));
  return { addresses, options: { ...options, image: files } };
}
