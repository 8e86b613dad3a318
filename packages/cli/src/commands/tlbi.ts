/** `pagefold tlbi`: the instructions that make a change of a range visible. */
import { type Architecture, type FenceProvider, type Invalidation, sizeText, virt } from '@pagefold/core';
import { type Command, Option } from 'commander';
import { UsageError } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseRange } from '../numbers.ts';
import { jsonLine } from '../output.ts';
import { architectureNamed, architectures } from '../registry.ts';
import { addSharedOptions, refuseForeign } from '../shared-options.ts';
import { type TargetOptions, valuesOf } from '../target.ts';

/** Architectures whose instructions are known. */
const known: readonly Architecture[] = architectures.filter(({ fences }) => fences !== undefined);

const CAUSES = ['changed', 'removed', 'installed'] as const;

/** Options of an architecture's instructions. */
const optionsOf = ({ fences }: Architecture): FenceProvider['options'] => fences?.options ?? [];

function archOf(name: unknown): Architecture & { readonly fences: FenceProvider } {
  if (typeof name !== 'string') throw new UsageError('--arch is missing');
  const arch = architectureNamed(name);
  const { fences } = arch;
  if (fences !== undefined) return { ...arch, fences };
  throw new UsageError(
    `--arch: no instructions of '${name}' are known, only of ${known.map((each) => each.name).join(', ')}`,
  );
}

/** The level of the leaves, 0 for pages. */
function levelOf(given: unknown): number {
  const text = String(given);
  if (!/^[0-4]$/.test(text)) throw new UsageError(`--level: '${text}' is not one of 0, 1, 2, 3, 4`);
  return Number(text);
}

/** Adds the command. */
export function addTlbi(program: Command, context: Context): void {
  const command = program
    .command('tlbi')
    .description('print the invalidations that a change of a range needs, with their operands')
    .option('--arch <name>', `architecture: ${known.map(({ name }) => name).join(', ')}`)
    .option('--range <range>', 'what changed: START-END or START+SIZE, whole leaves of that level')
    .option('--level <n>', 'level of the leaves that were cached, counted from the pages', '0')
    .addOption(new Option('--cause <word>', 'what happened to them').choices([...CAUSES]).default('changed'))
    .option('--tables', 'table pointers changed too');
  addSharedOptions(command, known, optionsOf);
  command
    .option('--json', 'print one JSON object per line')
    .addHelpText(
      'after',
      `
Examples:
  $ pagefold tlbi --arch arm64 --granule 4K --asid 5 --range 0x400000+1M
  $ pagefold tlbi --arch riscv --range 0xffffffff80000000+16K`,
    )
    .action((given: TargetOptions) => {
      const arch = archOf(given.arch);
      const { fences: provider } = arch;
      refuseForeign(arch, given, optionsOf);
      if (typeof given.range !== 'string') throw new UsageError('--range is missing');
      const { start, end } = parseRange(given.range, '--range');
      const values = valuesOf(provider.options, given);
      const level = levelOf(given.level);
      const strideBytes = provider.entryBytes(level, values);
      if (start % strideBytes !== 0n || end % strideBytes !== 0n) {
        const what =
          level === 0 ? 'whole pages' : `whole leaves of level ${level}, which map ${sizeText(strideBytes)} each`;
        throw new UsageError(`--range: ${given.range} is not made of ${what}`);
      }
      const change: Invalidation = {
        start: virt(start),
        end,
        cause: CAUSES.find((cause) => cause === given.cause) ?? 'changed',
        level,
        strideBytes,
        tables: given.tables === true,
      };
      for (const step of provider.plan({ invalidate: [change], allocated: [] }, values)) {
        const { name, operand, asid, start: first, pages, text } = step;
        context.output.out(`${given.json === true ? jsonLine({ name, operand, asid, start: first, pages }) : text}\n`);
      }
    });
}
