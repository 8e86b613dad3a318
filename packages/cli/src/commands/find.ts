/** `pagefold find`: which tables of a memory image could be roots. */
import { type FoundRoot, findRoots, hex, intersectRanges, type OptionValues, sizeText } from '@pagefold/core';
import type { Command } from 'commander';
import { EXIT_FOUND } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber, parseRange } from '../numbers.ts';
import { jsonLine, type Printable, type PrintableObject, plainTable } from '../output.ts';
import { addArchitecture, addImage, architectureOf, openMemory, optionValues, type TargetOptions } from '../target.ts';

/** Options as they are given to the other commands. */
function optionsText(options: OptionValues): string {
  return Object.entries(options)
    .map(([name, value]) => {
      if (value === true) return `--${name}`;
      // Sizes read better as people say them.
      const text = typeof value === 'bigint' && value >= 1000n ? hex(value) : String(value);
      return `--${name} ${text}`;
    })
    .join(' ');
}

function foundJson({ address, form, options, tables, tableBytes, ...rest }: FoundRoot): PrintableObject {
  const { leaves, leavesWithin, mapsItself, users } = rest;
  return {
    address,
    form,
    options: options as Readonly<Record<string, Printable>>,
    tables,
    size: tableBytes,
    leaves,
    leavesWithin,
    mapsItself,
    users,
  };
}

function foundRow({ address, form, options, tables, tableBytes, leaves, leavesWithin, ...rest }: FoundRoot): string[] {
  const { mapsItself, users } = rest;
  const word = (is: boolean): string => (is ? 'yes' : 'no');
  return [
    hex(address),
    form,
    String(tables),
    sizeText(tableBytes),
    String(leaves),
    String(leavesWithin),
    word(mapsItself),
    word(users),
    optionsText(options),
  ];
}

const HEAD = ['root', 'form', 'tables', 'bytes', 'leaves', 'in image', 'maps itself', 'users', 'options'];

async function find(given: TargetOptions, context: Context): Promise<void> {
  const limit = typeof given.limit === 'string' ? Number(parseNumber(given.limit, '--limit', 32)) : 20;
  const minTables = typeof given.minTables === 'string' ? Number(parseNumber(given.minTables, '--min-tables', 32)) : 3;
  const range = typeof given.within === 'string' ? parseRange(given.within, '--within') : undefined;
  const arch = architectureOf(given);
  const values = optionValues(arch, given);
  const image = await openMemory(given);
  try {
    // A range beyond the image is cut: going through what is no memory takes as long. Beyond 2^56 it is refused as it is.
    const within =
      range === undefined || range.end > 1n << 56n
        ? [range ?? image.segments].flat()
        : image.segments.flatMap((segment) => intersectRanges<bigint>(segment, range) ?? []);
    const blank = image.segments.flatMap(({ start, end, stored }) =>
      start + stored < end ? [{ start: start + stored, end }] : [],
    );
    const found = findRoots(image.memory, arch, { within, blank, values, minTables });
    const shown = limit === 0 ? found : found.slice(0, limit);
    if (given.json === true) {
      for (const root of shown) context.output.out(`${jsonLine(foundJson(root))}\n`);
    } else if (shown.length === 0) {
      context.output.out('no table here could be a root\n');
    } else {
      context.output.out(`${plainTable(shown.map(foundRow), HEAD)}\n`);
      if (shown.length < found.length) {
        context.output.out(`and ${found.length - shown.length} more (--limit 0 shows all)\n`);
      }
    }
    if (found.length === 0 && given.exitCode === true) context.exitCode = EXIT_FOUND;
  } finally {
    image.close();
  }
}

/** Adds the command. */
export function addFind(program: Command, context: Context): void {
  const command = program.command('find').description('find root tables in a memory image, without any registers');
  addArchitecture(addImage(command))
    .option('--json', 'print one JSON object per line')
    .option('--within <range>', 'only tables in START-END or START+SIZE (not given: all of the image)')
    .option('--min-tables <n>', 'fewest tables that a root reaches, itself included (not given: 3)')
    .option('--limit <n>', 'show so many, 0 for all (not given: 20)')
    .option('--exit-code', 'exit with 1 if none is found')
    .addHelpText(
      'after',
      `
Roots are told by what they reach: tables that are well-formed all the way down, in memory, and map something. The most
likely ones come first; the options at the end of a line open a root in the other commands. A root that maps itself and
nothing for users is the kernel's, as a rule. Without any option of the architecture, all its modes are looked for.

Examples:
  $ pagefold find --image ram.bin@0x80000000 --arch riscv
  $ pagefold find --image vmcore --arch arm64 --granule 4K --va-bits 48 --json
  $ pagefold find --image core.elf --arch x86-64 --min-tables 1 --within 0x1000000+16M`,
    )
    .action((given: TargetOptions) => find(given, context));
}
