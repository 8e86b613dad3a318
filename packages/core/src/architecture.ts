/**
 * How an architecture presents itself to tools: by which words it is called, which registers it has, and how register
 * values become roots. Registration is data: a tool that knows this contract works with every architecture.
 */

import { TWO_64 } from './address.ts';
import type { BootProvider } from './boot.ts';
import type { Capture } from './capture.ts';
import { ArgumentError } from './errors.ts';
import type { FenceProvider } from './fence-provider.ts';
import type { AccessOption } from './format.ts';
import type { LayoutProvider } from './layout-provider.ts';
import type { Paging } from './paging.ts';
import { decodeRegister, type RegisterFormat } from './register.ts';
import type { RootDescription } from './space.ts';

/** Something that selects or changes the paging, given by its name: a register value, a list of features, a mode. */
export interface ArchitectureOption {
  /** Name without dashes: `satp`. */
  readonly name: string;
  /** `number` is any 64-bit number, `list` several words, `word` one word, `flag` is there or not. */
  readonly kind: 'number' | 'word' | 'list' | 'flag';
  /** One line of help. */
  readonly meaning: string;
  /** Allowed words. Not supplied: any. */
  readonly values?: readonly string[];
}

/** Values for {@link ArchitectureOption}s. */
export type OptionValues = Readonly<Record<string, bigint | string | boolean | readonly string[] | undefined>>;

/** An option's value if it is a number. */
export function optionNumber(values: OptionValues, name: string): bigint | undefined {
  const value = values[name];
  return typeof value === 'bigint' ? value : undefined;
}

/** An option's value if it is a list of words. */
export function optionWords(values: OptionValues, name: string): readonly string[] | undefined {
  const value = values[name];
  return Array.isArray(value) ? (value as readonly string[]) : undefined;
}

/** A kind of roots that memory can be searched for. */
export interface RootForm {
  /** A few words: `sv48`, `16K pages, 47 bits`. */
  readonly label: string;
  /**
   * Option values that name a root of this kind: {@link Architecture.roots} makes one root of them.
   * @param address physical address of the table
   * @param users whether it maps something for users; where roots share the address space, others are the kernel's
   */
  options(address: bigint, users: boolean): OptionValues;
}

/** What each kind of option holds, for messages. */
const KINDS: Readonly<Record<ArchitectureOption['kind'], string>> = {
  number: 'a bigint from 0 to 2^64 - 1',
  word: 'a word',
  list: 'a list of words',
  flag: 'true or false',
};

function ofKind(kind: ArchitectureOption['kind'], value: unknown): boolean {
  if (kind === 'number') return typeof value === 'bigint' && value >= 0n && value < TWO_64;
  if (kind === 'word') return typeof value === 'string';
  if (kind === 'flag') return typeof value === 'boolean';
  return Array.isArray(value) && value.every((word) => typeof word === 'string');
}

/**
 * Checks values for options, so that none is passed over: a mistyped name, a number where a bigint belongs, bits that the
 * register does not have.
 * @param options what there is
 * @param registerOf the register that an option holds. Not supplied, or `undefined`: any 64 bits
 * @throws ArgumentError `unknown-option`, `option-kind`, `option-word`, `register-width`
 */
export function checkOptionValues(
  options: readonly ArchitectureOption[],
  values: OptionValues,
  registerOf: (name: string, value: bigint) => RegisterFormat | undefined = () => undefined,
): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const option = options.find((each) => each.name === name);
    if (option === undefined) {
      const names = options.map((each) => each.name).join(', ');
      throw new ArgumentError('unknown-option', `there is no option of that name, only ${names}`, { option: name });
    }
    if (!ofKind(option.kind, value)) {
      const given = typeof value === 'bigint' || typeof value === 'number' ? value : String(value);
      throw new ArgumentError('option-kind', `${name} is ${KINDS[option.kind]}`, { [name]: given });
    }
    if (option.kind === 'word' && option.values?.includes(String(value)) === false) {
      throw new ArgumentError('option-word', `${name} is one of ${option.values.join(', ')}`, {
        [name]: String(value),
      });
    }
    const register = typeof value === 'bigint' ? registerOf(name, value) : undefined;
    if (register !== undefined) decodeRegister(register, value as bigint);
  }
}

/** An architecture, as tools see it. */
export interface Architecture {
  /** The word after `--arch`: lower case, without spaces. */
  readonly name: string;
  /** Other words for it. */
  readonly aliases: readonly string[];
  /** One line for people. */
  readonly title: string;
  /** Registers that can be explained and built. */
  readonly registers: readonly RegisterFormat[];
  /**
   * Which of several registers of one name a value belongs to: their layout may depend on the value, or on what else is
   * known of the machine. Not supplied: the first that is wide enough.
   * @param values options given besides, other registers among them
   */
  pickRegister?(name: string, value: bigint, values: OptionValues): RegisterFormat | undefined;
  /** What tools may ask for. */
  readonly options: readonly ArchitectureOption[];
  /** Options of the access checks of all its formats; see {@link AccessRules}. */
  readonly accessOptions: readonly AccessOption[];
  /** Example options for help texts: `--satp 0x…`. */
  readonly example: string;
  /**
   * The roots that option values name.
   * @throws ArgumentError if they name none, contradict each other, or are none of the {@link options}
   */
  roots(values: OptionValues): readonly RootDescription[];
  /**
   * A paging for explaining entries and addresses, from the same options, without needing a root.
   * @param va the address that is to be explained: where roots share the address space, the paging of its own
   * @throws ArgumentError if the options do not say enough
   */
  paging(values: OptionValues, va?: bigint): Paging;
  /**
   * The roots of a capture.
   * @param label name of the root in the capture
   * @param values options given besides, which go before what the capture says
   * @throws ArgumentError if the capture has no such root or lacks what is needed, or an option has nothing to do with it
   */
  captureRoots(capture: Capture, label: string, values: OptionValues): readonly RootDescription[];
  /**
   * The registers that select some roots, by option names, so that {@link Architecture.roots} makes the same roots of
   * them: also those that say what the entries mean (memory types, say). Not supplied: not known.
   * @param roots of one address space
   * @param values options given besides: a register that is given stays as it is
   * @throws ArgumentError if no values select them
   */
  rootRegisters?(roots: readonly RootDescription[], values: OptionValues): Readonly<Record<string, bigint>>;
  /**
   * The kinds of roots that there are, for a search. Not supplied: memory cannot be searched.
   * @param values options given besides, which may leave less to look for
   * @throws ArgumentError if the options name a root already
   */
  rootForms?(values: OptionValues): readonly RootForm[];
  /** What an ELF file of its memory says about itself. Not supplied: no machine, 64 bits. */
  readonly elf?: { readonly machine: number; readonly bits: 32 | 64 };
  /** The address-space layouts that it knows. Not supplied: none. */
  readonly layouts?: LayoutProvider;
  /** How changes of tables become instructions. Not supplied: not known. */
  readonly fences?: FenceProvider;
  /** The boot of a kernel, step by step. Not supplied: none is modelled. */
  readonly boot?: BootProvider;
}
