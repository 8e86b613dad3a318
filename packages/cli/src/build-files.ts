/** Finished tables as files. All of them are made before the first is written. */
import { gzipSync } from 'node:zlib';
import { type Architecture, type Built, hex } from '@pagefold/core';
import { cSource, elfCore, gasSource, tableBinary, tablePages, tablesJson } from '@pagefold/emit';
import { UsageError } from './errors.ts';
import { writeResult } from './files.ts';

/** A form that tables can be written in. */
interface Writer {
  readonly extensions: readonly string[];
  write(
    built: Built,
    arch: Architecture,
    section: string | undefined,
  ): { readonly content: Uint8Array | string; readonly base?: bigint };
}

function sectioned(section: string | undefined): { readonly section?: string } {
  return section === undefined ? {} : { section };
}

const WRITERS: Readonly<Record<string, Writer>> = {
  bin: {
    extensions: ['bin', 'img'],
    write({ space }) {
      const { base, bytes } = tableBinary(space);
      return { content: bytes, base };
    },
  },
  elf: {
    extensions: ['elf', 'core'],
    write: ({ space }, { elf }) => ({ content: elfCore(tablePages(space), elf ?? { machine: 0 }) }),
  },
  c: { extensions: ['c', 'h'], write: ({ space }, _, section) => ({ content: cSource(space, sectioned(section)) }) },
  gas: {
    extensions: ['s', 'asm'],
    // Boot code names the root; C arrays are global too.
    write: ({ space }, _, section) => ({ content: gasSource(space, { ...sectioned(section), global: true }) }),
  },
  json: { extensions: ['json'], write: ({ space }) => ({ content: tablesJson(space) }) },
};

/** Names of the forms. */
export const FORMATS: readonly string[] = Object.keys(WRITERS);

/** A file to be written. */
export interface Wanted {
  readonly path: string;
  readonly format: string;
}

/** A file that was written. */
export interface Written extends Wanted {
  readonly bytes: number;
  /** Physical address of the first byte, in forms that do not say it themselves. */
  readonly base?: bigint;
}

function formatOf(path: string): string {
  const [, extension = ''] = /\.(\w+)(?:\.gz)?$/.exec(path) ?? [];
  const found = FORMATS.find((name) => WRITERS[name]?.extensions.includes(extension.toLowerCase()));
  if (found === undefined) throw new UsageError(`--out: '${path}' says no format; give --format ${FORMATS.join('|')}`);
  return found;
}

/**
 * Which files are meant.
 * @param formats the first is that of the first path, and so on; the others' are taken from their names
 * @throws UsageError for an unknown format
 */
export function wantedFiles(paths: readonly string[], formats: readonly string[]): Wanted[] {
  const wrong = formats.find((name) => !FORMATS.includes(name));
  if (wrong !== undefined) throw new UsageError(`--format: '${wrong}' is not one of ${FORMATS.join(', ')}`);
  if (formats.length > paths.length) throw new UsageError('--format is given more often than --out');
  if (new Set(paths).size < paths.length) throw new UsageError('--out: one file is named twice');
  return paths.map((path, i) => ({ path, format: formats[i] ?? formatOf(path) }));
}

/**
 * Writes tables.
 * @param section what the names of sections in sources begin with: each table gets one of its own. Not supplied: all
 *   stand in one
 * @throws UsageError if a file cannot be written; EmitError for a section that none can be called
 */
export function writeFiles(
  wanted: readonly Wanted[],
  built: Built,
  arch: Architecture,
  section: string | undefined,
): Written[] {
  if (section !== undefined && !wanted.some(({ format }) => format === 'c' || format === 'gas')) {
    throw new UsageError('--section needs a file of format c or gas');
  }
  const made = wanted.map(({ path, format }) => {
    const { content, base } = (WRITERS[format] as Writer).write(built, arch, section);
    const plain = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    return { path, format, content: path.endsWith('.gz') ? gzipSync(plain) : plain, base };
  });
  return made.map(({ path, format, content, base }) => {
    writeResult('--out', path, content);
    return { path, format, bytes: content.length, ...(base === undefined ? {} : { base }) };
  });
}

/** One line about a file. */
export function writtenText({ path, format, bytes, base }: Written): string {
  return `wrote ${path}: ${format}, ${bytes} bytes${base === undefined ? '' : `, to be loaded at ${hex(base)}`}`;
}
