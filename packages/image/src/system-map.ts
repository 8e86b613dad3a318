/**
 * Symbol lists of kernels: `System.map`, `/proc/kallsyms` and plain `address symbol` lines.
 */
import { ImageError } from './errors.ts';

/** A symbol that was defined before. */
export interface DuplicateSymbol {
  readonly name: string;
  /** The address that was ignored. */
  readonly address: bigint;
  /** Number of the line, from 1. */
  readonly line: number;
}

/** A symbol list. */
export interface SystemMap {
  /** Addresses by name; of several definitions the first. */
  readonly symbols: ReadonlyMap<string, bigint>;
  /** The further definitions, in the order of the list. Static functions often share a name. */
  readonly duplicates: readonly DuplicateSymbol[];
}

/** Address, an optional type letter as nm prints it, the name, and the module that kallsyms adds behind a tab. */
const LINE = /^([0-9a-fA-F]{1,16})(?: ([A-Za-z?-]))? ([^\s[\]]+)(?:[\t ]\[[^\s[\]]+\])?$/;

/**
 * Reads a symbol list. Each line is `address type name`, `address name`, or the first with `[module]` behind it; lines
 * that are empty or begin with `#` are skipped.
 * @param text the list
 * @throws ImageError `map-line` with the number of the first malformed line; `map-hidden` if there are symbols and all
 *   of them have address 0, as the kernel shows them to those who may not see
 */
export function parseSystemMap(text: string): SystemMap {
  const symbols = new Map<string, bigint>();
  const duplicates: DuplicateSymbol[] = [];
  let visible = false;
  let line = 0;
  // Editors that put a byte order mark before text mean nothing by it.
  for (const row of text.replace(/^\uFEFF/, '').split('\n')) {
    line++;
    const content = row.endsWith('\r') ? row.slice(0, -1) : row;
    if (content === '' || content.startsWith('#')) continue;
    const match = LINE.exec(content);
    const [, digits, , name] = match ?? [];
    if (digits === undefined || name === undefined) {
      const values = { line: String(line), text: content.slice(0, 80) };
      throw new ImageError('map-line', 'a line of the symbol list is malformed', values);
    }
    const address = BigInt(`0x${digits}`);
    if (address !== 0n) visible = true;
    if (symbols.has(name)) duplicates.push({ name, address, line });
    else symbols.set(name, address);
  }
  if (symbols.size > 0 && !visible) {
    const values = { symbols: String(symbols.size) };
    throw new ImageError('map-hidden', 'every symbol has address 0: read the list with more privilege', values);
  }
  return { symbols, duplicates };
}
