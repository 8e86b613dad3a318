/** Fields as plain numbers, and how table entries act on the leaves below them. */
import { gather } from './bits.ts';
import type { FieldValues, TableEffect } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import { numericFieldsOf } from './paging.ts';

/** Values of all fields of at most 32 bits; an address, or a part of one, never is among them. */
export function numericFields(compiled: CompiledShape, word: bigint): FieldValues {
  const values: Record<string, number> = {};
  for (const { name, bits } of numericFieldsOf(compiled)) values[name] = Number(gather(word, bits));
  return values;
}

/** What the tables passed so far do to a field of every leaf below them. */
export interface Effect {
  /** The leaf field. */
  readonly on: string;
  readonly op: TableEffect['op'];
  readonly value: number;
}

/** Adds what one table entry does to what the tables above it do. */
export function accumulateEffects(table: CompiledShape, word: bigint, above: readonly Effect[]): readonly Effect[] {
  if (table.effects.length === 0) return above;
  const own = table.effects.map(({ field, on, op }): Effect => {
    const source = table.fields.find(({ name }) => name === field);
    return { on, op, value: source === undefined ? 0 : Number(gather(word, source.bits)) };
  });
  const result = [...above];
  for (const effect of own) {
    const at = result.findIndex(({ on, op }) => on === effect.on && op === effect.op);
    const before = result[at];
    if (before === undefined) result.push(effect);
    else
      result[at] = {
        ...effect,
        value: effect.op === 'and' ? before.value & effect.value : before.value | effect.value,
      };
  }
  return result;
}

/** A leaf's fields after the effects of the tables above it. */
export function applyEffects(leaf: FieldValues, effects: readonly Effect[]): FieldValues {
  if (effects.length === 0) return leaf;
  const result: Record<string, number> = { ...leaf };
  for (const { on, op, value } of effects) {
    const before = result[on] ?? 0;
    result[on] = op === 'or' ? before | value : op === 'and' ? before & value : before & ~value;
  }
  return result;
}
