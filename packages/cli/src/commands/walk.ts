/** `pagefold walk`: one address with everything that the hardware looks at. */
import { attributesText, hex, type Paging, rootFor, sizeText, type Walk, type WalkStep, walk } from '@pagefold/core';
import type { Command } from 'commander';
import pc from 'picocolors';
import { EXIT_FOUND } from '../errors.ts';
import type { Context } from '../main.ts';
import { parseNumber } from '../numbers.ts';
import { jsonLine, type PrintableObject, plainTable } from '../output.ts';
import { addTargetOptions, openTarget, type TargetOptions, takeAddresses } from '../target.ts';
import { translationJson, translationText } from './translate.ts';

function stepJson(step: WalkStep): PrintableObject {
  const { hardwareLevel, name, table, index, slot, entry, decoded, effects, effective } = step;
  return {
    level: hardwareLevel,
    name,
    table,
    index,
    slot,
    entry: entry ?? null,
    kind: decoded?.kind ?? 'no memory',
    shape: decoded?.shape,
    reasons: decoded === undefined || decoded.reasons.length === 0 ? undefined : decoded.reasons,
    fields: decoded?.fields,
    next: decoded?.kind === 'table' ? decoded.address : undefined,
    effects: effects.length === 0 ? undefined : effects.map(({ on, op, value }) => ({ on, op, value })),
    effective: effective === undefined ? undefined : { ...effective },
  };
}

/** A walk as JSON. */
export function walkJson(found: Walk): PrintableObject {
  const { outcome } = found;
  return {
    ...translationJson(outcome),
    root: found.root ?? null,
    steps: found.steps.map(stepJson),
    attributes: outcome.mapped ? { ...outcome.fields } : undefined,
    permissions: outcome.mapped && outcome.common !== undefined ? { ...outcome.common } : undefined,
  };
}

function stepRow(paging: Paging, step: WalkStep): string[] {
  const { decoded } = step;
  let what = pc.red('no memory');
  if (decoded?.kind === 'table') what = `table at ${hex(decoded.address ?? 0n)}`;
  if (decoded?.kind === 'leaf') {
    const text = attributesText(paging, decoded.shape ?? '', step.level, step.effective ?? {});
    what = pc.green(`${decoded.shape} ${sizeText(decoded.leafBytes ?? 0n)} at ${hex(decoded.address ?? 0n)}  ${text}`);
  }
  if (decoded?.kind === 'empty' || decoded?.kind === 'malformed') {
    what = pc.red(`${decoded.kind}: ${decoded.reasons.join(', ')}`);
  }
  return [
    `level ${step.hardwareLevel}`,
    step.name,
    `${hex(step.table)}[${step.index}]`,
    step.entry === undefined ? '-' : hex(step.entry, paging.format.entryBytes * 2),
    what,
  ];
}

/** A walk for people. */
export function walkText(found: Walk, paging: Paging): string {
  const rows = found.steps.map((step) => stepRow(paging, step));
  const table =
    rows.length === 0
      ? []
      : plainTable(rows)
          .split('\n')
          .map((line) => `  ${line}`);
  return [translationText(found.outcome), ...table].join('\n');
}

/** Adds the command. */
export function addWalk(program: Command, context: Context): void {
  addTargetOptions(
    program
      .command('walk')
      .description('follow addresses through every table: entries, fields, effective permissions, the exact fault')
      .argument('[va...]', 'virtual addresses; - reads them from standard input'),
  )
    .option('--exit-code', 'exit with 1 if an address is not mapped')
    .addHelpText(
      'after',
      `
Example:
  $ pagefold walk --image tables.elf.gz --registers registers.json --root kernel 0xffffffff80000000`,
    )
    .action(async (args: string[], given: TargetOptions) => {
      const { addresses, options } = takeAddresses(args, given);
      const values = addresses.map((text) => parseNumber(text, 'address'));
      const target = await openTarget(options);
      try {
        for (const va of values) {
          const found = walk(target.space, va);
          if (!found.outcome.mapped && given.exitCode === true) context.exitCode = EXIT_FOUND;
          const root = rootFor(target.space, va) ?? target.space.roots[0];
          const text =
            given.json === true
              ? jsonLine(walkJson(found))
              : walkText(found, (root as NonNullable<typeof root>).paging);
          context.output.out(`${text}\n`);
        }
      } finally {
        target[Symbol.dispose]();
      }
    });
}
