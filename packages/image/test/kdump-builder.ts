/** Crash dumps for tests, built from their description, and pages whose compressed forms are known. */
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';

/** Ways to store a page, with the flag of its descriptor. */
export const FLAGS = { raw: 0, zlib: 1, lzo: 2, lzo999: 2, snappy: 4, zstd: 0x20 } as const;

/** A way to store a page. */
export type Method = keyof typeof FLAGS;

const text = new TextEncoder().encode(
  Array.from({ length: 400 }, (_, i) => `line ${i} of a page of text\n`)
    .join('')
    .slice(0, 4096),
);

function table(): Uint8Array {
  const words = BigUint64Array.from({ length: 512 }, (_, i) => (i % 7 === 0 ? 0n : 0x2000_00e7n + BigInt(i) * 0x400n));
  return new Uint8Array(words.buffer);
}

/** Pages by name. */
export const PAGES = {
  zeros: new Uint8Array(4096),
  table: table(),
  text,
  noise: Uint8Array.from({ length: 4096 }, (_, i) =>
    ((i >> 8) & 1) === 1 ? ((i * i * 31 + i * 7) ^ (i >> 3)) & 0xff : (i * 13) & 0x3f,
  ),
} as const;

/** A page by name. */
export type PageName = keyof typeof PAGES;

const compressed = JSON.parse(
  readFileSync(new URL('fixtures/compressed-pages.json', import.meta.url), 'utf8'),
) as Record<PageName, Record<string, string>>;

/** A page as it is stored. */
export function stored(page: PageName, method: Method): Uint8Array {
  if (method === 'raw') return PAGES[page];
  if (method === 'zlib') return new Uint8Array(deflateSync(PAGES[page]));
  return new Uint8Array(Buffer.from(compressed[page][method] as string, 'base64'));
}

/** A page of a dump. */
export interface BuiltPage {
  readonly frame: number;
  readonly page: PageName;
  readonly method: Method;
}

/** How a dump is built. */
export interface KdumpOptions {
  readonly bits?: 32 | 64;
  readonly version?: number;
  /** Frames of a part of a split dump. Not supplied: the dump is whole. */
  readonly split?: readonly [first: number, end: number];
  /** Frames that the machine has. */
  readonly frames?: number;
}

/** A kdump-compressed file with these pages of 4096 bytes, in rising order. */
export function buildKdump(pages: readonly BuiltPage[], options: KdumpOptions = {}): Uint8Array {
  const { bits = 64, version = 6, split, frames = 0x1_0000 } = options;
  const block = 4096;
  const bitmapBlocks = 2 * Math.ceil(frames / 8 / block);
  const bitmap = Buffer.alloc((bitmapBlocks / 2) * block);
  for (const { frame } of pages) bitmap[frame >> 3] = (bitmap[frame >> 3] ?? 0) | (1 << (frame & 7));
  const head = Buffer.alloc(block);
  head.write('KDUMP   ', 'latin1');
  head.writeUInt32LE(version, 8);
  const at = bits === 64 ? 424 : 412;
  for (const [i, value] of [0, block, 1, bitmapBlocks, frames].entries()) head.writeUInt32LE(value, at + i * 4);
  const sub = Buffer.alloc(block);
  const [first, end] = split ?? [0, frames];
  if (bits === 64) {
    sub.writeInt32LE(split === undefined ? 0 : 1, 12);
    const place = version >= 6 ? 80 : 16;
    sub.writeBigUInt64LE(BigInt(first), place);
    sub.writeBigUInt64LE(BigInt(end), place + 8);
    sub.writeBigUInt64LE(BigInt(frames), 96);
  } else {
    sub.writeInt32LE(split === undefined ? 0 : 1, 8);
    sub.writeUInt32LE(first, 12);
    sub.writeUInt32LE(end, 16);
  }
  const own = pages.filter(({ frame }) => frame >= first && frame < end);
  const descriptors = Buffer.alloc(own.length * 24);
  const data: Uint8Array[] = [];
  let offset = head.length + sub.length + 2 * bitmap.length + descriptors.length;
  for (const [i, { page, method }] of own.entries()) {
    const bytes = stored(page, method);
    descriptors.writeBigUInt64LE(BigInt(offset), i * 24);
    descriptors.writeUInt32LE(bytes.length, i * 24 + 8);
    descriptors.writeUInt32LE(FLAGS[method], i * 24 + 12);
    data.push(bytes);
    offset += bytes.length;
  }
  return new Uint8Array(Buffer.concat([head, sub, bitmap, bitmap, descriptors, ...data]));
}

/** A flattened file of records. */
export function buildFlattened(records: readonly { readonly at: number; readonly bytes: Uint8Array }[]): Uint8Array {
  const head = Buffer.alloc(4096);
  head.write('makedumpfile', 'latin1');
  head.writeBigInt64BE(1n, 16);
  head.writeBigInt64BE(1n, 24);
  const parts = records.flatMap(({ at, bytes }) => {
    const record = Buffer.alloc(16);
    record.writeBigInt64BE(BigInt(at), 0);
    record.writeBigInt64BE(BigInt(bytes.length), 8);
    return [record, bytes];
  });
  const end = Buffer.alloc(16, 0xff);
  return new Uint8Array(Buffer.concat([head, ...parts, end]));
}
