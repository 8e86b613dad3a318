/** `pagefold layout`: which pieces a kernel cuts its address space into, and whether they fit together. */
import {
  type AddressRange,
  type Architecture,
  checkLayouts,
  type Finding,
  hex,
  type Layout,
  type LayoutOption,
  type LayoutProvider,
  type LayoutValues,
  layoutToJson,
  parseLayouts,
  type RuledLayout,
  rangesOverlap,
  sizeText,
  worstSeverity,
} from '@pagefold/core';
import { layoutSvg } from '@pagefold/emit';
import type { Command } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND, UsageError } from '../errors.ts';
import { readText, writeResult } from '../files.ts';
import type { Context } from '../main.ts';
import { parseNumber, parseRange, parseSize } from '../numbers.ts';
import { counted, jsonLine, type PrintableObject, plainTable } from '../output.ts';
import { architectureNamed, architectures } from '../registry.ts';
import { addSharedOptions, camel, refuseForeign } from '../shared-options.ts';

type Given = Readonly<Record<string, unknown>>;

/** Architectures that know layouts. */
const known: readonly Architecture[] = architectures.filter(({ layouts }) => layouts !== undefined);

function providerOf(name: string): LayoutProvider {
  const { layouts } = architectureNamed(name);
  if (layouts !== undefined) return layouts;
  throw new UsageError(
    `--arch: no layouts of '${name}' are known, only of ${known.map((arch) => arch.name).join(', ')}`,
  );
}

/** Options of an architecture's layouts. */
const optionsOf = ({ layouts }: Architecture): readonly LayoutOption[] => layouts?.options ?? [];

/**
 * Ranges with commas between.
 * @throws UsageError if two of them share addresses
 */
function readRanges(given: string, what: string): AddressRange<bigint>[] {
  const words = given.split(',');
  const ranges = words.map((word) => parseRange(word, what));
  for (const [i, a] of ranges.entries()) {
    const j = ranges.findIndex((b, at) => at > i && rangesOverlap(a, b));
    if (j >= 0) throw new UsageError(`${what}: ${words[i]} and ${words[j]} overlap`);
  }
  return ranges;
}

/** One option's value. */
function readValue({ name, kind, values }: LayoutOption, given: unknown): LayoutValues[string] {
  if (kind === 'flag' && typeof given !== 'string') return given === true;
  if (typeof given !== 'string') return undefined;
  if (kind === 'flag' && values === undefined) throw new UsageError(`--${name} takes no word`);
  if (kind === 'number') return parseNumber(given, `--${name}`);
  if (kind === 'size') return parseSize(given, `--${name}`);
  if (kind === 'ranges') return readRanges(given, `--${name}`);
  if (values !== undefined && !values.includes(given)) {
    throw new UsageError(`--${name}: '${given}' is not one of ${values.join(', ')}`);
  }
  return given;
}

function valuesFor({ options }: LayoutProvider, given: Given): LayoutValues {
  return Object.fromEntries(options.map((option) => [option.name, readValue(option, given[camel(option.name)])]));
}

/** Layouts from files, with the rules of their architecture and those that they bring themselves. */
function readLayouts(paths: readonly string[], given: Given): RuledLayout[] {
  return paths.flatMap((path) => {
    const text = readText(path, '--check: ');
    return parseLayouts(text, path).map(({ layout, rules }) => {
      const arch = typeof given.arch === 'string' ? given.arch : layout.arch;
      return { layout, rules: { ...(arch === undefined ? {} : providerOf(arch).rules(layout)), ...rules } };
    });
  });
}

const PAINT = { error: pc.red, warning: pc.yellow, info: pc.dim } as const;

function findingText({ severity, rule, layout, message }: Finding): string {
  return `${PAINT[severity](severity)} ${layout}: ${message} [${rule}]`;
}

function findingJson({ severity, rule, layout, regions, message, values }: Finding): PrintableObject {
  return { type: 'finding', severity, rule, layout, regions, message, values: { ...values } };
}

/** A layout for people: the kernel's own dump, then everything that it leaves out. */
function layoutText(layout: Layout, provider: LayoutProvider, findings: readonly Finding[]): string {
  const regions = layout.regions.map(({ name, start, end, purpose, within }) => [
    hex(start),
    hex(end),
    sizeText(end - start),
    name,
    within === undefined ? purpose : `${purpose} (inside ${within.join(', ')})`,
  ]);
  const facts = Object.entries(layout.facts).map(([name, value]) => [name, hex(value)]);
  return [
    pc.bold(layout.title),
    ...provider.lines(layout),
    '',
    plainTable(regions, ['start', 'end', 'size', 'region', 'for']),
    '',
    plainTable(facts),
    ...(findings.length === 0 ? [] : ['', ...findings.map(findingText)]),
    '',
  ].join('\n');
}

/** @param hint how to get one layout of several */
function writeSvg(path: string, layouts: readonly Layout[], hint: string, context: Context): void {
  const [layout, ...others] = layouts;
  if (layout === undefined || others.length > 0) {
    const names = layouts.map(({ name }) => name).join(', ');
    throw new UsageError(
      `--svg draws one layout, there are ${layouts.length}${names === '' ? '' : ` (${names})`}: ${hint}`,
    );
  }
  const svg = layoutSvg(layout);
  if (path === '-') {
    context.output.out(svg);
    return;
  }
  writeResult('--svg', path, svg);
}

function check(paths: readonly string[], given: Given, context: Context): void {
  const set = readLayouts(paths, given);
  const findings = checkLayouts(set);
  if (worstSeverity(findings) === 'error') context.exitCode = EXIT_FOUND;
  if (typeof given.svg === 'string') {
    const layouts = set.map(({ layout }) => layout);
    writeSvg(given.svg, layouts, 'give --check a file with one', context);
    if (given.svg === '-') return;
  }
  if (given.json === true) {
    for (const finding of findings) context.output.out(`${jsonLine(findingJson(finding))}\n`);
    return;
  }
  for (const finding of findings) context.output.out(`${findingText(finding)}\n`);
  const found = (severity: Finding['severity']): number => findings.filter((each) => each.severity === severity).length;
  const counts = [
    counted(set.length, 'layout'),
    counted(found('error'), 'error'),
    counted(found('warning'), 'warning'),
  ];
  context.output.out(`${counts.join(', ')}\n`);
}

function show(given: Given, context: Context): void {
  if (typeof given.arch !== 'string') throw new UsageError('--arch is missing (or --check, for a layout from a file)');
  const provider = providerOf(given.arch);
  refuseForeign(architectureNamed(given.arch), given, optionsOf);
  const set = provider.create(valuesFor(provider, given)).map((layout) => ({ layout, rules: provider.rules(layout) }));
  const findings = checkLayouts(set);
  if (given.exitCode === true && worstSeverity(findings) === 'error') context.exitCode = EXIT_FOUND;
  if (typeof given.svg === 'string') {
    const layouts = set.map(({ layout }) => layout);
    const choice = provider.options.find(({ name }) => ['mode', 'on-va-bits'].includes(name));
    writeSvg(given.svg, layouts, `give --${choice?.name ?? 'arch'}`, context);
    return;
  }
  if (given.json === true) {
    for (const { layout } of set) {
      context.output.out(`${jsonLine({ type: 'layout', ...layoutToJson(layout) } as PrintableObject)}\n`);
    }
    for (const finding of findings) context.output.out(`${jsonLine(findingJson(finding))}\n`);
    return;
  }
  for (const { layout } of set) {
    const own = findings.filter((finding) => finding.layout === layout.name);
    context.output.out(`${layoutText(layout, provider, own)}\n`);
  }
  // What concerns all of them together.
  for (const finding of findings.filter(({ layout: name }) => !set.some(({ layout }) => layout.name === name))) {
    context.output.out(`${findingText(finding)}\n`);
  }
}

/** Adds the command. */
export function addLayout(program: Command, context: Context): void {
  const command = program
    .command('layout')
    .description("show a kernel's address-space layout, or check layouts from files")
    .option('--arch <name>', `architecture: ${known.map(({ name }) => name).join(', ')}`);
  addSharedOptions(command, known, optionsOf);
  const examples = known.map(({ name, layouts }) => `  $ pagefold layout --arch ${name} ${layouts?.example ?? ''}`);
  command
    .option('--check <file...>', 'check layouts from JSON files, several as modes of one kernel')
    .option('--svg <file>', 'draw the layout instead (- for standard output)')
    .option('--json', 'print one JSON object per line: layouts (not with --check) and findings')
    .option('--exit-code', 'exit with 1 if there is an error; with --check it does so anyway')
    .addHelpText(
      'after',
      `
Ranges are START-END or START+SIZE, several with commas between; they may not overlap.
With --check the exit code is 1 if there is an error, else only with --exit-code.
What --json prints can be changed and given to --check.

Examples:
${examples.join('\n')}
  $ pagefold layout --arch ${known[0]?.name} --json > layouts.json
  $ pagefold layout --check layouts.json`,
    )
    .action((given: Given) => {
      if (Array.isArray(given.check)) check(given.check as readonly string[], given, context);
      else show(given, context);
    });
}
