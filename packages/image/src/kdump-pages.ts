/** The pages of a kdump-compressed dump as bytes at their physical addresses, inflated when they are read. */
import { unzlibSync } from 'fflate';
import { decompress as inflateZstd } from 'fzstd';
import { type ByteSource, readUpTo } from './byte-source.ts';
import { ImageError } from './errors.ts';
import { inflateLzo } from './lzo.ts';
import { inflateSnappy } from './snappy.ts';

/** Bytes of a page descriptor: offset and size of the data, flags, flags of the kernel. */
export const PAGE_DESCRIPTOR_BYTES = 24;

/** Compressions, by flag of a descriptor. Each answers how many bytes it made. */
const INFLATERS: readonly (readonly [flag: number, name: string, (bytes: Uint8Array, page: Uint8Array) => number])[] = [
  [0x01, 'zlib', (bytes, page) => unzlibSync(bytes, { out: page }).length],
  [0x02, 'lzo', inflateLzo],
  [0x04, 'snappy', inflateSnappy],
  [0x20, 'zstd', (bytes, page) => inflateZstd(bytes, page).length],
];

/** Pages whose set bits are counted together: 64 bytes of the bitmap. */
const COUNTED = 512;

/** What there is to know of the file. */
export interface KdumpFile {
  readonly name: string;
  readonly pageBytes: number;
  /** A bit for each frame that is in the file. */
  readonly bitmap: Uint8Array;
  /** The frames that descriptors were written for, half-open. */
  readonly first: number;
  readonly end: number;
  readonly descriptorsAt: number;
}

function ones(byte: number): number {
  let left = byte;
  let count = 0;
  for (; left !== 0; left &= left - 1) count++;
  return count;
}

/** The pages of a dump; an offset is a physical address. */
export class KdumpPages implements ByteSource {
  readonly size: number;
  readonly bytes = undefined;
  readonly #source: ByteSource;
  readonly #file: KdumpFile;
  /** Set bits from the first frame up to each group of {@link COUNTED} frames. */
  readonly #before: Uint32Array;

  constructor(source: ByteSource, file: KdumpFile) {
    this.#source = source;
    this.#file = file;
    this.size = file.end * file.pageBytes;
    this.#before = new Uint32Array(Math.ceil(file.end / COUNTED) + 1);
    let count = 0;
    for (let group = 0; group < this.#before.length; group++) {
      this.#before[group] = count;
      count += this.#ones(group * COUNTED, Math.min((group + 1) * COUNTED, file.end));
    }
  }

  read(offset: number, target: Uint8Array): void {
    const { pageBytes } = this.#file;
    const first = Math.floor(offset / pageBytes);
    const end = Math.ceil((offset + target.length) / pageBytes);
    // Pages that stand together have descriptors that do.
    const at = this.#file.descriptorsAt + this.#rank(first) * PAGE_DESCRIPTOR_BYTES;
    const bytes = readUpTo(this.#source, at, (end - first) * PAGE_DESCRIPTOR_BYTES);
    const descriptors = new DataView(bytes.buffer, bytes.byteOffset);
    for (let frame = first; frame < end; frame++) {
      const page = this.#page(frame, descriptors, (frame - first) * PAGE_DESCRIPTOR_BYTES);
      const start = frame * pageBytes;
      const from = Math.max(offset - start, 0);
      const to = Math.min(offset + target.length - start, pageBytes);
      target.set(page.subarray(from, to), start + from - offset);
    }
  }

  /** Set bits of frames; both ends within one group. */
  #ones(first: number, end: number): number {
    const { bitmap, first: start } = this.#file;
    let count = 0;
    for (let at = Math.max(first, start); at < end; ) {
      const byte = bitmap[at >> 3] ?? 0;
      if ((at & 7) === 0 && at + 8 <= end) {
        count += ones(byte);
        at += 8;
      } else {
        count += (byte >> (at & 7)) & 1;
        at++;
      }
    }
    return count;
  }

  /** How many pages before a frame are in the file. */
  #rank(frame: number): number {
    const group = Math.floor(frame / COUNTED);
    return (this.#before[group] as number) + this.#ones(group * COUNTED, frame);
  }

  #page(frame: number, descriptors: DataView, at: number): Uint8Array {
    const { name, pageBytes } = this.#file;
    const offset = descriptors.getBigUint64(at, true);
    const size = descriptors.getUint32(at + 8, true);
    const flags = descriptors.getUint32(at + 12, true);
    const values = { origin: name, address: frame * pageBytes, offset, size, flags };
    if (offset + BigInt(size) > BigInt(this.#source.size)) {
      throw new ImageError('kdump-truncated', 'the data of a page lie behind the end of the dump', values);
    }
    if (size > 2 * pageBytes) throw new ImageError('kdump-page', 'a page takes more bytes than it has', values);
    const data = readUpTo(this.#source, Number(offset), size);
    const inflater = INFLATERS.find(([flag]) => (flags & flag) !== 0);
    if (inflater === undefined) {
      if (size === pageBytes) return data;
      throw new ImageError('kdump-page', 'a page that is not compressed has not the size of one', values);
    }
    const [, method, inflate] = inflater;
    const page = new Uint8Array(pageBytes);
    let made: number;
    try {
      made = inflate(data, page);
    } catch (error) {
      throw new ImageError('kdump-page', `the ${method} data of a page are damaged`, values, error);
    }
    if (made === pageBytes) return page;
    throw new ImageError('kdump-page', `the ${method} data of a page are no whole page`, { ...values, made });
  }
}
