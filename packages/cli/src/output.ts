/** Printing: one JSON object a line with numbers as hex text, or text for people. */
import { hex } from '@pagefold/core';
import Table from 'cli-table3';
import pc from 'picocolors';

/** What JSON lines are made of; a bigint becomes hex text. */
export type Printable = bigint | string | number | boolean | null | undefined | PrintableObject | readonly Printable[];

/** An object of printable values; `undefined` members are left out. */
export interface PrintableObject {
  readonly [name: string]: Printable;
}

/** Where output goes. Tests pass their own. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** One JSON object as a line. */
export function jsonLine(value: PrintableObject): string {
  return JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? hex(member) : member));
}

/** A number with what it counts: `1 error`, `2 errors`. */
export function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** A table without borders, columns two spaces apart. */
export function plainTable(rows: readonly (readonly string[])[], head?: readonly string[]): string {
  const table = new Table({
    ...(head === undefined ? {} : { head: [...head] }),
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '  ',
    },
    style: { 'padding-left': 0, 'padding-right': 0, border: [], head: pc.isColorSupported ? ['bold'] : [] },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
