/** What tables do to the leaves below them, by the bits that matter: the same few answers for thousands of tables. */
import { rangesMask } from './bits.ts';
import { type Halves, halves, join } from './compiled.ts';
import { accumulateEffects, type Effect } from './effective.ts';
import type { CompiledShape } from './level-codec.ts';

/** Do two lists say the same? */
export function sameEffects(a: readonly Effect[], b: readonly Effect[]): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every(({ on, op, value }, i) => {
      const other = b[i];
      return value === other?.value && on === other.on && op === other.op;
    })
  );
}

/** What no table at all does to leaves: where every accumulation begins. */
export const NO_EFFECTS: readonly Effect[] = [];

/** The effects of one entry under others. */
interface Known {
  readonly compiled: CompiledShape;
  /** The entry's bits that have effects. */
  readonly lo: number;
  readonly hi: number;
  readonly above: readonly Effect[];
  readonly below: readonly Effect[];
}

const masks = new WeakMap<CompiledShape, Halves>();

/** The bits of a table entry that its effects come from. */
function effectMask(compiled: CompiledShape): Halves {
  let mask = masks.get(compiled);
  if (mask === undefined) {
    const names = compiled.effects.map(({ field }) => field);
    const fields = compiled.fields.filter(({ name }) => names.includes(name));
    mask = halves(fields.reduce((bits, field) => bits | rangesMask(field.bits), 0n));
    masks.set(compiled, mask);
  }
  return mask;
}

/** So many answers are remembered; if there are ever more, it begins anew. */
const MOST = 64;

/** Accumulates effects. Equal lists mostly are one list, so that comparisons of them are short. */
export class TableEffects {
  #known: Known[] = [];

  /** What a table entry and those above it do to the leaves below. */
  below(compiled: CompiledShape, lo: number, hi: number, above: readonly Effect[]): readonly Effect[] {
    if (compiled.effects.length === 0) return above;
    const mask = effectMask(compiled);
    const ownLo = lo & mask.lo;
    const ownHi = hi & mask.hi;
    for (const known of this.#known) {
      if (known.lo === ownLo && known.hi === ownHi && known.compiled === compiled && known.above === above) {
        return known.below;
      }
    }
    const made = accumulateEffects(compiled, join(lo, hi), above);
    const below = this.#known.find((known) => sameEffects(known.below, made))?.below ?? Object.freeze(made);
    if (this.#known.length === MOST) this.#known = [];
    this.#known.push({ compiled, lo: ownLo, hi: ownHi, above, below });
    return below;
  }
}
