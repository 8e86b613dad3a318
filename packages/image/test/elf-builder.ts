/**
 * Builds ELF cores for the tests, field by field, and a slow reference for what they hold.
 */

export interface BuiltSegment {
  readonly physical: bigint;
  /** Bytes in the file. */
  readonly data: Uint8Array;
  /** Zero fill behind them. */
  readonly zeros?: bigint;
  /** Unused bytes in the file before the data, to move them off alignment. */
  readonly padding?: number;
  /** Overrides `p_offset`. */
  readonly offset?: bigint;
  /** Program header type, default PT_LOAD. */
  readonly type?: number;
}

export interface BuildOptions {
  readonly bits?: 32 | 64;
  /** Write the count of program headers the extended way, whatever it is. */
  readonly extended?: boolean;
}

/** Field offsets: [header bytes, entry bytes, section bytes, phoff, shoff, phentsize, phnum, sh_info]. */
const LAYOUT = { 32: [52, 32, 40, 28, 32, 42, 44, 28], 64: [64, 56, 64, 32, 40, 54, 56, 44] } as const;

/** An ET_CORE file: header, program headers, optionally section 0, then the data in order. */
export function buildElf(segments: readonly BuiltSegment[], options: BuildOptions = {}): Uint8Array {
  const bits = options.bits ?? 64;
  const [headerBytes, entryBytes, sectionBytes, phoff, shoff, phentsize, phnum, shInfo] = LAYOUT[bits];
  const sectionAt = headerBytes + segments.length * entryBytes;
  let end = sectionAt + (options.extended ? sectionBytes : 0);
  const offsets = segments.map(({ data, padding = 0 }) => {
    const at = end + padding;
    end = at + data.length;
    return at;
  });
  const bytes = new Uint8Array(end);
  const view = new DataView(bytes.buffer);
  const word = (at: number, value: bigint): void => {
    if (bits === 64) view.setBigUint64(at, value, true);
    else view.setUint32(at, Number(value), true);
  };
  bytes.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 243, true);
  view.setUint32(20, 1, true);
  word(phoff, BigInt(headerBytes));
  view.setUint16(phentsize, entryBytes, true);
  view.setUint16(phnum, options.extended ? 0xffff : segments.length, true);
  if (options.extended) {
    word(shoff, BigInt(sectionAt));
    view.setUint32(sectionAt + shInfo, segments.length, true);
  }
  for (const [i, { physical, data, zeros = 0n, offset, type = 1 }] of segments.entries()) {
    const at = headerBytes + i * entryBytes;
    const place = offsets[i] ?? 0;
    view.setUint32(at, type, true);
    const field = bits / 8;
    const first = bits === 64 ? at + 8 : at + 4;
    const values = [offset ?? BigInt(place), 0n, physical, BigInt(data.length), BigInt(data.length) + zeros];
    for (const [k, value] of values.entries()) word(first + k * field, value);
    bytes.set(data, place);
  }
  return bytes;
}

/** Deterministic bytes, none of them zero, so that zero fill shows. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((i * 31 + seed * 17 + (i >> 8)) % 255) + 1);
}

/** The slow reference: the byte at an address, by asking every segment. */
function byteAt(segments: readonly BuiltSegment[], address: bigint): number | undefined {
  for (const { physical, data, zeros = 0n, type = 1 } of segments) {
    const at = address - physical;
    if (type !== 1 || at < 0n || at >= BigInt(data.length) + zeros) continue;
    return at < BigInt(data.length) ? data[Number(at)] : 0;
  }
  return undefined;
}

/** The slow reference: the 8 bytes at an address as a number, `undefined` unless all are there. */
export function groupAt(segments: readonly BuiltSegment[], address: bigint): bigint | undefined {
  let value = 0n;
  for (let i = 7n; i >= 0n; i--) {
    const byte = byteAt(segments, address + i);
    if (byte === undefined) return undefined;
    value = (value << 8n) | BigInt(byte);
  }
  return value;
}
