/** `pagefold diff`: what two images map differently. */
import {
  type AddressSpace,
  alignRangeOut,
  attributesText,
  type Difference,
  diffSpaces,
  hex,
  higherOf,
  lineText,
  type MappedSide,
  type OddEntry,
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

/** An entry that the hardware refuses, or a table outside memory: taken as not mapped. */
function oddLine(side: 'a' | 'b', odd: OddEntry, paging: Paging, json: boolean): string {
  if (!json) return pc.red(`! ${side}: ${lineText({ type: 'odd', odd }, paging)}`);
  const { va, hardwareLevel, slot, entry, reasons, root } = odd;
  return jsonLine({ type: 'odd', side, va, level: hardwareLevel, slot, entry: entry ?? null, reasons, root });
}

/** Are two entries neighbours in one table? */
function follows(entry: OddEntry, before: OddEntry, { format }: Paging): boolean {
  return entry.level === before.level && BigInt(entry.slot) === BigInt(before.slot) + BigInt(format.entryBytes);
}

/** Opens one side: with the options for both, unless this side has its own. */
function openSide(image: string, given: TargetOptions, side: 'A' | 'B'): Promise<Target> {
  const own = (name: string): unknown => given[`${name}${side}`];
  const registers = own('registers') ?? given.registers;
  const root = own('root') ?? given.root;
  const nameOf = (name: string): string => `--${name}${own(name) === undefined ? '' : `-${side.toLowerCase()}`}`;
  const options = {
    ...given,
    image: [image],
    ...(typeof registers === 'string' ? { registers } : {}),
    ...(typeof root === 'string' ? { root } : {}),
  };
  return openTarget(options, { registers: nameOf('registers'), root: nameOf('root') });
}

function pagingOf(space: AddressSpace): Paging {
  return (space.roots[0] as AddressSpace['roots'][number]).paging;
}

function compare(a: Target, b: Target, given: TargetOptions, context: Context): void {
  const range = typeof given.range === 'string' ? parseRange(given.range, '--range') : { start: 0n, end: 1n << 64n };
  const limit = typeof given.limit === 'string' ? Number(parseNumber(given.limit, '--limit', 32)) : LIMIT;
  const json = given.json === true;
  const [pagingA, pagingB] = [pagingOf(a.space), pagingOf(b.space)];
  const page = higherOf(pagingA.pageBytes, pagingB.pageBytes);
  const counts = { a: 0, b: 0 };
  const missing: { a?: OddEntry; b?: OddEntry } = {};
  const odd = (side: 'a' | 'b', entry: OddEntry): void => {
    const before = missing[side];
    if (entry.entry === undefined) missing[side] = entry;
    // A table that is not there is said once, not for each of its entries.
    if (entry.entry === undefined && before !== undefined && follows(entry, before, side === 'a' ? pagingA : pagingB))
      return;
    counts[side] += 1;
    if (counts[side] > limit) return;
    context.output.out(`${oddLine(side, entry, side === 'a' ? pagingA : pagingB, json)}\n`);
  };
  const { differences, truncated } = diffSpaces(a.space, b.space, alignRangeOut(range, page), { limit, odd });
  for (const difference of differences) {
    const line = json ? jsonLine(differenceJson(difference)) : differenceText(difference, pagingA, pagingB);
    context.output.out(`${line}\n`);
  }
  if (truncated) {
    context.output.out(`${json ? jsonLine({ type: 'truncated', limit }) : `… more than ${limit} differences`}\n`);
  }
  for (const side of ['a', 'b'] as const) {
    const found = counts[side];
    if (found <= limit) continue;
    const line = json ? jsonLine({ type: 'truncated-odd', side, limit, found }) : `… ${found} odd entries in ${side}`;
    context.output.out(`${line}\n`);
  }
  if (differences.length > 0 || truncated || counts.a + counts.b > 0) context.exitCode = EXIT_FOUND;
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
    .option('--range <range>', 'only START-END or START+SIZE, made larger to whole pages')
    .option('--limit <number>', `print at most that many differences, and odd entries of a side (not given: ${LIMIT})`)
    .option('--json', 'print one JSON object per line')
    .option('--exit-code', 'exit with 1 if there is a difference: it does so anyway')
    .addHelpText(
      'after',
      `
Compared is what addresses are mapped to (address, leaf size, attributes), not how the tables lie. - is only in the
first image, + only in the second, ~ in both but different. ! is an odd entry of one side: malformed, or of a table
outside memory, so that nothing is known of what lies below. Exits with 1 if there is any of them.

Examples:
  $ pagefold diff before.elf after.elf --registers registers.json --root kernel
  $ pagefold diff a.elf b.elf --registers-a a.json --registers-b b.json --root swapper_pg_dir --json
  $ pagefold diff core.elf core.elf --registers registers.json --root kernel --root-b user --range 0xffff800000000000+1G`,
    )
    .action(async (imageA: string, imageB: string, given: TargetOptions) => {
      const a = await openSide(imageA, given, 'A');
      try {
        const b = await openSide(imageB, given, 'B');
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
