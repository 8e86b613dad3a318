/** `pagefold build`: page tables for a list of regions, or what they would take. */
import {
  type Architecture,
  ArgumentError,
  adviseTables,
  type BuildAdvice,
  type BuildPlan,
  buildTables,
  hex,
  type OptionValues,
  PagefoldError,
  planTables,
  type RegionRequest,
  type RootDescription,
  sizeText,
} from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { type Area, areasIn, type BuildDescription, readDescription, regionsOf } from '../build-description.ts';
import { FORMATS, type Written, wantedFiles, writeFiles, writtenText } from '../build-files.ts';
import { EXIT_FOUND, UsageError } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject, plainTable } from '../output.ts';
import { architectureNamed, architectures } from '../registry.ts';
import { addSharedOptions, camel } from '../shared-options.ts';
import { optionValues, type TargetOptions } from '../target.ts';

/** Where the tables belong. */
interface Place {
  readonly arch: Architecture;
  readonly roots: readonly RootDescription[];
  /** Values that make the same roots again. */
  readonly registers: Readonly<Record<string, bigint>>;
  readonly values: OptionValues;
}

/** What is reported. */
interface Report {
  readonly place: Place;
  readonly plan: BuildPlan;
  readonly regions: readonly RegionRequest[];
  readonly advice: readonly BuildAdvice[] | undefined;
  readonly limit: number | undefined;
  readonly files: readonly Written[];
}

/** Options from file and command line; the latter wins. */
function merged({ options }: BuildDescription, given: TargetOptions): TargetOptions {
  const named = typeof given.arch === 'string' ? given.arch : options.arch;
  if (typeof named !== 'string') throw new UsageError('arch is missing: name it in the file or with --arch');
  const arch = architectureNamed(named);
  for (const [name, value] of Object.entries(options)) {
    if (name === 'arch') continue;
    const option = arch.options.find((each) => each.name === name);
    if (option !== undefined && (option.kind === 'flag') === (typeof value === 'boolean')) continue;
    if (option !== undefined) {
      throw new UsageError(
        `${name}: ${String(value)} is not ${option.kind === 'flag' ? 'true or false' : `a ${option.kind}`}`,
      );
    }
    throw new UsageError(`'${name}' is no option of ${arch.name}: ${arch.options.map((each) => each.name).join(', ')}`);
  }
  const fromFile = Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) => (value === false ? [] : [[camel(name), value]])),
  );
  return { ...fromFile, ...given, arch: arch.name };
}

/** The register values, and of the options given besides all that go with them. */
function together(arch: Architecture, given: OptionValues, registers: Readonly<Record<string, bigint>>): OptionValues {
  let values: OptionValues = registers;
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(registers, name)) continue;
    try {
      arch.roots({ ...values, [name]: value });
      values = { ...values, [name]: value };
    } catch (error) {
      if (!(error instanceof PagefoldError)) throw error;
    }
  }
  return values;
}

/** The roots that register values among the options name; `undefined` if they name none. */
function namedRoots(arch: Architecture, values: OptionValues): readonly RootDescription[] | undefined {
  try {
    return arch.roots(values);
  } catch (error) {
    if (error instanceof ArgumentError && error.rule === 'no-root') return undefined;
    throw error;
  }
}

function alignUp(value: bigint, unit: bigint): bigint {
  return ((value + unit - 1n) / unit) * unit;
}

function placeOf(arch: Architecture, given: OptionValues, address: bigint | undefined, areas: readonly Area[]): Place {
  const named = namedRoots(arch, given);
  if (address !== undefined && named?.some((root) => root.address === address) === false) {
    throw new UsageError(`root: ${hex(address)} is not where the registers say, which are given too`);
  }
  const atFirst = (): RootDescription => {
    const paging = arch.paging(given);
    const first = alignUp(areas[0]?.start ?? 0n, BigInt(paging.geometry.root.alignBytes));
    return { paging, address: address ?? first };
  };
  const wanted = named ?? [atFirst()];
  const selecting = arch.rootRegisters?.(wanted, given) ?? {};
  const values = together(arch, given, selecting);
  const roots = arch.rootRegisters === undefined ? wanted : arch.roots(values);
  // Registers keep other things in the low bits of a root: what is set there would vanish, or mean something.
  const lost = wanted.find((root) => !roots.some((made) => made.address === root.address));
  if (lost !== undefined) {
    const { name, root } = lost.paging.geometry;
    throw new UsageError(
      `root: no register can select ${hex(lost.address)}: a root of ${name} is at a multiple of ${hex(root.alignBytes)}`,
    );
  }
  // A plan needs no place; then there is nothing to be said about registers either.
  const placed = named !== undefined || address !== undefined || areas.length > 0;
  return { arch, roots, registers: placed ? selecting : {}, values };
}

function jsonOf({ place, plan, regions, advice, limit, files }: Report): PrintableObject {
  const { arch, roots, registers } = place;
  return {
    arch: arch.name,
    roots: roots.map(({ label, address, paging }) => ({
      label: label ?? 'root',
      pa: BigInt(address),
      format: paging.format.name,
      geometry: paging.geometry.name,
    })),
    registers: { ...registers },
    tables: plan.tables,
    size: plan.tableBytes,
    maxTables: limit,
    levels: plan.levels.map(({ root, hardwareLevel, name, tables, bytes }) => {
      return { root, level: hardwareLevel, name, tables, size: bytes };
    }),
    regions: plan.regions.map(({ name, tables, own, leaves, lost }, i) => {
      const { va, pa, bytes } = regions[i] as RegionRequest;
      const sizes = leaves.map(({ leaf, count }) => ({ size: leaf.leafBytes, shape: leaf.shape, count }));
      return { name, va, pa, size: bytes, tables, own, leaves: sizes, lost: [...lost] };
    }),
    advice: advice?.map((each) => ({ ...each })),
    files: files.map((each) => ({ ...each })),
  };
}

function adviceText(
  { region, kind, alignBytes, va, pa, bytes, saves }: BuildAdvice,
  all: readonly RegionRequest[],
): string {
  const size = sizeText(alignBytes);
  const before = all.find(({ name }) => name === region)?.bytes ?? bytes;
  const fewer = `to save ${saves} ${saves === 1 ? 'table' : 'tables'}`;
  const where = `${hex(va)} -> ${hex(pa)}`;
  if (kind === 'leaves') return `allow leaves of ${size} in ${region} ${fewer}`;
  if (kind === 'move') return `align ${region} to ${size} as its physical address is ${fewer}: ${where}`;
  return `align ${region} to ${size} ${fewer}: ${where} ${hex(bytes)} bytes, ${sizeText(bytes - before)} more`;
}

/** The options that let other commands find the tables. */
function optionsText({ arch, values }: Place): string {
  const shown = Object.entries(values).flatMap(([name, value]) => {
    if (value === true) return [`--${name}`];
    if (value === undefined || value === false) return [];
    return [
      `--${name} ${typeof value === 'bigint' ? hex(value) : Array.isArray(value) ? value.join(',') : String(value)}`,
    ];
  });
  return [`--arch ${arch.name}`, ...shown].join(' ');
}

function textOf({ place, plan, regions, advice, files }: Report): string {
  const { arch, roots, registers } = place;
  const names = roots.map(({ paging }) => paging.geometry.name).join(' and ');
  const lines = [
    pc.bold(`${arch.name} ${names}: ${plan.tables} tables, ${sizeText(plan.tableBytes)}`),
    ...Object.entries(registers).map(([name, value]) => `${name} ${hex(value)}`),
    '',
    plainTable(
      plan.levels.map(({ root, hardwareLevel, name, tables, bytes }) => {
        return [root, `level ${hardwareLevel}`, name, String(tables), sizeText(bytes)];
      }),
      ['root', 'level', 'name', 'tables', 'bytes'],
    ),
    '',
    plainTable(
      plan.regions.map(({ name, tables, own, leaves }, i) => {
        const { va, pa, bytes } = regions[i] as RegionRequest;
        const sizes = leaves.map(({ leaf, count }) => `${count} x ${sizeText(leaf.leafBytes)}`).join(', ');
        return [name, hex(va), hex(pa), sizeText(bytes), String(tables), String(own), sizes];
      }),
      ['region', 'virtual', 'physical', 'size', 'tables', 'own', 'leaves'],
    ),
    '',
    ...plan.regions
      .filter(({ lost }) => lost.length > 0)
      .map(({ name, lost }) => pc.yellow(`${name}: the format cannot say exactly: ${lost.join(', ')}`)),
    ...(advice ?? []).map((each) => adviceText(each, regions)),
    ...files.map(writtenText),
  ];
  const image = files.find(({ format }) => format === 'elf');
  if (image !== undefined) lines.push(`read it with: pagefold dump --image ${image.path} ${optionsText(place)}`);
  return `${lines.join('\n').trimEnd()}\n`;
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** The options of this command itself. */
interface Given extends TargetOptions {
  readonly out?: readonly string[];
  readonly format?: readonly string[];
  readonly rootAddress?: string;
  readonly tables?: string;
  readonly section?: string;
  readonly plan?: boolean;
  readonly maxTables?: string;
}

function build(path: string, given: Given, context: Context): void {
  const description = readDescription(path);
  const options = merged(description, given);
  const arch = architectureNamed(options.arch as string);
  const areas = given.tables === undefined ? description.tables : areasIn(given.tables, '--tables');
  const planOnly = given.plan === true;
  const wanted = wantedFiles(given.out ?? [], given.format ?? []);
  if (given.section !== undefined && wanted.length === 0) throw new UsageError('--section needs --out');
  if (planOnly && wanted.length > 0) throw new UsageError('--plan writes nothing: leave out --out');
  const limit = given.maxTables === undefined ? undefined : Number(parseNumber(given.maxTables, '--max-tables', 32));
  const address =
    given.rootAddress === undefined ? description.root : parseNumber(given.rootAddress, '--root-address', 56);
  const place = placeOf(arch, optionValues(arch, options), address, areas);
  const regions = regionsOf(description, (place.roots[0] as RootDescription).paging);
  const plan = planTables(place.roots, regions);
  const tooMany = limit !== undefined && plan.tables > limit;
  if (!planOnly && areas.length === 0 && plan.tables > place.roots.length) {
    throw new UsageError(`tables are missing: name physical addresses for ${plan.tables - place.roots.length} tables`);
  }
  const build = !planOnly && !tooMany;
  const files = build
    ? writeFiles(wanted, buildTables({ roots: place.roots, regions, tables: areas }), arch, given.section)
    : [];
  const advice = planOnly || tooMany ? adviseTables(place.roots, regions) : undefined;
  const report = { place, plan, regions, advice, limit, files };
  context.output.out(given.json === true ? `${jsonLine(jsonOf(report))}\n` : textOf(report));
  if (!tooMany) return;
  context.exitCode = EXIT_FOUND;
  const nothing = wanted.length > 0 ? '; nothing was written' : '';
  context.output.err(`${plan.tables} tables are needed, --max-tables allows ${limit}${nothing}\n`);
}

/** Adds the command. */
export function addBuild(program: Command, context: Context): void {
  const command = program
    .command('build')
    .description('build page tables for a list of regions, or say what they would take')
    .argument('<regions>', 'list of regions: a JSON file, or FILE.csv with ADDRESS, SIZE, TYPE, NAME lines')
    .option('--arch <name>', `architecture: ${architectures.map(({ name }) => name).join(', ')}`);
  addSharedOptions(command, architectures, ({ options }) => options);
  command
    .option('--root-address <address>', 'physical address of the root table (not given: as in the file)')
    .option(
      '--tables <ranges>',
      'physical addresses for further tables: START-END,START+SIZE (not given: as in the file)',
    )
    .option('--out <file>', 'write the tables; may be given several times', collect)
    .option(
      '--format <format>',
      `format of the file of the same turn: ${FORMATS.join(', ')} (not given: by name)`,
      collect,
    )
    .option('--section <prefix>', 'in c and gas: a section for each table, PREFIX and its name (not given: all in one)')
    .option('--plan', 'only say what is needed, and what would save tables')
    .option('--max-tables <n>', 'exit with 1, and write nothing, if more tables are needed')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Options of the architecture may stand in the file under the same names; those given here win.

Examples:
  $ pagefold build regions.json --plan
  $ pagefold build regions.json --out tables.elf --out tables.c
  $ pagefold build regions.json --out tables.bin --max-tables 12 --json
  $ pagefold build map.csv --arch arm64 --granule 4K --va-bits 39 --tables 0x40100000+64K --out tables.s`,
    )
    .action((path: string, given: Given) => build(path, given, context));
}
