/**
 * Tables as source for the GNU assembler. Only directives and comments that mean the same on every target are used. The
 * entries stand as they are, so a table is right only at the physical address that its comment names.
 */
import { hex } from '@pagefold/core';
import { entryText, isBlank } from './describe.ts';
import { commentText, type NamedTable, nameTables, type SourceOptions, symbolNames, tableComment } from './symbols.ts';
import { entriesOf, entryVa, type TableSource } from './tables.ts';

/** Options of {@link gasSource}. */
export interface GasSourceOptions extends SourceOptions {
  /** Make the labels global? Not supplied: no. */
  readonly global?: boolean;
}

function tableText(named: NamedTable, options: GasSourceOptions, names: ReadonlyMap<bigint, string>): string[] {
  const { symbol, table } = named;
  const { paging, level, uses, alignBytes } = table;
  const { entryBytes } = paging.format;
  const directive = entryBytes === 8 ? '.quad' : '.long';
  const lines = [`/* ${tableComment(table)} */`];
  if (options.section !== undefined) lines.push(`  .section ${options.section}${symbol}, "a"`);
  lines.push(`  .balign ${alignBytes}`);
  if (options.global === true) lines.push(`  .globl ${symbol}`);
  lines.push(`${symbol}:`);
  let zeros = 0;
  const flush = (): void => {
    if (zeros > 0) lines.push(`  .zero ${zeros * entryBytes}`);
    zeros = 0;
  };
  entriesOf(table).forEach((entry, index) => {
    if (isBlank(entry)) {
      zeros++;
      return;
    }
    flush();
    const said = options.comments === false ? '' : entryText(paging, level, entry, entryVa(uses[0], index), names);
    const comment = said === '' ? '' : ` /* [${index}] ${commentText(said)} */`;
    lines.push(`  ${directive} ${hex(entry, entryBytes * 2)}${comment}`);
  });
  flush();
  return lines;
}

/**
 * The tables of a source as GNU assembler source: one label for each, runs of zeros as one directive.
 * @throws EmitError `option`; what {@link collectTables} throws
 */
export function gasSource(source: TableSource, options: GasSourceOptions = {}): string {
  const tables = nameTables(source, options);
  const names = symbolNames(tables);
  const head = options.section === undefined ? ['  .section .rodata'] : [];
  const blocks = tables.map((named) => tableText(named, options, names).join('\n'));
  return `${[...head, ...blocks].join('\n\n')}\n`;
}
