/**
 * A file as a source of bytes, read on demand.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteSource } from '../byte-source.ts';
import { ImageError } from '../errors.ts';

/** A source that holds something open. */
export interface OpenSource extends ByteSource {
  /** Releases it; a second call does nothing. Reading afterwards throws `image-closed`. */
  close(): void;
}

/** The operating system's error as an `ImageError`. */
export function unreadable(path: string, error: unknown): ImageError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return new ImageError('file-unreadable', 'the file cannot be used', { path, code }, error);
}

/**
 * Reads from an open descriptor.
 * @param path the name for messages
 * @param size bytes that may be read
 * @param close releases the descriptor
 */
export function descriptorSource(fd: number, path: string, size: number, close: () => void): OpenSource {
  let open = true;
  return {
    size,
    bytes: undefined,
    read(offset: number, target: Uint8Array): void {
      if (!open) throw new ImageError('image-closed', 'the image was closed', { path });
      let done = 0;
      while (done < target.byteLength) {
        let count: number;
        try {
          count = readSync(fd, target, done, target.byteLength - done, offset + done);
        } catch (error) {
          throw unreadable(path, error);
        }
        if (count === 0) {
          const values = { path, offset: offset + done, size };
          throw new ImageError('file-changed', 'the file is shorter than when it was opened', values);
        }
        done += count;
      }
    },
    close(): void {
      if (open) close();
      open = false;
    },
  };
}

/**
 * Opens a regular file for reading. Nothing of it is read yet.
 * @throws ImageError `file-unreadable`, `file-kind`
 */
export function openFile(path: string): OpenSource {
  let fd: number;
  try {
    // Without O_NONBLOCK, opening a pipe would wait for a writer before it can be refused. Windows has no such flag.
    fd = openSync(path, (constants.O_NONBLOCK ?? 0) | constants.O_RDONLY);
  } catch (error) {
    throw unreadable(path, error);
  }
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new ImageError('file-kind', 'only regular files can be read', { path });
  }
  return descriptorSource(fd, path, stat.size, () => closeSync(fd));
}
