/**
 * A small seeded generator, so that every run of a check can be repeated: splitmix32 (public domain, after Steele, Lea
 * and Flood, "Fast splittable pseudorandom number generators"). Good enough to choose test input, for nothing else.
 */

/** Repeatable random numbers. */
export class Random {
  #state: number;

  /** @param seed any integer; its low 32 bits count */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 32 random bits as an unsigned number. */
  word(): number {
    this.#state = (this.#state + 0x9e37_79b9) | 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0_aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a_2d97);
    return (x ^ (x >>> 15)) >>> 0;
  }

  /** A whole number from 0 up to, not including, `limit` (at most 2^32). */
  below(limit: number): number {
    return Math.floor((this.word() / 2 ** 32) * limit);
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** `count` random bits. */
  bits(count: number): bigint {
    let value = 0n;
    for (let have = 0; have < count; have += 32) value = (value << 32n) | BigInt(this.word());
    return BigInt.asUintN(count, value);
  }

  /** A number from 0 up to, not including, `limit`. */
  belowBig(limit: bigint): bigint {
    return this.bits(limit.toString(2).length + 32) % limit;
  }

  /** True once in `outOf` times. */
  once(outOf: number): boolean {
    return this.below(outOf) === 0;
  }

  /** One of some values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
}

/** A number that stands for a text, to give each check random numbers of its own. */
export function textSeed(text: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash | 0;
}
