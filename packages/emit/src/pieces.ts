/**
 * Pieces of physical memory as bytes, copied out of a `Memory`.
 */
import { type Memory, type MemoryWindow, type PhysAddr, phys } from '@pagefold/core';
import { EmitError } from './errors.ts';

/** Consecutive bytes of physical memory. */
export interface MemoryPiece {
  /** Physical address of the first byte. */
  readonly address: PhysAddr | bigint;
  readonly bytes: Uint8Array;
}

/** A half-open range of physical addresses. */
export interface PhysicalRange {
  readonly start: PhysAddr | bigint;
  readonly end: PhysAddr | bigint;
}

/** Options of {@link readPieces}. */
export interface ReadPiecesOptions {
  /**
   * What if part of a range lies outside memory: `refuse` with an EmitError, or `skip` it, so that a range may give
   * several pieces or none. Holes are looked through 8 bytes at a time. Not supplied: `refuse`.
   */
  readonly missing?: 'refuse' | 'skip';
}

/** Memory comes in aligned groups of this many bytes. */
const GROUP = 8;
/** More in one array is a mistake. */
const MAX_BYTES = 2 ** 32;

/**
 * Sorts ranges by address and joins those that overlap or touch.
 * @throws EmitError `range-align`
 */
export function joinRanges(ranges: readonly PhysicalRange[]): { start: bigint; end: bigint }[] {
  const sorted = [...ranges].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const joined: { start: bigint; end: bigint }[] = [];
  for (const { start, end } of sorted) {
    if (start < 0n || start >= end || end > 1n << 56n || start % 8n !== 0n || end % 8n !== 0n) {
      throw new EmitError('range-align', 'a range needs 0 <= start < end <= 2^56 in multiples of 8', { start, end });
    }
    const last = joined[joined.length - 1];
    if (last === undefined || start > last.end) joined.push({ start, end });
    else if (end > last.end) last.end = end;
  }
  return joined;
}

/** Copies words as little-endian bytes, whatever the host's order is. */
function copyWords(window: MemoryWindow, from: number, to: number, target: DataView, at: number): void {
  const first = (from - window.base) / 4;
  const count = (to - from) / 4;
  for (let i = 0; i < count; i++) target.setUint32(at + i * 4, window.words[first + i] as number, true);
}

function readRange(memory: Memory, start: number, end: number, skip: boolean, pieces: MemoryPiece[]): void {
  const bytes = new Uint8Array(end - start);
  const view = new DataView(bytes.buffer);
  let from = start;
  const close = (to: number): void => {
    if (to > from) pieces.push({ address: phys(from), bytes: bytes.subarray(from - start, to - start) });
  };
  for (let at = start; at < end; ) {
    const window = memory.window(at);
    if (window === undefined) {
      if (!skip) throw new EmitError('no-memory', 'no memory there', { address: at, start, end });
      close(at);
      at += GROUP;
      from = at;
      continue;
    }
    const to = Math.min(window.base + window.words.length * 4, end);
    copyWords(window, at, to, view, at - start);
    at = to;
  }
  close(end);
}

/**
 * Copies ranges of memory.
 * @param ranges in multiples of 8, in any order; ranges that overlap or touch give one piece
 * @returns pieces in rising order, none touching another
 * @throws EmitError `range-align`, `range-large`, `no-memory`
 */
export function readPieces(
  memory: Memory,
  ranges: readonly PhysicalRange[],
  options: ReadPiecesOptions = {},
): MemoryPiece[] {
  const pieces: MemoryPiece[] = [];
  for (const { start, end } of joinRanges(ranges)) {
    if (end - start > BigInt(MAX_BYTES)) {
      throw new EmitError('range-large', 'a range is larger than one piece can be', { start, end, limit: MAX_BYTES });
    }
    readRange(memory, Number(start), Number(end), options.missing === 'skip', pieces);
  }
  return pieces;
}
