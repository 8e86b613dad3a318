/**
 * Rows of entries in an array of 32-bit words: how far they are alike, and changing all of one at once. The innermost
 * loops of edits: they run on integers, and what comes in is made one first.
 */
import type { Halves } from './compiled.ts';
import type { LevelCodec } from './level-codec.ts';

/** Below this many words storing zeros costs less than asking for it. */
const MANY = 32;

/**
 * Where entries end that all have one code.
 * @param from index of the first entry's first word
 * @param to behind the last entry
 * @param step words of an entry
 */
export function endOfCode(
  words: Uint32Array,
  from: number,
  to: number,
  step: number,
  codec: LevelCodec,
  code: number,
): number {
  const end = to | 0;
  let at = from | 0;
  if (step === 2) {
    while (at < end && codec.classify((words[at] as number) | 0, (words[at + 1] as number) | 0) === code) at += 2;
    return at;
  }
  while (at < end && codec.classify((words[at] as number) | 0, 0) === code) at++;
  return at;
}

/** Where entries end that all have these values in the bits of a mask; see {@link endOfCode}. */
export function endOfBits(
  words: Uint32Array,
  from: number,
  to: number,
  step: number,
  mask: Halves,
  value: Halves,
): number {
  const end = to | 0;
  const maskLo = mask.lo | 0;
  const maskHi = mask.hi | 0;
  const lo = value.lo | 0;
  const hi = value.hi | 0;
  let at = from | 0;
  if (step === 2) {
    // Four entries at a time, until one of them differs.
    for (; at + 8 <= end; at += 8) {
      const low =
        ((words[at] as number) ^ lo) |
        ((words[at + 2] as number) ^ lo) |
        ((words[at + 4] as number) ^ lo) |
        ((words[at + 6] as number) ^ lo);
      const high =
        ((words[at + 1] as number) ^ hi) |
        ((words[at + 3] as number) ^ hi) |
        ((words[at + 5] as number) ^ hi) |
        ((words[at + 7] as number) ^ hi);
      if (((low & maskLo) | (high & maskHi)) !== 0) break;
    }
    while (at < end && !((((words[at] as number) ^ lo) & maskLo) | (((words[at + 1] as number) ^ hi) & maskHi)))
      at += 2;
    return at;
  }
  while (at < end && (((words[at] as number) ^ lo) & maskLo) === 0) at++;
  return at;
}

/** Where entries end that are all zero; see {@link endOfCode}. */
export function endOfZeros(words: Uint32Array, from: number, to: number, step: number): number {
  const end = to | 0;
  let at = from | 0;
  if (step === 2) {
    // Four entries at a time, until one of them is none.
    while (at + 8 <= end && eightZeros(words, at)) at += 8;
    while (at < end && ((words[at] as number) | (words[at + 1] as number)) === 0) at += 2;
    return at;
  }
  while (at < end && words[at] === 0) at++;
  return at;
}

function eightZeros(words: Uint32Array, at: number): boolean {
  const a = (words[at] as number) | (words[at + 1] as number) | (words[at + 2] as number) | (words[at + 3] as number);
  const b =
    (words[at + 4] as number) | (words[at + 5] as number) | (words[at + 6] as number) | (words[at + 7] as number);
  return (a | b) === 0;
}

/** Changes entries: the bits of a mask stay, the others become those given. See {@link endOfCode} for the rest. */
export function rewriteWords(
  words: Uint32Array,
  from: number,
  to: number,
  step: number,
  keep: Halves,
  bits: Halves,
): void {
  const end = to | 0;
  const keepLo = keep.lo | 0;
  const keepHi = keep.hi | 0;
  const lo = bits.lo | 0;
  const hi = bits.hi | 0;
  if (to - from >= MANY && (keepLo | keepHi | lo | hi) === 0) {
    words.fill(0, from, to);
    return;
  }
  if (step === 2) {
    for (let at = from | 0; at < end; at += 2) {
      words[at] = ((words[at] as number) & keepLo) | lo;
      words[at + 1] = ((words[at + 1] as number) & keepHi) | hi;
    }
    return;
  }
  for (let at = from | 0; at < end; at++) words[at] = ((words[at] as number) & keepLo) | lo;
}
