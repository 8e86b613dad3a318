/** Writing many leaves of one shape at once: the inner loop of every mapping. */
import { halves } from './compiled.ts';
import type { CompiledShape } from './level-codec.ts';

/**
 * Fills slots with leaves of one shape whose addresses rise by the entry size.
 * @param words the array that holds the slots
 * @param at index of the first slot's first word
 * @param slots how many slots
 * @param entryBytes 4 or 8
 * @param compiled the leaf's shape
 * @param bits entry bits outside the address
 * @param pa physical address of the first slot, exact
 */
export function fillLeaves(
  words: Uint32Array,
  at: number,
  slots: number,
  entryBytes: 4 | 8,
  compiled: CompiledShape,
  bits: bigint,
  pa: number,
): void {
  const { address, entryBytes: span } = compiled;
  const { lo, hi } = halves(bits);
  const last = pa + (slots - 1) * span;
  const firstLo = address.encodeLo(pa);
  const step = slots > 1 ? address.encodeLo(pa + span) - firstLo : 0;
  const high = address.encodeHi(pa);
  if (step > 0 && address.encodeHi(last) === high && address.encodeLo(last) - firstLo === step * (slots - 1)) {
    fillLinear(words, at, slots, entryBytes, lo | firstLo, hi | high, step);
    return;
  }
  // Split addresses, entries that map 4 GiB and more, and runs whose entries all store the run's address (the codec
  // drops what lies below it).
  for (let i = 0; i < slots; i++) {
    const own = pa + i * span;
    put(words, at, i, entryBytes, lo | address.encodeLo(own), hi | address.encodeHi(own));
  }
}

function put(words: Uint32Array, at: number, slot: number, entryBytes: 4 | 8, lo: number, hi: number): void {
  if (entryBytes === 4) {
    words[at + slot] = lo;
  } else {
    words[at + slot * 2] = lo;
    words[at + slot * 2 + 1] = hi;
  }
}

/** The address stays within one piece of the low half: each entry is the one before plus a constant. */
function fillLinear(
  words: Uint32Array,
  at: number,
  slots: number,
  entryBytes: 4 | 8,
  lo: number,
  hi: number,
  step: number,
): void {
  let word = lo | 0;
  if (entryBytes === 4) {
    for (let i = at; i < at + slots; i++) {
      words[i] = word;
      word = (word + step) | 0;
    }
    return;
  }
  const end = at + slots * 2;
  for (let i = at; i < end; i += 2) {
    words[i] = word;
    words[i + 1] = hi;
    word = (word + step) | 0;
  }
}
