/** `pagefold access`: may this access be made, and if not, which fault does the hardware report? */
import { type AccessKind, type AccessResult, access, hex, type Privilege } from '@pagefold/core';
import { type Command, Option } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND, UsageError } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject } from '../output.ts';
import { architectures } from '../registry.ts';
import { addTargetOptions, openTarget, type TargetOptions, takeAddresses } from '../target.ts';
import { faultText, translationJson } from './translate.ts';

/** Words for the kinds of access. */
const KINDS: Readonly<Record<string, AccessKind>> = {
  read: 'read',
  load: 'read',
  r: 'read',
  write: 'write',
  store: 'write',
  w: 'write',
  execute: 'execute',
  fetch: 'execute',
  exec: 'execute',
  x: 'execute',
};

/** Words for who makes it. */
const PRIVILEGES: Readonly<Record<string, Privilege>> = {
  user: 'user',
  u: 'user',
  supervisor: 'supervisor',
  s: 'supervisor',
  kernel: 'supervisor',
  privileged: 'supervisor',
};

function accessJson(result: AccessResult): PrintableObject {
  return {
    ...translationJson(result),
    allowed: result.allowed,
    reasons: result.allowed ? undefined : result.reasons,
    update:
      result.allowed && result.update !== undefined
        ? { slot: result.update.slot, entry: result.update.entry }
        : undefined,
  };
}

function accessText(result: AccessResult, what: string): string {
  if (!result.allowed) return `${hex(result.va)} ${what}: ${pc.red('refused')}: ${faultText(result)}`;
  const update =
    result.update === undefined ? '' : `; hardware writes ${hex(result.update.entry)} to ${hex(result.update.slot)}`;
  return `${hex(result.va)} ${what}: ${pc.green('allowed')} at ${hex(result.pa)}${update}`;
}

/** Values of the access options that were given. */
function accessOptions(given: TargetOptions, names: readonly string[]): Record<string, string | number | boolean> {
  const options: Record<string, string | number | boolean> = {};
  for (const name of names) {
    const value = given[name];
    if (typeof value === 'boolean' || typeof value === 'string') options[name] = value;
  }
  return options;
}

function lookUp<T>(words: Readonly<Record<string, T>>, word: unknown, flag: string, names: string): T {
  const found = words[String(word).toLowerCase()];
  if (found === undefined) throw new UsageError(`${flag}: '${String(word)}' is not one of ${names}`);
  return found;
}

/** Adds the command. */
export function addAccess(program: Command, context: Context): void {
  const command = addTargetOptions(
    program
      .command('access')
      .description('judge an access: permissions, accessed and dirty bits, the fault that the hardware reports')
      .argument('[va...]', 'virtual addresses; - reads them from standard input'),
  )
    .option('--access <kind>', 'read, write or execute', 'read')
    .option('--privilege <who>', 'user or supervisor', 'supervisor');
  const seen = new Set<string>();
  for (const arch of architectures) {
    for (const { name, meaning, values } of arch.accessOptions) {
      // A control bit that is a register value comes with the roots.
      if (seen.has(name) || values.length === 0) continue;
      seen.add(name);
      if (typeof values[0] === 'boolean') command.option(`--${name}`, `${arch.name}: ${meaning}`);
      else command.addOption(new Option(`--${name} <word>`, `${arch.name}: ${meaning}`).choices(values.map(String)));
    }
  }
  command
    .option('--exit-code', 'exit with 1 if an access is refused')
    .addHelpText(
      'after',
      `
Example:
  $ pagefold access --image tables.elf.gz --registers registers.json --root user --access write --privilege user 0x10000`,
    )
    .action(async (args: string[], given: TargetOptions) => {
      const { addresses, options } = takeAddresses(args, given);
      const values = addresses.map((text) => parseNumber(text, 'address'));
      const kind = lookUp(KINDS, given.access, '--access', 'read, write, execute');
      const privilege = lookUp(PRIVILEGES, given.privilege, '--privilege', 'user, supervisor');
      const target = await openTarget(options);
      try {
        const request = {
          kind,
          privilege,
          options: accessOptions(
            given,
            target.arch.accessOptions.map(({ name }) => name),
          ),
        };
        for (const va of values) {
          const result = access(target.space, va, request);
          if (!result.allowed && given.exitCode === true) context.exitCode = EXIT_FOUND;
          const line = given.json === true ? jsonLine(accessJson(result)) : accessText(result, `${privilege} ${kind}`);
          context.output.out(`${line}\n`);
        }
      } finally {
        target[Symbol.dispose]();
      }
    });
}
