/**
 * Writing rows of entries that differ by a constant: the innermost loops of every mapping.
 *
 * An entry of 64 bits would be one store in most languages; in ours it is two, one a half, and rows of entries are bound
 * by their stores. Long rows are therefore written as doubles, eight bytes at a time: while sign and exponent stay the
 * same, adding to a double adds to the integer that its bits are, exactly. Numbers so small that they have no implied
 * one work as well. Only the bits of infinities and NaNs do not, and take the way of two stores.
 */

/** Below this many entries looking at memory as doubles costs more than it saves. */
const MANY = 64;

/** Bits of the high half that are all one in an infinity or a NaN. */
const NOT_FINITE = 0x7ff0_0000;

const scratch: Float64Array = new Float64Array(1);
const scratchWords: Uint32Array = new Uint32Array(scratch.buffer);

/** The double that two halves are. */
function doubleOf(lo: number, hi: number): number {
  scratchWords[0] = lo;
  scratchWords[1] = hi;
  return scratch[0] as number;
}

/** Words as doubles. Remembers the last ones: tables that are filled one after the other often share an array. */
export class DoubleView {
  #words: Uint32Array | undefined;
  #doubles: Float64Array | undefined;

  /** The same memory as doubles, as many as are whole; `undefined` where it does not begin at a multiple of 8. */
  of(words: Uint32Array): Float64Array | undefined {
    if (words !== this.#words) {
      this.#words = words;
      const { buffer, byteOffset, length } = words;
      this.#doubles = byteOffset % 8 === 0 ? new Float64Array(buffer, byteOffset, length >> 1) : undefined;
    }
    return this.#doubles;
  }
}

// The loops below run on integers: what comes in was computed as doubles, and would stay so.

/** Entries of one word, each the one before plus a constant. */
export function fillNarrow(words: Uint32Array, at: number, slots: number, first: number, step: number): void {
  const end = (at + slots) | 0;
  let word = first | 0;
  for (let i = at | 0; i < end; i++) {
    words[i] = word;
    word = (word + step) | 0;
  }
}

/**
 * Entries of two words: the high halves are equal, each low half is the one before plus a constant.
 * @param at index of the first entry's first word
 * @param first low half of the first entry; no later one carries into the high half
 * @param view remembers how these words look as doubles; for those who fill more of them
 */
export function fillWide(
  words: Uint32Array,
  at: number,
  slots: number,
  first: number,
  hi: number,
  step: number,
  view?: DoubleView,
): void {
  const finite = (hi & NOT_FINITE) !== NOT_FINITE;
  const doubles =
    slots >= MANY && finite && step !== 0 && (at & 1) === 0 ? (view ?? new DoubleView()).of(words) : undefined;
  if (doubles === undefined) fillPairs(words, at, slots, first, hi, step);
  else fillDoubles(doubles, at / 2, slots, doubleOf(first, hi), doubleOf(step, hi) - doubleOf(0, hi));
}

function fillPairs(words: Uint32Array, at: number, slots: number, first: number, hi: number, step: number): void {
  const end = (at + slots * 2) | 0;
  const high = hi | 0;
  let word = first | 0;
  for (let i = at | 0; i < end; i += 2) {
    words[i] = word;
    words[i + 1] = high;
    word = (word + step) | 0;
  }
}

function fillDoubles(doubles: Float64Array, at: number, slots: number, first: number, step: number): void {
  const end = (at + slots) | 0;
  let value = first;
  for (let i = at | 0; i < end; i++) {
    doubles[i] = value;
    value += step;
  }
}
