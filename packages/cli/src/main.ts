/** The `pagefold` command: parses arguments, calls the libraries, prints. */
import { readFileSync } from 'node:fs';
import { PagefoldError } from '@pagefold/core';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { addAccess } from './commands/access.ts';
import { addBoot } from './commands/boot.ts';
import { addBuild } from './commands/build.ts';
import { addCheck } from './commands/check.ts';
import { addDiff } from './commands/diff.ts';
import { addDump } from './commands/dump.ts';
import { addExplain } from './commands/explain.ts';
import { addFind } from './commands/find.ts';
import { addLayout } from './commands/layout.ts';
import { addTlbi } from './commands/tlbi.ts';
import { addTranslate } from './commands/translate.ts';
import { addWalk } from './commands/walk.ts';
import { EXIT_OK, EXIT_USAGE, UsageError } from './errors.ts';
import type { Output } from './output.ts';

/** What a command's action answers: its exit code. */
export interface Context {
  readonly output: Output;
  exitCode: number;
}

/** The version in the package's own manifest, which lies above sources and built files alike. */
function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** An option that takes one value may be given again with the same one only: otherwise the last would win unnoticed. */
function refuseContradictions(command: Command): void {
  for (const option of command.options) {
    // Lists collect all that they are given.
    if (option.variadic || option.parseArg !== undefined || option.isBoolean()) continue;
    let before: string | null | undefined;
    command.on(`option:${option.name()}`, (value: string | null) => {
      if (before !== undefined && before !== value) {
        throw new UsageError(
          `${option.long} is given twice: ${before ?? 'without a value'} and ${value ?? 'without one'}`,
        );
      }
      before = value;
    });
  }
}

/** A message in one line, whatever it quotes: names and contents of files may hold anything. */
function oneLine(message: string): string {
  return message.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
}

/** All commands. */
export function createProgram(context: Context): Command {
  const program = new Command('pagefold')
    .description('Reads, walks, explains, checks and builds multi-level page tables.')
    .version(version(), '--version', 'print the version')
    .showHelpAfterError(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.output.out(text),
      writeErr: () => {}, // Said once, by run().
    })
    .addHelpText(
      'after',
      `
Exit codes: 0 answered; 2 unusable arguments or files. 1 means that something was found: diff exits so for a difference
or an odd entry, check and layout --check for an error, build --max-tables if more tables are needed; others need
--exit-code: translate and walk for an address that is not mapped, access for one that is refused, dump for an odd entry,
find for no root, layout for an error.

Examples:
  $ pagefold translate --image tables.elf.gz --arch riscv --satp 0x9000000000081fca 0xffffffff80000000
  $ pagefold walk --image tables.elf.gz --registers registers.json --root kernel 0xffffffff80000000
  $ pagefold dump --image tables.elf.gz --registers registers.json --root kernel --json
  $ pagefold explain satp 0x9000000000081fca --arch riscv
  $ pagefold build regions.json --out tables.elf
  $ pagefold check --image tables.elf --arch riscv --satp 0x8000000000080000`,
    );
  addTranslate(program, context);
  addWalk(program, context);
  addAccess(program, context);
  addDump(program, context);
  addExplain(program, context);
  addFind(program, context);
  addLayout(program, context);
  addBoot(program, context);
  addBuild(program, context);
  addCheck(program, context);
  addDiff(program, context);
  addTlbi(program, context);
  for (const command of program.commands) {
    command.exitOverride().copyInheritedSettings(program);
    refuseContradictions(command);
  }
  return program;
}

/**
 * Runs the command.
 * @param args arguments without the program's own name
 * @param output where to print
 * @returns the exit code
 */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const context: Context = { output, exitCode: EXIT_OK };
  try {
    const program = createProgram(context);
    if (args.length === 0) {
      output.err(`${pc.red('error:')} no command given; try pagefold --help\n`);
      return EXIT_USAGE;
    }
    await program.parseAsync([...args], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT_OK;
      output.err(`${pc.red('error:')} ${oneLine(error.message.replace(/^error: /, ''))}\n`);
      return EXIT_USAGE;
    }
    if (error instanceof UsageError || error instanceof PagefoldError) {
      output.err(`${pc.red('error:')} ${oneLine(error.message)}\n`);
      return EXIT_USAGE;
    }
    throw error;
  }
}
