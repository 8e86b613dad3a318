/** `pagefold access`: may this access be made, and if not, which fault does the hardware report? */
import { type AccessKind, type AccessResult, type Architecture, access, hex, type Privilege } from '@pagefold/core';
import { type Command, Option } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND, UsageError } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject } from '../output.ts';
import { architectures } from '../registry.ts';
import { refuseForeign, shareOptions } from '../shared-options.ts';
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
    updates:
      result.allowed && result.updates.length > 0
        ? result.updates.map(({ slot, entry }) => ({ slot, entry }))
        : undefined,
  };
}

function accessText(result: AccessResult, what: string): string {
  if (!result.allowed) return `${hex(result.va)} ${what}: ${pc.red('refused')}: ${faultText(result)}`;
  const updates = result.updates.map(({ slot, entry }) => `; hardware writes ${hex(entry)} to ${hex(slot)}`);
  return `${hex(result.va)} ${what}: ${pc.green('allowed')} at ${hex(result.pa)}${updates.join('')}`;
}

/** Values of the access options that were given. */
function accessOptions(given: TargetOptions, arch: Architecture): Record<string, string | number | boolean> {
  refuseForeign(arch, given, (each) => each.accessOptions);
  const options: Record<string, string | number | boolean> = {};
  for (const { name, values } of arch.accessOptions) {
    const value = given[name];
    if (typeof value !== 'boolean' && typeof value !== 'string') continue;
    if (!values.includes(value)) throw new UsageError(`--${name}: '${value}' is not one of ${values.join(', ')}`);
    options[name] = value;
  }
  return options;
}

function lookUp<T>(words: Readonly<Record<string, T>>, word: unknown, flag: string, names: string): T {
  const wanted = String(word).toLowerCase();
  const found = Object.hasOwn(words, wanted) ? words[wanted] : undefined;
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
  // A control bit that is a register value comes with the roots.
  const shared = shareOptions(
    architectures,
    ({ accessOptions: all }) => all.filter(({ values }) => values.length > 0),
    ({ values }) => typeof values[0],
  );
  for (const { name, help, option } of shared) {
    const flag = typeof option.values[0] === 'boolean';
    command.option(flag ? `--${name}` : `--${name} <word>`, help);
    if (flag) command.addOption(new Option(`--no-${name}`).hideHelp());
  }
  command
    .option('--exit-code', 'exit with 1 if an access is refused')
    .addHelpText(
      'after',
      `
Control bits come with the registers of a root; --NAME sets one, --no-NAME clears it.

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
          options: accessOptions(given, target.arch),
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
