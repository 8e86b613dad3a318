/** Options that several architectures have under one name: said once, with what each of them means by it. */
import type { Architecture, ArchitectureOption, LayoutOption } from '@pagefold/core';
import type { Command } from 'commander';
import { UsageError } from './errors.ts';
import { architectures } from './registry.ts';

/** An option of one architecture. */
interface Named {
  readonly name: string;
  readonly meaning: string;
  readonly values?: readonly (string | number | boolean)[] | undefined;
}

/** An option name and those who have it. */
export interface SharedOption<T extends Named> {
  readonly name: string;
  /** The first one's option; the others are of the same kind. */
  readonly option: T;
  /** One line of help: `arch, arch: meaning: words; arch: another meaning`. */
  readonly help: string;
  /** Does any of them take words? */
  readonly words: boolean;
}

function helpOf(users: readonly (readonly [arch: string, option: Named])[]): string {
  const byText = new Map<string, string[]>();
  for (const [arch, { meaning, values = [] }] of users) {
    const words = values.filter((value) => typeof value === 'string');
    const text = words.length === 0 ? meaning : `${meaning}: ${words.join(', ')}`;
    byText.set(text, [...(byText.get(text) ?? []), arch]);
  }
  return [...byText].map(([text, names]) => `${names.join(', ')}: ${text}`).join('; ');
}

/**
 * Brings options of one name together.
 * @param select the options of an architecture
 * @param kindOf what must be the same for all that share a name
 * @throws Error if two architectures mean different kinds of options by one name
 */
export function shareOptions<T extends Named>(
  architectures: readonly Architecture[],
  select: (arch: Architecture) => readonly T[],
  kindOf: (option: T) => string,
): SharedOption<T>[] {
  const shared = new Map<string, [string, T][]>();
  for (const arch of architectures) {
    for (const option of select(arch)) {
      const users = shared.get(option.name) ?? [];
      const [other] = users;
      if (other !== undefined && kindOf(other[1]) !== kindOf(option)) {
        throw new Error(`--${option.name} is of one kind for ${other[0]} and of another for ${arch.name}`);
      }
      shared.set(option.name, [...users, [arch.name, option]]);
    }
  }
  return [...shared].map(([name, users]) => ({
    name,
    option: users[0]?.[1] as T,
    help: helpOf(users),
    words: users.some(([, { values }]) => values !== undefined),
  }));
}

/** `vttbr-el2` as commander names its value: `vttbrEl2`. */
export function camel(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** How each kind of option is written. */
const SHOWN: Readonly<Record<ArchitectureOption['kind'] | LayoutOption['kind'], string>> = {
  number: ' <value>',
  list: ' <a,b>',
  word: ' <word>',
  size: ' <size>',
  ranges: ' <ranges>',
  flag: '',
};

/** Adds options of architectures, each name once. A flag with words may say more: `--kasan`, or `--kasan sw_tags`. */
export function addSharedOptions(
  command: Command,
  users: readonly Architecture[],
  select: (arch: Architecture) => readonly (ArchitectureOption | LayoutOption)[],
): void {
  for (const { name, option, help, words } of shareOptions(users, select, ({ kind }) => kind)) {
    command.option(`--${name}${option.kind === 'flag' && words ? ' [word]' : SHOWN[option.kind]}`, help);
  }
}

/**
 * Refuses options of other architectures: what is given and not used was meant otherwise.
 * @param select the options in question
 */
export function refuseForeign(
  arch: Architecture,
  given: Readonly<Record<string, unknown>>,
  select: (arch: Architecture) => readonly { readonly name: string }[],
): void {
  const own = select(arch);
  for (const other of architectures) {
    for (const { name } of select(other)) {
      if (given[camel(name)] === undefined || own.some((option) => option.name === name)) continue;
      throw new UsageError(`--${name} is an option of ${other.name}, not of ${arch.name}`);
    }
  }
}
