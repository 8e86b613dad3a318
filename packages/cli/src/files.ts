/** Text, JSON and results as files, with errors that name the option and the file. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { UsageError } from './errors.ts';

/** The reason of a failed system call, without its path and call. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'no such file';
  if (error instanceof Error && 'code' in error && error.code === 'EISDIR') return 'it is a directory';
  return error instanceof Error ? error.message : String(error);
}

/** Text without the byte order mark that some editors and shells put before it, and that JSON does not allow. */
export function withoutMark(text: string): string {
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

/**
 * A text file.
 * @param source a path, or 0 for standard input
 * @param what before the message: `--registers: `
 * @throws UsageError if it cannot be read
 */
export function readText(source: string | 0, what = ''): string {
  try {
    return withoutMark(readFileSync(source, 'utf8'));
  } catch (error) {
    throw new UsageError(`${what}cannot read '${source === 0 ? '-' : source}': ${reasonOf(error)}`);
  }
}

/**
 * A JSON file that holds an object.
 * @param what before the message: `--registers: `
 * @throws UsageError if it cannot be read, or is something else
 */
export function readJsonObject(path: string, what = ''): Readonly<Record<string, unknown>> {
  const text = readText(path, what);
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Readonly<Record<string, unknown>>;
    }
  } catch {
    // Said below, together with JSON that is no object.
  }
  throw new UsageError(`${what}'${path}' is not a JSON object`);
}

/**
 * Writes a file.
 * @param option for the message: `--out`
 * @throws UsageError if it cannot be written
 */
export function writeResult(option: string, path: string, content: string | Uint8Array): void {
  try {
    writeFileSync(path, content);
  } catch (error) {
    const folder = dirname(path);
    throw new UsageError(
      existsSync(folder)
        ? `${option}: cannot write '${path}': ${reasonOf(error)}`
        : `${option}: cannot write '${path}': there is no folder '${folder}'`,
    );
  }
}
