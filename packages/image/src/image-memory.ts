/**
 * Segments as core's `Memory`: read-only, read on demand, with a bounded cache of copied windows.
 */
import { type Memory, type MemoryWindow, ReadOnlyMemoryError } from '@pagefold/core';
import { LITTLE_ENDIAN_HOST, toHostWords } from './byte-source.ts';
import { ImageError } from './errors.ts';
import { cutPieces, type Piece, type Segment, type SourcedSegment, sortSegments } from './segments.ts';

/** How much an image keeps in memory. */
export interface MemoryOptions {
  /** Bytes of one copied window: a multiple of 8, 4 KiB to 16 MiB. Default 64 KiB. */
  readonly windowBytes?: number;
  /** Bytes of copied windows kept for reuse, at least `windowBytes`. Default 64 MiB. */
  readonly cacheBytes?: number;
}

const WINDOW_BYTES = 0x1_0000;
const CACHE_BYTES = 0x400_0000;

/** Copied windows, the least recently used one dropped first. A `Map` keeps the order of insertion. */
class WindowCache {
  readonly #windows = new Map<number, MemoryWindow>();
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: number): MemoryWindow | undefined {
    const window = this.#windows.get(key);
    if (window === undefined) return undefined;
    this.#windows.delete(key);
    this.#windows.set(key, window);
    return window;
  }

  add(key: number, window: MemoryWindow): void {
    this.#windows.set(key, window);
    this.#bytes += window.words.byteLength;
    for (const [oldest, dropped] of this.#windows) {
      if (this.#bytes <= this.#limit) break;
      this.#windows.delete(oldest);
      this.#bytes -= dropped.words.byteLength;
    }
  }

  clear(): void {
    this.#windows.clear();
    this.#bytes = 0;
  }
}

function checkOption(name: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high && value % 8 === 0) return value;
  throw new ImageError('option-range', `${name} is out of range`, { value: String(value), low, high });
}

/**
 * Read-only physical memory made of segments.
 *
 * Bytes that are in memory already, at a file offset that suits (a multiple of 4 where the address is a multiple of
 * 8), are served as one window without a copy. Everything else is copied, `windowBytes` at a time, into windows of
 * which the last used are kept; a window that was handed out stays valid when it is dropped. Every aligned 8-byte
 * group whose eight bytes are all there can be read, also across the border of two segments; a group that is only
 * partly there is no memory.
 */
export class ImageMemory implements Memory {
  /** The segments, sorted by address. */
  readonly segments: readonly Segment[];
  #sourced: readonly SourcedSegment[];
  #pieces: readonly Piece[];
  /** Where each piece starts, for the search. */
  #starts: Float64Array;
  /** Key of each piece's first window; the further ones follow. */
  readonly #keys: Float64Array;
  /** Windows without a copy, by piece. */
  readonly #views: (MemoryWindow | undefined)[] = [];
  readonly #windowBytes: number;
  readonly #zeros: Uint32Array;
  readonly #cache: WindowCache;
  #last: MemoryWindow | undefined;
  #lastEnd = 0;
  #discarded = false;

  /**
   * @param segments in any order
   * @throws ImageError `segment-address`, `segment-overlap`, `option-range`
   */
  constructor(segments: readonly SourcedSegment[], options: MemoryOptions = {}) {
    const { windowBytes = WINDOW_BYTES, cacheBytes = Math.max(CACHE_BYTES, windowBytes) } = options;
    this.#windowBytes = checkOption('windowBytes', windowBytes, 0x1000, 0x100_0000);
    this.#cache = new WindowCache(checkOption('cacheBytes', cacheBytes, windowBytes, Number.MAX_SAFE_INTEGER));
    this.#sourced = sortSegments(segments);
    this.segments = this.#sourced.map(({ start, end, stored, origin }) => ({ start, end, stored, origin }));
    this.#pieces = cutPieces(this.#sourced);
    this.#starts = Float64Array.from(this.#pieces, (piece) => piece.start);
    this.#keys = new Float64Array(this.#pieces.length);
    let key = 0;
    for (const [i, { start, end }] of this.#pieces.entries()) {
      this.#keys[i] = key;
      key += Math.ceil((end - start) / windowBytes);
    }
    this.#zeros = new Uint32Array(windowBytes / 4);
  }

  /** Bytes of copied windows that the cache holds now. */
  get cachedBytes(): number {
    return this.#cache.bytes;
  }

  /**
   * @throws ImageError `file-unreadable`, `file-changed` when a file fails under the image; `image-closed` after
   *   {@link discard}
   */
  window(address: number): MemoryWindow | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.base && address < this.#lastEnd) return last;
    if (this.#discarded) throw new ImageError('image-closed', 'the image was closed', { address });
    const index = this.#find(address);
    const piece = this.#pieces[index];
    if (piece === undefined || !(address < piece.end)) return undefined;
    const window = this.#windowOf(piece, index, address);
    this.#last = window;
    this.#lastEnd = window.base + window.words.byteLength;
    return window;
  }

  /** @throws ReadOnlyMemoryError always */
  writable(address: number): MemoryWindow {
    throw new ReadOnlyMemoryError('read-only', 'an image cannot be written', { address });
  }

  /**
   * The segments with their bytes, to build another memory from.
   * @throws ImageError `image-closed`
   */
  sourced(): readonly SourcedSegment[] {
    if (this.#discarded) throw new ImageError('image-closed', 'the image was closed');
    return this.#sourced;
  }

  /** Lets go of every window and every byte; reading throws `image-closed` from now on. */
  discard(): void {
    this.#discarded = true;
    this.#last = undefined;
    this.#sourced = [];
    this.#pieces = [];
    this.#starts = new Float64Array();
    this.#views.length = 0;
    this.#cache.clear();
  }

  /** Index of the last piece that starts at or below the address, or -1. */
  #find(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #windowOf(piece: Piece, index: number, address: number): MemoryWindow {
    const view = this.#views[index] ?? this.#view(piece, index);
    if (view !== undefined) return view;
    const number = Math.floor((address - piece.start) / this.#windowBytes);
    const base = piece.start + number * this.#windowBytes;
    const bytes = Math.min(this.#windowBytes, piece.end - base);
    // Zeros are shared by all windows that show them, and so cost nothing.
    if (piece.source === undefined && piece.seam === undefined) {
      return { base, words: this.#zeros.subarray(0, bytes / 4) };
    }
    const key = (this.#keys[index] as number) + number;
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached;
    const window = { base, words: new Uint32Array(bytes / 4) };
    this.#fill(piece, base, new Uint8Array(window.words.buffer));
    toHostWords(window.words);
    this.#cache.add(key, window);
    return window;
  }

  /** The whole piece as a view of the bytes in memory, where the host can do that. */
  #view(piece: Piece, index: number): MemoryWindow | undefined {
    const bytes = piece.source?.bytes;
    if (bytes === undefined || !LITTLE_ENDIAN_HOST) return undefined;
    const at = bytes.byteOffset + piece.offset;
    if (at % 4 !== 0) return undefined;
    const window = { base: piece.start, words: new Uint32Array(bytes.buffer, at, (piece.end - piece.start) / 4) };
    this.#views[index] = window;
    return window;
  }

  #fill(piece: Piece, base: number, target: Uint8Array): void {
    piece.source?.read(piece.offset + (base - piece.start), target);
    for (const { start, end, source, offset } of piece.seam ?? []) {
      const at = Number(start & 7n);
      source?.read(offset, target.subarray(at, at + Number(end - start)));
    }
  }
}
