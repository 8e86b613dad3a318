/** What the attributes of leaves mean, remembered: there are few different ones in any address space. */
import { join } from './compiled.ts';
import { applyEffects, type Effect, numericFields } from './effective.ts';
import type { CommonAttributes, FieldValues } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import type { Paging } from './paging.ts';
import { sameEffects, TableEffects } from './table-effects.ts';

/** The attribute bits of leaves of one shape under one list of effects, and what they mean. */
export interface Look {
  readonly compiled: CompiledShape;
  /** The entry bits outside the address, in halves. */
  readonly lo: number;
  readonly hi: number;
  readonly bits: bigint;
  readonly effects: readonly Effect[];
  readonly fields: FieldValues;
  readonly common: CommonAttributes | undefined;
}

/** So many are remembered; a new one takes the place of one that falls into the same slot. */
const SLOTS = 256;

/** The looks of one paging. */
export class Looks {
  /** What its tables do to leaves. */
  readonly tables: TableEffects = new TableEffects();
  readonly #paging: Paging;
  readonly #slots: (Look | undefined)[] = new Array<Look | undefined>(SLOTS).fill(undefined);

  constructor(paging: Paging) {
    this.#paging = paging;
  }

  /** The look of a leaf. Whoever gets it shares it: what it holds is frozen. */
  of(compiled: CompiledShape, entryLo: number, entryHi: number, effects: readonly Effect[]): Look {
    const lo = entryLo & compiled.plain.lo;
    const hi = entryHi & compiled.plain.hi;
    const slot = Math.imul(lo ^ Math.imul(hi, 0x9e37_79b1), 0x85eb_ca6b) >>> 24;
    const known = this.#slots[slot];
    if (
      known !== undefined &&
      known.lo === lo &&
      known.hi === hi &&
      known.compiled === compiled &&
      sameEffects(known.effects, effects)
    ) {
      return known;
    }
    const bits = join(lo, hi);
    const { format, features } = this.#paging;
    const fields = Object.freeze(applyEffects(numericFields(compiled, bits), effects));
    const common = Object.freeze(format.common?.toCommon(fields, features));
    const look = { compiled, lo, hi, bits, effects, fields, common };
    this.#slots[slot] = look;
    return look;
  }
}

const looks = new WeakMap<Paging, Looks>();

/** The looks of a paging, shared by all that read its tables. */
export function looksOf(paging: Paging): Looks {
  let found = looks.get(paging);
  if (found === undefined) {
    found = new Looks(paging);
    looks.set(paging, found);
  }
  return found;
}
