/**
 * Writes the pages in `docs/formats` from the formats themselves: fields, shapes, rules and geometries as tables.
 * With `--check` it only compares, and fails if a page is out of date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import {
  armLpae,
  armShort,
  armStage2,
  stage2Geometry as armStage2Geometry,
  lpaeGeometry,
  shortGeometry,
} from '@pagefold/arm';
import {
  arm64Stage1,
  arm64Stage2,
  GRANULES,
  kvmStage2,
  LINUX_BUILDS,
  stage1Geometry,
  stage2Geometry,
} from '@pagefold/arm64';
import {
  bitsText,
  completeFormat,
  conditionText,
  createGeometry,
  type Format,
  type Geometry,
  type GeometryDescription,
  sizeText,
  TABLE_NAMES,
} from '@pagefold/core';
import { riscv32, riscv64, riscvGeometries } from '@pagefold/riscv';
import { x86Format, x86Geometry } from '@pagefold/x86-64';

interface Page {
  readonly file: string;
  readonly title: string;
  readonly format: Format;
  readonly geometries: readonly GeometryDescription[];
}

const pages: readonly Page[] = [
  {
    file: 'riscv64',
    title: 'RISC-V, 64 bits',
    format: riscv64,
    geometries: [riscvGeometries.sv39, riscvGeometries.sv48, riscvGeometries.sv57],
  },
  { file: 'riscv32', title: 'RISC-V, 32 bits', format: riscv32, geometries: [riscvGeometries.sv32] },
  ...GRANULES.flatMap((granule): Page[] => [
    {
      file: `arm64-${granule.toLowerCase()}`,
      title: `arm64, ${granule} granule`,
      format: arm64Stage1[granule],
      geometries: LINUX_BUILDS.filter((build) => build.granule === granule).map(({ vaBits }) =>
        stage1Geometry({ granule, inputBits: vaBits, half: 'high', outputBits: vaBits === 52 ? 52 : 48 }),
      ),
    },
    {
      file: `arm64-${granule.toLowerCase()}-stage2`,
      title: `arm64, ${granule} granule, stage 2`,
      format: arm64Stage2[granule],
      geometries: [40, 48, 52].map((inputBits) =>
        stage2Geometry({
          granule,
          inputBits,
          start: kvmStage2(granule, inputBits).startLevel,
          outputBits: inputBits === 52 ? 52 : 48,
        }),
      ),
    },
  ]),
  { file: 'arm-short', title: '32-bit Arm, short descriptors', format: armShort, geometries: [shortGeometry()] },
  { file: 'arm-lpae', title: '32-bit Arm, long descriptors', format: armLpae, geometries: [lpaeGeometry()] },
  { file: 'arm-stage2', title: '32-bit Arm, stage 2', format: armStage2, geometries: [armStage2Geometry] },
  { file: 'x86-64', title: 'x86-64', format: x86Format(), geometries: [x86Geometry(4), x86Geometry(5)] },
];

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function fieldTable(format: Format): string {
  const seen = new Set<string>();
  const rows: string[][] = [];
  for (const shape of format.shapes) {
    for (const field of shape.fields) {
      const key = `${field.name} ${bitsText(field)} ${conditionText(field.when)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const values = Object.entries(field.values ?? {}).map(([value, text]) => `${value} ${text}`);
      rows.push([
        bitsText(field),
        `\`${field.name}\``,
        [field.meaning, ...(values.length === 0 ? [] : [`(${values.join(', ')})`])].join(' '),
        conditionText(field.when),
        field.section ?? '',
      ]);
    }
  }
  return table(['bits', 'field', 'meaning', 'with features', 'section'], rows);
}

function levelsText(geometry: Geometry): string {
  const rows = [...geometry.levels].reverse().map((level) => {
    const names = TABLE_NAMES.filter((name) => geometry.names[name].level === level.level);
    return [
      `${level.hardware}`,
      names.map((name) => (geometry.names[name].folded ? `(${name})` : name)).join(' '),
      `${level.shift + level.indexBits - 1}:${level.shift}`,
      `${level.entries}`,
      sizeText(level.tableBytes),
      sizeText(level.entrySpan),
    ];
  });
  return table(['hardware level', 'names (folded in brackets)', 'index bits', 'entries', 'table', 'entry maps'], rows);
}

function pageText({ title, format, geometries }: Page): string {
  const shapes = format.shapes.map((shape) => {
    const run =
      shape.kind === 'leaf' && shape.run !== undefined
        ? `${shape.run.entries} entries, ${shape.run.address} address`
        : '';
    return [`\`${shape.name}\``, shape.kind, run, conditionText(shape.when), shape.section ?? ''];
  });
  const rules = completeFormat(format).rules.map((rule) => [
    `\`${rule.reason}\``,
    rule.meaning,
    (rule.kinds ?? ['table', 'leaf']).join(', '),
    conditionText(rule.when),
    rule.section ?? '',
  ]);
  const features = Object.entries(format.features ?? {}).map(([name, meaning]) => `- \`${name}\`: ${meaning}`);
  return `${[
    `# ${title}`,
    `${format.title}. Entries of ${format.entryBytes} bytes. This page is made from the format's description.`,
    ...(features.length === 0 ? [] : ['## Features', features.join('\n')]),
    '## Fields',
    fieldTable(format),
    '## Shapes',
    table(['shape', 'kind', 'run', 'with features', 'section'], shapes),
    '## What makes an entry malformed, in checking order',
    table(['reason', 'meaning', 'kinds', 'with features', 'section'], rules),
    ...geometries.flatMap((description) => {
      const geometry = createGeometry(description, format.entryBytes);
      return [
        `## ${geometry.title}`,
        `${geometry.vaBits} virtual bits, ${geometry.paBits} physical bits.`,
        levelsText(geometry),
      ];
    }),
    '',
  ]
    .join('\n\n')
    .trimEnd()}\n`;
}

const folder = new URL('../docs/formats/', import.meta.url).pathname;
const check = process.argv.includes('--check');
mkdirSync(folder, { recursive: true });
for (const page of pages) {
  const path = `${folder}${page.file}.md`;
  const text = pageText(page);
  if (!check) writeFileSync(path, text);
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`docs/formats/${page.file}.md is out of date: run pnpm docs:formats`);
    process.exitCode = 1;
  }
}
