/** What C and assembler sources of tables share: identifiers, comments, runs of zeros. */
import { hex } from '@pagefold/core';
import { EmitError } from './errors.ts';
import { collectTables, type TablePiece, type TableSource } from './tables.ts';

/** Options that both kinds of source take. */
export interface SourceOptions {
  /** Begins every symbol; an identifier or empty. Not supplied: empty. */
  readonly prefix?: string;
  /** Write a comment for every entry that is not zero? Not supplied: yes. */
  readonly comments?: boolean;
  /**
   * Begins the name of a section for each table, the symbol ends it: `.tables.kernel_pgd`. For a linker script that
   * puts each table at its address. Not supplied: no section is named in C, `.rodata` in assembler.
   */
  readonly section?: string;
}

/** A table with its symbol. */
export interface NamedTable {
  readonly symbol: string;
  readonly table: TablePiece;
}

/** A label as an identifier: `kernel.PMD.0` becomes `kernel_pmd_0`. */
function identifier(label: string): string {
  const word = label.toLowerCase().replace(/[^a-z0-9_]+/g, '_');
  return /^[a-z]/.test(word) ? word : `t_${word}`;
}

/**
 * The tables of a source with unique symbols.
 * @throws EmitError `option` if the prefix is no identifier or the section has unusual characters
 */
export function nameTables(source: TableSource, { prefix = '', section = '' }: SourceOptions): NamedTable[] {
  if (!/^([A-Za-z_][A-Za-z0-9_]*)?$/.test(prefix)) {
    throw new EmitError('option', 'prefix must be an identifier', { prefix });
  }
  if (!/^[A-Za-z0-9_.$]*$/.test(section)) {
    throw new EmitError('option', 'section must be made of letters, digits, dots, dollars and underscores', {
      section,
    });
  }
  const used = new Set<string>();
  return collectTables(source).map((table) => {
    const wanted = prefix === '' ? identifier(table.label) : `${prefix}${identifier(table.label)}`;
    let symbol = wanted;
    for (let n = 2; used.has(symbol); n++) symbol = `${wanted}_${n}`;
    used.add(symbol);
    return { symbol, table };
  });
}

/** Text that can stand in a C comment. */
export function commentText(text: string): string {
  return text
    .replace(/[^\x20-\x7e]/g, '?')
    .replace(/\*\//g, '* /')
    .replace(/\/\*/g, '/ *');
}

/** What is said above a table. */
export function tableComment({ label, paging, level, address, uses }: TablePiece): string {
  const { name } = paging.codec(level).level;
  const [{ va, slot }] = uses;
  const from =
    slot === undefined ? 'root' : `from ${hex(slot)}, first address ${hex(va, paging.geometry.wordBits / 4)}`;
  const what = name === `level ${level}` ? name : `${name} (level ${level})`;
  const more = uses.length === 1 ? '' : `, ${uses.length} uses`;
  return commentText(
    `${label}: ${what} of ${paging.format.name} ${paging.geometry.name} at ${hex(address)}, ${from}${more}`,
  );
}

/** Symbols by physical address, for comments. */
export function symbolNames(tables: readonly NamedTable[]): ReadonlyMap<bigint, string> {
  return new Map(tables.map(({ symbol, table }) => [table.address, symbol]));
}
