/** `pagefold diff`: what two images map differently. */
import {
  type AddressSpace,
  attributesText,
  type Difference,
  diffSpaces,
  hex,
  type MappedSide,
  type Paging,
  sizeText,
} from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber, parseRange } from '../numbers.ts';
import { jsonLine, type PrintableObject } from '../output.ts';
import { addArchitectureOptions, openTarget, type Target, type TargetOptions } from '../target.ts';

/** Differences that are printed if nobody says otherwise. */
const LIMIT = 10_000;

function sideJson(side: MappedSide | undefined): PrintableObject | null {
  if (side === undefined) return null;
  const { pa, hardwareLevel, name, shape, leafBytes, fields, common } = side;
  return {
    pa,
    level: hardwareLevel,
    name,
    shape,
    leafSize: leafBytes,
    attributes: { ...fields },
    permissions: common === undefined ? undefined : { ...common },
  };
}

function differenceJson({ kind, start, end, a, b, changed }: Difference): PrintableObject {
  return { type: kind, start, end, size: end - start, changed: [...changed], a: sideJson(a), b: sideJson(b) };
}

function sideText(side: MappedSide | undefined, paging: Paging): string {
  if (side === undefined) return 'not mapped';
  const attributes = attributesText(paging, side.shape, side.level, side.fields);
  return `${hex(side.pa)} ${side.name} ${sizeText(side.leafBytes)} ${attributes}`.trimEnd();
}

function differenceText(difference: Difference, pagingA: Paging, pagingB: Paging): string {
  const { kind, start, end, a, b, changed } = difference;
  const digits = pagingA.geometry.wordBits / 4;
  const range = `${hex(start, digits)}-${hex(end, digits)} ${sizeText(end - start).padStart(6)}`;
  if (kind === 'only-a') return pc.red(`- ${range}  ${sideText(a, pagingA)}`);
  if (kind === 'only-b') return pc.green(`+ ${range}  ${sideText(b, pagingB)}`);
  const what = pc.yellow(`~ ${range}  ${changed.join(', ')}`);
  return `${what}\n${pc.red(`    a: ${sideText(a, pagingA)}`)}\n${pc.green(`    b: ${sideText(b, pagingB)}`)}`;
}

/** Options of one side: those for both, unless this side has its own. */
function sideOptions(image: string, given: TargetOptions, side: 'A' | 'B'): TargetOptions {
  const own = (name: string): unknown => given[`${name}${side}`];
  const registers = own('registers') ?? given.registers;
  const root = own('root') ?? given.root;
  return {
    ...given,
    image: [image],
    ...(typeof registers === 'string' ? { registers } : {}),
    ...(typeof root === 'string' ? { root } : {}),
  };
}

function pagingOf(space: AddressSpace): Paging {
  return (space.roots[0] as AddressSpace['roots'][number]).paging;
}

function compare(a: Target, b: Target, given: TargetOptions, context: Context): void {
  const range = typeof given.range === 'string' ? parseRange(given.range, '--range') : { start: 0n, end: 1n << 64n };
  const limit = typeof given.limit === 'string' ? Number(parseNumber(given.limit, '--limit', 32)) : LIMIT;
  const { differences, truncated } = diffSpaces(a.space, b.space, range, { limit });
  for (const difference of differences) {
    const line =
      given.json === true
        ? jsonLine(differenceJson(difference))
        : differenceText(difference, pagingOf(a.space), pagingOf(b.space));
    context.output.out(`${line}\n`);
  }
  if (truncated) {
    const line = given.json === true ? jsonLine({ type: 'truncated', limit }) : `… more than ${limit} differences`;
    context.output.out(`${line}\n`);
  }
  if (differences.length > 0) context.exitCode = EXIT_FOUND;
}

/** Adds the command. */
export function addDiff(program: Command, context: Context): void {
  addArchitectureOptions(
    program
      .command('diff')
      .description('compare what two memory images map')
      .argument('<a>', 'memory image: ELF core, gzip of one, or FILE@BASE for a raw file')
      .argument('<b>', 'the other one; may be the same, with another root'),
  )
    .option('--registers-a <file>', 'facts file of the first image, where they differ')
    .option('--registers-b <file>', 'facts file of the second image')
    .option('--root-b <name>', 'name of the root of the second image, where they differ')
    .option('--range <range>', 'only START-END or START+SIZE')
    .option('--limit <number>', `stop after that many differences (not given: ${LIMIT})`)
    .option('--json', 'print one JSON object per line')
    .addHelpText(
      'after',
      `
Compared is what addresses are mapped to (address, leaf size, attributes), not how the tables lie. - is only in the
first image, + only in the second, ~ in both but different. Exits with 1 if there is any difference.

Examples:
  $ pagefold diff before.elf after.elf --registers registers.json --root kernel
  $ pagefold diff a.elf b.elf --registers-a a.json --registers-b b.json --root swapper_pg_dir --json
  $ pagefold diff core.elf core.elf --registers registers.json --root kernel --root-b user --range 0xffff800000000000+1G`,
    )
    .action(async (imageA: string, imageB: string, given: TargetOptions) => {
      const a = await openTarget(sideOptions(imageA, given, 'A'));
      try {
        const b = await openTarget(sideOptions(imageB, given, 'B'));
        try {
          compare(a, b, given, context);
        } finally {
          b[Symbol.dispose]();
        }
      } finally {
        a[Symbol.dispose]();
      }
    });
}
