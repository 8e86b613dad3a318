/**
 * Tables as C arrays. The entries stand as they are, so a table is right only at the physical address that its comment
 * and its `_ADDRESS` macro name.
 */
import { hex } from '@pagefold/core';
import { entryText, isBlank } from './describe.ts';
import { commentText, type NamedTable, nameTables, type SourceOptions, symbolNames, tableComment } from './symbols.ts';
import { entriesOf, entryVa, type TableSource } from './tables.ts';

/** Options of {@link cSource}. */
export interface CSourceOptions extends SourceOptions {
  /**
   * Linkage of the arrays. No C code need name a table, so static ones are marked as used: a compiler would drop them.
   * Not supplied: `extern`.
   */
  readonly linkage?: 'static' | 'extern';
}

function arrayText(named: NamedTable, options: CSourceOptions, names: ReadonlyMap<bigint, string>): string[] {
  const { symbol, table } = named;
  const { paging, level, uses, alignBytes } = table;
  const { entryBytes } = paging.format;
  const entries = entriesOf(table);
  const digits = String(entries.length - 1).length;
  const attributes = [`aligned(${alignBytes})`];
  if (options.section !== undefined) attributes.push(`section("${options.section}${symbol}")`);
  const linkage = options.linkage === 'static' ? 'static ' : '';
  if (options.linkage === 'static') attributes.push('used');
  const lines = [
    `/* ${tableComment(table)} */`,
    `#define ${symbol.toUpperCase()}_ADDRESS UINT64_C(${hex(table.address)})`,
    `${linkage}const uint${entryBytes * 8}_t ${symbol}[${entries.length}] __attribute__((${attributes.join(', ')})) = {`,
  ];
  entries.forEach((entry, index) => {
    if (isBlank(entry)) return;
    const value = `UINT${entryBytes * 8}_C(${hex(entry, entryBytes * 2)})`;
    const said = options.comments === false ? '' : entryText(paging, level, entry, entryVa(uses[0], index), names);
    lines.push(`  [${String(index).padStart(digits)}] = ${value},${said === '' ? '' : ` /* ${commentText(said)} */`}`);
  });
  if (entries.every(isBlank)) lines.push('  0');
  lines.push('};');
  return lines;
}

/**
 * The tables of a source as C (C99 and later): one array for each, entries by index, zeros left out.
 * @throws EmitError `option`; what {@link collectTables} throws
 */
export function cSource(source: TableSource, options: CSourceOptions = {}): string {
  const tables = nameTables(source, options);
  const names = symbolNames(tables);
  const blocks = tables.map((named) => arrayText(named, options, names).join('\n'));
  return `${['#include <stdint.h>', ...blocks].join('\n\n')}\n`;
}
