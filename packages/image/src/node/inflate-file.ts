/**
 * Inflating a gzip file once: into memory up to a limit, beyond it into a temporary file.
 */
import { ftruncateSync, writeSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type ByteSource, bufferSource, readUpTo } from '../byte-source.ts';
import { ImageError } from '../errors.ts';
import { descriptorSource, type OpenSource, unreadable } from './file-source.ts';
import { type TemporaryFile, temporaryFile } from './temporary-file.ts';

/** Limits of inflating. */
export interface InflateLimits {
  /** Most bytes inflated into memory; a longer file goes into a temporary file. */
  readonly inflateBytes: number;
  /** Most bytes inflated at all. */
  readonly diskBytes: number;
  /** Where the temporary file is made. */
  readonly temporaryDirectory: string | undefined;
}

/** An inflated file. */
export interface Inflated {
  readonly source: OpenSource;
  readonly storage: 'memory' | 'temporary-file';
}

const READ_BYTES = 0x4_0000;
const ZEROS = new Uint8Array(READ_BYTES);

function* fileChunks(source: ByteSource): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < source.size; at += READ_BYTES) yield readUpTo(source, at, READ_BYTES);
}

/** First guess of the inflated length: the trailer's (RFC 1952 ISIZE), true for one member below 4 GiB. */
function lengthHint(source: ByteSource, limit: number): number {
  const trailer = readUpTo(source, Math.max(0, source.size - 4), 4);
  const hint = trailer.reduceRight((value, byte) => value * 256 + byte, 0);
  // Deflate cannot shrink by more than about 1032 to 1, so a wild trailer asks for little.
  return Math.min(hint, limit, source.size * 1032);
}

/** Collects bytes in memory, and moves to a temporary file when they become too many. */
class Sink {
  readonly #limits: InflateLimits;
  #buffer: Uint8Array;
  #file: TemporaryFile | undefined;
  #length = 0;

  constructor(limits: InflateLimits, hint: number) {
    this.#limits = limits;
    this.#buffer = new Uint8Array(hint);
  }

  add(chunk: Uint8Array): void {
    const length = this.#length + chunk.byteLength;
    const { inflateBytes, diskBytes } = this.#limits;
    if (length > Math.max(inflateBytes, diskBytes)) {
      throw new ImageError('gzip-limit', 'the gzip data inflate to more than the limit', { limit: diskBytes });
    }
    if (this.#file === undefined && length > inflateBytes) {
      this.#file = this.#makeFile();
      this.#write(this.#file.fd, this.#buffer.subarray(0, this.#length), 0);
      this.#buffer = new Uint8Array(0);
    }
    if (this.#file !== undefined) {
      this.#write(this.#file.fd, chunk, this.#length);
    } else {
      if (length > this.#buffer.byteLength) this.#grow(length);
      this.#buffer.set(chunk, this.#length);
    }
    this.#length = length;
  }

  /** What was collected; the sink must not be used any more. */
  finish(path: string): Inflated {
    const file = this.#file;
    if (file === undefined) {
      const source = bufferSource(this.#buffer.subarray(0, this.#length));
      return { source: { ...source, close: () => undefined }, storage: 'memory' };
    }
    ftruncateSync(file.fd, this.#length);
    return {
      source: descriptorSource(file.fd, `${path} (inflated)`, this.#length, file.close),
      storage: 'temporary-file',
    };
  }

  abandon(): void {
    this.#file?.close();
  }

  #makeFile(): TemporaryFile {
    const { temporaryDirectory } = this.#limits;
    try {
      return temporaryFile(temporaryDirectory);
    } catch (error) {
      throw unreadable(temporaryDirectory ?? 'the directory for temporary files', error);
    }
  }

  #grow(length: number): void {
    const grown = new Uint8Array(Math.min(Math.max(2 * length, 0x1_0000), this.#limits.inflateBytes));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }

  #write(fd: number, chunk: Uint8Array, position: number): void {
    for (let done = 0; done < chunk.byteLength; ) {
      const slice = chunk.subarray(done, done + READ_BYTES);
      // Dumps are mostly zeros: leaving them out keeps the file sparse, and it gets its length in the end.
      const zero = Buffer.compare(slice, ZEROS.subarray(0, slice.byteLength)) === 0;
      done += zero ? slice.byteLength : writeSync(fd, slice, 0, slice.byteLength, position + done);
    }
  }
}

/** What failed: our own errors as they are, the inflater's as `gzip-corrupt`, the rest as the system's. */
function failure(path: string, error: unknown): ImageError {
  if (error instanceof ImageError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!code.startsWith('Z_')) return unreadable(path, error);
  return new ImageError('gzip-corrupt', 'the gzip data are damaged or truncated', { path, code }, error);
}

/**
 * Inflates a gzip file, all its members.
 * @param source the compressed file; stays open
 * @param path its name, for messages
 * @throws ImageError (as a rejection) `gzip-corrupt`, `gzip-limit`, and `file-unreadable` where the temporary file
 *   cannot be written
 */
export async function inflateFile(source: ByteSource, path: string, limits: InflateLimits): Promise<Inflated> {
  const sink = new Sink(limits, lengthHint(source, limits.inflateBytes));
  try {
    const gunzip = createGunzip({ chunkSize: READ_BYTES });
    await pipeline(Readable.from(fileChunks(source)), gunzip, async (chunks: AsyncIterable<Uint8Array>) => {
      for await (const chunk of chunks) sink.add(chunk);
    });
    return sink.finish(path);
  } catch (error) {
    sink.abandon();
    throw failure(path, error);
  }
}
