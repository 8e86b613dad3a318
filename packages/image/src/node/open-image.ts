/**
 * Opening image files, one or several, as one memory.
 */
import { constants } from 'node:buffer';
import { type ByteSource, readUpTo } from '../byte-source.ts';
import { type SourceHint, type SourceKind, type Understood, understand } from '../detect.ts';
import type { ElfLayout } from '../elf-core.ts';
import { ImageError } from '../errors.ts';
import { INFLATE_BYTES, isGzip } from '../gzip.ts';
import type { Image, ImageKind } from '../image.ts';
import { ImageMemory, type MemoryOptions } from '../image-memory.ts';
import type { Segment } from '../segments.ts';
import { openFile } from './file-source.ts';
import { type InflateLimits, inflateFile } from './inflate-file.ts';

/** A file to open. */
export interface ImageInput extends SourceHint {
  /** Its path. */
  readonly path: string;
}

/** Options of {@link openImage}. */
export interface OpenOptions extends MemoryOptions {
  /** Most bytes of one gzip file inflated into memory; a longer one goes into a temporary file. Default 1 GiB. */
  readonly inflateBytes?: number;
  /** Most bytes that one gzip file may inflate to at all. Default 256 GiB. */
  readonly diskBytes?: number;
  /** Where temporary files are made. Default the system's directory for them. */
  readonly temporaryDirectory?: string;
}

/** One opened file. */
export interface ImageFilePart {
  readonly path: string;
  readonly kind: SourceKind;
  /** Where its bytes are read from: the file itself, or what it was inflated into. */
  readonly storage: 'file' | 'memory' | 'temporary-file';
  /** The headers of an ELF core; `undefined` for other files. */
  readonly elf: ElfLayout | undefined;
}

/** Default of `diskBytes`: more than any dump, less than a hostile file could ask for. */
const DISK_BYTES = 0x40_0000_0000;

interface OpenedPart extends ImageFilePart, Understood {
  readonly close: () => void;
}

/**
 * An open image. Files are read on demand, so they must neither change nor shrink while it is open; close it (or
 * declare it with `using`) to release them.
 */
export class ImageFile implements Image {
  /** The kind of the only file, or `combined`. */
  readonly kind: ImageKind;
  /** The memory, read-only. Windows that were handed out stay valid after {@link close}. */
  readonly memory: ImageMemory;
  /** What the memory holds, sorted by address. */
  readonly segments: readonly Segment[];
  /** The headers, if the image is a single ELF core. */
  readonly elf: ElfLayout | undefined;
  /** The files, in the order given. */
  readonly parts: readonly ImageFilePart[];
  readonly #close: () => void;

  /** Made by {@link openImage}. */
  constructor(memory: ImageMemory, parts: readonly ImageFilePart[], close: () => void) {
    const [first, second] = parts;
    this.kind = first !== undefined && second === undefined ? first.kind : 'combined';
    this.elf = second === undefined ? first?.elf : undefined;
    this.memory = memory;
    this.segments = memory.segments;
    this.parts = parts;
    this.#close = close;
  }

  /** Releases files, memory and temporary files. Reading then throws `image-closed`; a second call does nothing. */
  close(): void {
    this.memory.discard();
    this.#close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function openPart(input: ImageInput, limits: InflateLimits): Promise<OpenedPart> {
  const { path } = input;
  const file = openFile(path);
  const finish = (source: ByteSource, storage: ImageFilePart['storage'], close: () => void): OpenedPart => {
    try {
      return { ...understand(source, input, path), path, storage, close };
    } catch (error) {
      close();
      throw error;
    }
  };
  let gzip: boolean;
  try {
    gzip = input.kind !== 'raw' && isGzip(readUpTo(file, 0, 3));
  } catch (error) {
    file.close();
    throw error;
  }
  if (!gzip) return finish(file, 'file', file.close);
  try {
    const { source, storage } = await inflateFile(file, path, limits);
    return finish(source, storage, source.close);
  } finally {
    file.close();
  }
}

function limitsOf(options: OpenOptions): InflateLimits {
  const { inflateBytes = INFLATE_BYTES, diskBytes = DISK_BYTES, temporaryDirectory } = options;
  for (const [name, value] of Object.entries({ inflateBytes, diskBytes })) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new ImageError('option-range', `${name} must be a number of bytes`, { value: String(value) });
  }
  return { inflateBytes: Math.min(inflateBytes, constants.MAX_LENGTH), diskBytes, temporaryDirectory };
}

/**
 * Opens one file, or several as one memory.
 *
 * ELF cores, LiME files and kdump-compressed dumps (also flattened ones) are told by their magic; gzip files are inflated
 * once, then looked at again; anything else is raw memory and needs `base`. Files that are not compressed are never read as a whole: windows are read when asked for, and
 * `cacheBytes` of them are kept.
 * @param inputs a path, or a path with its base address, or several
 * @throws ImageError (as a rejection) `file-unreadable`, `file-kind`, `raw-needs-base`, `base-not-raw`,
 *   `empty-image`, `gzip-corrupt`, `gzip-limit`, `segment-address`, `segment-overlap`, `option-range`, and every rule
 *   that begins with `elf-`, `lime-`, `flat-` or `kdump-`; nothing stays open then
 */
export async function openImage(
  inputs: string | ImageInput | readonly (string | ImageInput)[],
  options: OpenOptions = {},
): Promise<ImageFile> {
  const list: readonly (string | ImageInput)[] = typeof inputs === 'string' || 'path' in inputs ? [inputs] : inputs;
  if (list.length === 0) throw new ImageError('empty-image', 'there is no file to open');
  const limits = limitsOf(options);
  const opened: OpenedPart[] = [];
  const close = (): void => {
    for (const part of opened) part.close();
  };
  try {
    for (const input of list) {
      opened.push(await openPart(typeof input === 'string' ? { path: input } : input, limits));
    }
    const memory = new ImageMemory(
      opened.flatMap((part) => part.segments),
      options,
    );
    const parts = opened.map(({ path, kind, storage, elf }) => ({ path, kind, storage, elf }));
    return new ImageFile(memory, parts, close);
  } catch (error) {
    close();
    throw error;
  }
}
