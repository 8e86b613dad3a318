/**
 * Images from buffers: the browser-safe side of the package.
 */
import { bufferSource } from './byte-source.ts';
import { type SourceHint, type SourceKind, type Understood, understand } from './detect.ts';
import type { ElfLayout } from './elf-core.ts';
import { ImageError } from './errors.ts';
import { gunzip, INFLATE_BYTES, isGzip } from './gzip.ts';
import { ImageMemory, type MemoryOptions } from './image-memory.ts';
import type { Segment } from './segments.ts';

/** What an image was made from. */
export type ImageKind = SourceKind | 'combined';

/** A memory image. */
export interface Image {
  readonly kind: ImageKind;
  /** Its memory, read-only. */
  readonly memory: ImageMemory;
  /** What the memory holds, sorted by address. */
  readonly segments: readonly Segment[];
  /** The headers of an ELF core; `undefined` for other kinds. */
  readonly elf: ElfLayout | undefined;
}

/** Options of the functions that read buffers. */
export interface ReadOptions extends MemoryOptions {
  /** What to call the image in error messages and in `Segment.origin`. Default `image`. */
  readonly name?: string;
}

function toImage({ kind, segments, elf }: Understood, options: ReadOptions): Image {
  const memory = new ImageMemory(segments, options);
  return { kind, memory, segments: memory.segments, elf };
}

/**
 * An ELF core (ELF32 or ELF64, little-endian, ET_CORE): every PT_LOAD stands at its `p_paddr`; what `p_memsz` has
 * beyond `p_filesz` reads zero. The bytes are not copied and must not change.
 * @param bytes the whole file
 * @throws ImageError `not-elf`, every rule that begins with `elf-`, `segment-address`, `segment-overlap`
 */
export function readElfCore(bytes: Uint8Array, options: ReadOptions = {}): Image {
  return toImage(understand(bufferSource(bytes), { kind: 'elf-core' }, options.name ?? 'image'), options);
}

/**
 * Raw bytes at one physical address. The bytes are not copied and must not change.
 * @param bytes the memory
 * @param base physical address of the first byte, 0 to 2^56 less the length
 * @throws ImageError `empty-image`, `segment-address`
 */
export function readRaw(bytes: Uint8Array, base: bigint, options: ReadOptions = {}): Image {
  return toImage(understand(bufferSource(bytes), { kind: 'raw', base }, options.name ?? 'image'), options);
}

/** Options of {@link readImage}. */
export interface ReadImageOptions extends ReadOptions, SourceHint {
  /** Most bytes that gzip data may inflate to. Default 1 GiB. */
  readonly inflateBytes?: number;
}

/**
 * Any image: gzip data are inflated; then ELF cores, LiME files and kdump-compressed dumps (also flattened ones) are told
 * by their magic, and anything else is raw memory, which needs `base`.
 * @param bytes the whole file
 * @throws ImageError (as a rejection) `raw-needs-base`, `base-not-raw`, what {@link gunzip}, {@link readElfCore} and
 *   {@link readRaw} throw, and every rule that begins with `lime-`, `flat-` or `kdump-`
 */
export async function readImage(bytes: Uint8Array, options: ReadImageOptions = {}): Promise<Image> {
  const inflate = options.kind !== 'raw' && isGzip(bytes);
  const plain = inflate ? await gunzip(bytes, options.inflateBytes ?? INFLATE_BYTES) : bytes;
  return toImage(understand(bufferSource(plain), options, options.name ?? 'image'), options);
}

/**
 * Several images as one memory, for instance one raw file for each bank. The result reads through to the images'
 * bytes, with a cache of its own.
 * @param images at least one; none may overlap another
 * @throws ImageError `empty-image`, `segment-overlap`, `option-range`
 */
export function combineImages(images: readonly Image[], options: MemoryOptions = {}): Image {
  if (images.length === 0) throw new ImageError('empty-image', 'there is no image to combine');
  const memory = new ImageMemory(
    images.flatMap((image) => image.memory.sourced()),
    options,
  );
  return { kind: 'combined', memory, segments: memory.segments, elf: undefined };
}
