/** `pagefold check`: what is wrong with the tables of a memory image. */
import { CHECK_RULE_NAMES, CHECK_RULES, checkTables, hex, sizeText, type TableFinding } from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND, UsageError } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber, parseRange } from '../numbers.ts';
import { counted, jsonLine, type PrintableObject } from '../output.ts';
import { addTargetOptions, openTarget, type TargetOptions } from '../target.ts';

const COLOURS = { error: pc.red, warning: pc.yellow, info: pc.dim } as const;

/** Names of rules, separated by commas; `all` means every one. */
function rulesIn(given: unknown, option: string): string[] | undefined {
  if (typeof given !== 'string') return undefined;
  const names = given.split(',').filter((word) => word !== '');
  const wrong = names.find((name) => name !== 'all' && !CHECK_RULE_NAMES.some((known) => known === name));
  if (wrong !== undefined)
    throw new UsageError(`${option}: '${wrong}' is not one of ${CHECK_RULE_NAMES.join(', ')}, all`);
  return names.includes('all') ? [...CHECK_RULE_NAMES] : names;
}

function findingJson(finding: TableFinding): PrintableObject {
  const { rule, severity, root, start, end, hardwareLevel, slot, entry, message, values, count } = finding;
  return {
    type: 'finding',
    severity,
    rule,
    start,
    end,
    size: end - start,
    level: hardwareLevel,
    slot: slot ?? null,
    entry: entry ?? null,
    message,
    values: { ...values },
    count,
    root,
  };
}

function findingText(
  { rule, severity, start, end, slot, entry, message, values }: TableFinding,
  digits: number,
): string {
  const range = `${hex(start, digits)}-${hex(end, digits)} ${sizeText(end - start).padStart(6)}`;
  const where = slot === undefined ? '' : ` (${hex(slot)}${entry === undefined ? '' : `: ${hex(entry)}`})`;
  const table = typeof values.table === 'bigint' ? `, table ${hex(values.table)}` : '';
  return `${COLOURS[severity](`${severity.padEnd(7)} ${rule.padEnd(16)}`)} ${range}  ${message}${table}${where}`;
}

function rulesText(): string {
  return CHECK_RULE_NAMES.map((name) => {
    const { severity, meaning, optional } = CHECK_RULES[name];
    return `  ${name.padEnd(20)} ${severity.padEnd(8)} ${meaning}${optional === true ? ' (only if named)' : ''}`;
  }).join('\n');
}

async function check(given: TargetOptions, context: Context): Promise<void> {
  const range = typeof given.range === 'string' ? parseRange(given.range, '--range') : undefined;
  const maxTables =
    typeof given.maxTables === 'string' ? Number(parseNumber(given.maxTables, '--max-tables', 32)) : undefined;
  const rules = rulesIn(given.rule, '--rule');
  const ignore = rulesIn(given.ignore, '--ignore');
  const target = await openTarget(given);
  try {
    const { space } = target;
    const { findings, tables, tableBytes } = checkTables(space, {
      ...(rules === undefined ? {} : { rules }),
      ...(ignore === undefined ? {} : { ignore }),
      ...(maxTables === undefined ? {} : { maxTables }),
      ...(range === undefined ? {} : { range }),
    });
    const count = (severity: TableFinding['severity']): number =>
      findings.filter((finding) => finding.severity === severity).length;
    const [errors, warnings, infos] = [count('error'), count('warning'), count('info')];
    const digits = (space.roots[0]?.paging.geometry.wordBits ?? 64) / 4;
    for (const finding of findings) {
      const line = given.json === true ? jsonLine(findingJson(finding)) : findingText(finding, digits);
      context.output.out(`${line}\n`);
    }
    const summary =
      given.json === true
        ? jsonLine({ type: 'summary', errors, warnings, infos, tables, size: tableBytes })
        : `${counted(tables, 'table')} (${sizeText(tableBytes)}): ${counted(errors, 'error')}, ${counted(warnings, 'warning')}, ${counted(infos, 'remark')}`;
    context.output.out(`${summary}\n`);
    if (errors > 0) context.exitCode = EXIT_FOUND;
  } finally {
    target[Symbol.dispose]();
  }
}

/** Adds the command. */
export function addCheck(program: Command, context: Context): void {
  addTargetOptions(program.command('check').description('find what is wrong with tables: W+X leaves, broken runs, …'))
    .option('--rule <a,b>', 'look for these rules only; all for every one')
    .option('--ignore <a,b>', 'do not look for these rules')
    .option('--max-tables <n>', 'find an error if there are more tables')
    .option('--range <range>', 'only START-END or START+SIZE')
    .option('--exit-code', 'as it is anyway: exit with 1 if there is an error')
    .addHelpText(
      'after',
      `
Exits with 1 if an error was found, with 0 if there are only warnings and remarks. What is found in a table that several
entries share is said once, at its first place.

Rules:
${rulesText()}

Examples:
  $ pagefold check --image tables.elf.gz --registers registers.json --root kernel
  $ pagefold check --image tables.elf --arch riscv --satp 0x8000000000080000 --rule write-execute,too-many-tables --max-tables 12
  $ pagefold check --image tables.elf.gz --registers registers.json --root kernel --rule all --ignore both-execute --json`,
    )
    .action((given: TargetOptions) => check(given, context));
}
