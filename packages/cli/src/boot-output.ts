/** What `pagefold boot --out` writes: the tables as an ELF core, and a facts file that says how to read them. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type BootResult, type Capture, createSpace } from '@pagefold/core';
import { elfCore, tablePages } from '@pagefold/emit';
import { UsageError } from './errors.ts';
import { writeResult } from './files.ts';

function textOf(facts: Capture): string {
  return `${JSON.stringify(facts, null, 1)}\n`;
}

/** May a file be replaced by the facts of an image: was it written for it, or does it say the same of another? */
function isOurs(path: string, facts: Capture): boolean {
  try {
    const found = JSON.parse(readFileSync(path, 'utf8')) as Capture | null;
    if (typeof found !== 'object' || found === null || typeof found.image !== 'string') return false;
    return found.image === facts.image || textOf({ ...found, image: facts.image }) === textOf(facts);
  } catch {
    return false;
  }
}

/**
 * Writes both files.
 * @param out where the tables go
 * @param facts where the facts file goes. Not supplied: `registers.json` beside the tables, unless there is one already
 *   that belongs to something else
 * @throws UsageError if that would replace a file that nobody named, or a file cannot be written
 */
export function writeTables(result: BootResult, out: string, facts?: string): void {
  const path = facts ?? join(dirname(out), 'registers.json');
  if (resolve(path) === resolve(out)) {
    throw new UsageError(`--out: '${out}' is where the facts file goes: give --facts, or another name`);
  }
  const capture = { ...result.capture, image: basename(out) };
  if (facts === undefined && existsSync(path) && !isOurs(path, capture)) {
    throw new UsageError(`--out: '${path}' exists and is not of '${basename(out)}': say with --facts where facts go`);
  }
  const spaces = result.roots.map((root) => createSpace(result.memory, root));
  const core = elfCore(tablePages(spaces), result.elf);
  writeResult('--out', out, out.endsWith('.gz') ? gzipSync(core) : core);
  writeResult(facts === undefined ? '--out' : '--facts', path, textOf(capture));
}
