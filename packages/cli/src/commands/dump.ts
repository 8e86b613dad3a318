/** `pagefold dump`: everything that is mapped, in folded lines. */
import { alignRangeOut, type DumpLine, dump, hex, lineText, type Marker, type Paging } from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND, UsageError } from '../errors.ts';
import { readText } from '../files.ts';
import type { Context } from '../main.ts';
import { parseNumber, parseRange } from '../numbers.ts';
import { jsonLine, type PrintableObject } from '../output.ts';
import { addTargetOptions, openTarget, type TargetOptions } from '../target.ts';

/** A line as JSON. */
export function dumpJson(line: DumpLine, raw: boolean): PrintableObject {
  if (line.type === 'marker') return { type: 'marker', at: line.marker.at, name: line.marker.name };
  if (line.type === 'odd') {
    const { va, hardwareLevel, slot, entry, reasons, root } = line.odd;
    return { type: 'odd', va, level: hardwareLevel, slot, entry: entry ?? null, reasons, root };
  }
  const {
    start,
    end,
    pa,
    hardwareLevel,
    name,
    shape,
    leafBytes,
    entries,
    slot,
    entry,
    bits,
    fields,
    common,
    root,
    repeats,
  } = line.range;
  return {
    type: 'range',
    start,
    end,
    pa,
    size: end - start,
    level: hardwareLevel,
    name,
    shape,
    leafSize: leafBytes,
    entries,
    repeats: repeats ? true : undefined,
    ...(raw ? { slot, entry } : {}),
    bits,
    attributes: { ...fields },
    permissions: common === undefined ? undefined : { ...common },
    root,
  };
}

/** Markers from a file: `ADDRESS NAME` a line, or a JSON array of `{at, name}`. */
function readMarkers(path: string): Marker[] {
  const text = readText(path, '--markers: ');
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [address, ...name] = line.split(/\s+/);
      if (name.length === 0) throw new UsageError(`--markers: '${line}' is not ADDRESS NAME`);
      return { at: parseNumber(address as string, '--markers'), name: name.join(' ') };
    });
}

function rawText(line: DumpLine, paging: Paging): string {
  const text = lineText(line, paging);
  if (line.type !== 'range') return text;
  return `${text}  ${hex(line.range.slot)}: ${hex(line.range.entry, paging.format.entryBytes * 2)}`;
}

/** Ends a dump when enough was printed: a table that points to itself maps more than anybody can read. */
class Enough extends Error {}

/** Calls a printer so many times, then ends with {@link Enough}. */
function atMost(limit: number, print: (line: DumpLine) => void): (line: DumpLine) => void {
  let left = limit;
  return (line) => {
    if (left === 0) throw new Enough();
    left--;
    print(line);
  };
}

/** Adds the command. */
export function addDump(program: Command, context: Context): void {
  addTargetOptions(program.command('dump').description('print everything that is mapped, equal neighbours folded'))
    .option('--range <range>', 'only START-END or START+SIZE, made larger to whole pages')
    .option('--raw', 'one line per leaf entry, with its address and word')
    .option('--markers <file>', 'print names between lines: a file of ADDRESS NAME lines')
    .option('--limit <n>', 'end after so many lines (not given: print all)')
    .option('--exit-code', 'exit with 1 if a malformed entry or a table outside memory was met')
    .addHelpText(
      'after',
      `
Columns: addresses, physical address, size, level, size of one leaf, attributes (a dot where a bit is clear).

Examples:
  $ pagefold dump --image tables.elf.gz --registers registers.json --root kernel
  $ pagefold dump --image tables.elf.gz --arch riscv --satp 0x9000000000081fca --range 0xffffffff80000000+32M --raw`,
    )
    .action(async (given: TargetOptions) => {
      const range =
        typeof given.range === 'string' ? parseRange(given.range, '--range') : { start: 0n, end: 1n << 64n };
      const markers = typeof given.markers === 'string' ? readMarkers(given.markers) : [];
      const raw = given.raw === true;
      const limit = typeof given.limit === 'string' ? Number(parseNumber(given.limit, '--limit', 32)) : Infinity;
      const target = await openTarget(given);
      try {
        const paging = (target.space.roots[0] as NonNullable<(typeof target.space.roots)[number]>).paging;
        dump(
          target.space,
          alignRangeOut(range, paging.pageBytes),
          atMost(limit, (line) => {
            if (line.type === 'odd' && given.exitCode === true) context.exitCode = EXIT_FOUND;
            if (given.json === true) {
              context.output.out(`${jsonLine(dumpJson(line, raw))}\n`);
              return;
            }
            const text = raw ? rawText(line, paging) : lineText(line, paging);
            context.output.out(
              `${line.type === 'odd' ? pc.red(text) : line.type === 'marker' ? pc.bold(text) : text}\n`,
            );
          }),
          { markers, fold: !raw },
        );
      } catch (error) {
        if (!(error instanceof Enough)) throw error;
        if (given.json !== true) context.output.out(`and more (--limit ${limit})\n`);
      } finally {
        target[Symbol.dispose]();
      }
    });
}
