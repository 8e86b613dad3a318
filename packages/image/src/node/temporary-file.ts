/**
 * A private temporary file that does not outlive its use.
 */
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** An open temporary file. */
export interface TemporaryFile {
  /** Open for reading and writing. */
  readonly fd: number;
  /** Where it stands, `undefined` if it has no name any more. */
  readonly path: string | undefined;
  /** Closes and removes it; a second call does nothing. */
  close(): void;
}

/** Files that still have a name, removed when the process exits. */
const named = new Set<() => void>();

function removeAll(): void {
  for (const remove of named) remove();
}

/**
 * Makes an empty temporary file that only this user can read.
 *
 * Its name is removed at once where the system allows that for an open file, so that not even a killed process leaves
 * it behind; elsewhere it is removed on close and when the process exits.
 * @param directory where; default the system's directory for temporary files
 * @param unlink removes a directory entry at once, or throws; replaced in tests
 * @throws the operating system's errors
 */
export function temporaryFile(directory: string = tmpdir(), unlink: (path: string) => void = rmSync): TemporaryFile {
  const folder = mkdtempSync(join(directory, 'pagefold-'));
  const path = join(folder, 'image');
  let fd: number;
  try {
    fd = openSync(path, 'wx+', 0o600);
  } catch (error) {
    rmdirSync(folder);
    throw error;
  }
  let open = true;
  const close = (): void => {
    if (open) closeSync(fd);
    open = false;
  };
  try {
    unlink(path);
    rmdirSync(folder);
    return { fd, path: undefined, close };
  } catch {
    const remove = (): void => {
      named.delete(remove);
      if (named.size === 0) process.off('exit', removeAll);
      close();
      rmSync(folder, { recursive: true, force: true });
    };
    if (named.size === 0) process.on('exit', removeAll);
    named.add(remove);
    return { fd, path, close: remove };
  }
}
