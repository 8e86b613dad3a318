/** `pagefold explain`: entries, registers and addresses into named fields, and back. */
import {
  type Architecture,
  type ExplainedField,
  explainAddress,
  explainEntry,
  explainRegister,
  hex,
  type Paging,
  type RegisterFormat,
  sizeText,
} from '@pagefold/core';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { buildEntry, buildRegister } from '../field-pairs.ts';
import type { Context } from '../main.ts';
import { looksLikeNumber, parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject, plainTable } from '../output.ts';
import { addArchitectureOptions, architectureOf, choosePaging, optionValues, type TargetOptions } from '../target.ts';

const ENTRY_WORDS = ['entry', 'pte', 'descriptor'];
const ADDRESS_WORDS = ['va', 'address'];

function fieldJson(field: ExplainedField): PrintableObject {
  const { name, bits, value, text, meaning, section, software } = field;
  return { name, bits, value, text, meaning, section, software: software ? true : undefined };
}

function fieldTable(fields: readonly ExplainedField[]): string {
  const rows = fields.map(({ name, bits, value, text, meaning, section }) => [
    bits,
    name,
    text === undefined ? hex(value) : `${hex(value)} ${text}`,
    meaning,
    section ?? '',
  ]);
  return plainTable(rows, ['bits', 'field', 'value', 'meaning', 'section']);
}

function registerOf(
  arch: Architecture,
  name: string,
  value: bigint | undefined,
  options: TargetOptions,
): RegisterFormat | undefined {
  const wanted = name.toLowerCase();
  const same = arch.registers.filter((register) => register.name === wanted);
  const picked = arch.pickRegister?.(wanted, value ?? 0n, optionValues(arch, options));
  return picked ?? same.find(({ bits }) => (value ?? 0n) >> BigInt(bits) === 0n) ?? same[0];
}

function printEntry(context: Context, paging: Paging, level: number, entry: bigint, json: boolean): void {
  const explained = explainEntry(paging, level, entry);
  const { hardware, name } = paging.codec(level).level;
  if (json) {
    const { kind, shape, section, reasons, fields, address, leafBytes, common } = explained;
    context.output.out(
      `${jsonLine({
        entry,
        mode: paging.geometry.name,
        level: hardware,
        kind,
        shape,
        section,
        reasons: reasons.length === 0 ? undefined : reasons.map((reason) => ({ ...reason })),
        fields: fields.map(fieldJson),
        address,
        size: leafBytes,
        permissions: common === undefined ? undefined : { ...common },
      })}\n`,
    );
    return;
  }
  const where = `${paging.geometry.name} level ${hardware} (${name})`;
  const target =
    explained.kind === 'leaf'
      ? `leaf of ${sizeText(explained.leafBytes ?? 0n)} at ${hex(explained.address ?? 0n)}`
      : explained.kind === 'table'
        ? `table at ${hex(explained.address ?? 0n)}`
        : `${explained.kind}: ${explained.reasons.map(({ reason, meaning }) => `${reason} (${meaning})`).join('; ')}`;
  context.output.out(
    `${hex(entry, paging.format.entryBytes * 2)} in ${where}: ${target}\n${fieldTable(explained.fields)}\n`,
  );
}

function printRegister(context: Context, register: RegisterFormat, value: bigint, json: boolean): void {
  const { fields, unnamed } = explainRegister(register, value);
  if (json) {
    context.output.out(
      `${jsonLine({ register: register.name, bits: register.bits, value, fields: fields.map(fieldJson), unnamed: unnamed === 0n ? undefined : unnamed })}\n`,
    );
    return;
  }
  const rest = unnamed === 0n ? '' : `\nbits without a name: ${hex(unnamed)}`;
  context.output.out(
    `${register.name} ${hex(value, register.bits / 4)}: ${register.title}\n${fieldTable(fields)}${rest}\n`,
  );
}

function printAddress(context: Context, paging: Paging, va: bigint, json: boolean): void {
  const { canonical, indices, offset, names } = explainAddress(paging, va);
  if (json) {
    context.output.out(
      `${jsonLine({
        va,
        mode: paging.geometry.name,
        canonical,
        indices: indices.map(({ hardwareLevel, name, bits, index, entryBytes }) => ({
          level: hardwareLevel,
          name,
          bits,
          index,
          size: entryBytes,
        })),
        offset,
        names: Object.fromEntries(Object.entries(names).map(([name, view]) => [name, { folded: view.folded }])),
      })}\n`,
    );
    return;
  }
  const rows = indices.map(({ hardwareLevel, name, bits, index, entryBytes }) => [
    `level ${hardwareLevel}`,
    name,
    bits,
    `${index}`,
    hex(index),
    sizeText(entryBytes),
  ]);
  const folded = Object.entries(names)
    .filter(([, view]) => view.folded)
    .map(([name]) => name);
  context.output.out(
    `${hex(va)} in ${paging.geometry.name}: ${canonical ? 'canonical' : 'not canonical'}\n` +
      `${plainTable([...rows, ['offset', '', `${paging.codec(0).level.shift - 1}:0`, `${offset}`, hex(offset), '']], ['level', 'name', 'bits', 'index', 'hex', 'entry maps'])}\n` +
      `${folded.length === 0 ? 'no name is folded' : `folded: ${folded.join(', ')}`}\n`,
  );
}

/** The level that `--level` names, in the hardware's numbering. Not given: that of the smallest leaves. */
function chooseLevel(paging: Paging, given: unknown): number {
  if (given === undefined) return 0;
  const wanted = /^-?[0-9]+$/.test(String(given)) ? Number(given) : undefined;
  const found = paging.geometry.levels.find(({ hardware }) => hardware === wanted);
  if (found === undefined) {
    throw new UsageError(
      `--level: '${String(given)}' is not one of ${paging.geometry.levels.map(({ hardware }) => hardware).join(', ')}`,
    );
  }
  return found.level;
}

/** Adds the command. */
export function addExplain(program: Command, context: Context): void {
  addArchitectureOptions(
    program
      .command('explain')
      .description('explain an entry, a register value or an address; with --build, the other way')
      .argument('[what]', "'entry', 'va', or a register's name such as satp; a number alone is an entry")
      .argument('[values...]', 'numbers, or FIELD=VALUE pairs with --build'),
  )
    .option('--level <n>', "level of the entry, in the hardware's numbering (not given: that of pages)")
    .option('--entry <value>', 'the same as: entry VALUE')
    .option('--va <value>', 'the same as: va VALUE')
    .option('--build', 'make the number from FIELD=VALUE pairs')
    .option('--json', 'print one JSON object per line')
    .addHelpText(
      'after',
      `
Examples:
  $ pagefold explain entry 0x200000eb --arch riscv --mode sv48 --level 1
  $ pagefold explain satp 0x9000000000081fca --arch riscv
  $ pagefold explain va 0xffffffff80000000 --arch riscv --mode sv39
  $ pagefold explain satp --build mode=sv48 asid=1 ppn=0x81fca --arch riscv
  $ pagefold explain entry --build v=1 r=1 w=1 a=1 d=1 ppn=0x80200 --arch riscv --mode sv39`,
    )
    .action((what: string | undefined, rest: string[], given: TargetOptions) => {
      const json = given.json === true;
      const jobs: [string, string[]][] = [];
      if (typeof given.entry === 'string') jobs.push(['entry', [given.entry]]);
      if (typeof given.va === 'string') jobs.push(['va', [given.va]]);
      if (what !== undefined)
        jobs.push(looksLikeNumber(what) ? ['entry', [what, ...rest]] : [what.toLowerCase(), rest]);
      const arch = architectureOf(given);
      if (jobs.length === 0) {
        // A register given as an option (--satp 0x…) is explained too.
        for (const { name } of arch.options) {
          const value = given[name];
          if (typeof value === 'string' && registerOf(arch, name, undefined, given) !== undefined)
            jobs.push([name, [value]]);
        }
      }
      if (jobs.length === 0)
        throw new UsageError('nothing to explain: give an entry, a register with a value, or an address');
      for (const [kind, words] of jobs) {
        if (words.length === 0)
          throw new UsageError(given.build === true ? '--build needs FIELD=VALUE pairs' : `${kind}: no value given`);
        explainOne(context, arch, kind, words, given, json);
      }
    });
}

function explainOne(
  context: Context,
  arch: Architecture,
  kind: string,
  words: readonly string[],
  given: TargetOptions,
  json: boolean,
): void {
  if (ENTRY_WORDS.includes(kind)) {
    const paging = choosePaging(given);
    const level = chooseLevel(paging, given.level);
    const width = paging.format.entryBytes * 8;
    const entries =
      given.build === true
        ? [buildEntry(paging, level, words)]
        : words.map((word) => parseNumber(word, 'entry', width));
    for (const entry of entries) printEntry(context, paging, level, entry, json);
    return;
  }
  if (ADDRESS_WORDS.includes(kind)) {
    for (const word of words) {
      const va = parseNumber(word, 'address');
      printAddress(context, choosePaging(given, va), va, json);
    }
    return;
  }
  const first = given.build === true ? undefined : parseNumber(words[0] as string, kind);
  const register = registerOf(arch, kind, first, given);
  if (register === undefined) {
    throw new UsageError(
      `'${kind}' is not entry, va or a register of ${arch.name} (${[...new Set(arch.registers.map(({ name }) => name))].join(', ')})`,
    );
  }
  if (given.build === true) {
    const built = buildRegister(arch, register, words, optionValues(arch, given));
    printRegister(context, built.register, built.value, json);
    return;
  }
  for (const word of words) printRegister(context, register, parseNumber(word, kind, register.bits), json);
}
