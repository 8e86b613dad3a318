/**
 * Where the bytes of an image come from: a buffer here, a file in the Node entry.
 */
import { ImageError } from './errors.ts';

/** Random access to a fixed number of bytes. */
export interface ByteSource {
  /** Bytes in all: an exact non-negative integer. */
  readonly size: number;
  /** All bytes, where they are in memory anyway; windows may then be views of them. */
  readonly bytes: Uint8Array | undefined;
  /**
   * Fills `target` with the bytes from `offset` on.
   * @throws ImageError `file-changed` where the source has not that many bytes (any more), `file-unreadable`,
   *   `image-closed`
   */
  read(offset: number, target: Uint8Array): void;
}

/**
 * A buffer as a source. The bytes are not copied: whoever changes them changes the image.
 * @param bytes any bytes
 */
export function bufferSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.byteLength,
    bytes,
    read(offset: number, target: Uint8Array): void {
      if (offset + target.byteLength > bytes.byteLength) {
        throw new ImageError('file-changed', 'a read passes the end', { offset, length: target.byteLength });
      }
      target.set(bytes.subarray(offset, offset + target.byteLength));
    },
  };
}

/**
 * The bytes from `offset` on, at most `length` of them and fewer at the end of the source.
 * @throws what {@link ByteSource.read} throws
 */
export function readUpTo(source: ByteSource, offset: number, length: number): Uint8Array {
  const target = new Uint8Array(Math.max(0, Math.min(length, source.size - offset)));
  if (target.length > 0) source.read(offset, target);
  return target;
}

/** Whether typed arrays on this host hold little-endian words. */
export const LITTLE_ENDIAN_HOST: boolean = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/**
 * Turns little-endian words, freshly read, into words of this host, in place.
 * @param words words whose bytes are in file order
 * @param littleEndian whether this host is little-endian, in which case nothing happens
 */
export function toHostWords(words: Uint32Array, littleEndian: boolean = LITTLE_ENDIAN_HOST): void {
  if (littleEndian) return;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    words[i] = (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
  }
}
