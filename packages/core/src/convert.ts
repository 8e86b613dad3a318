/**
 * One leaf's attributes said with another shape: of another level, of a run, or of an entry that stands alone. Formats
 * move fields about (a bit that means one thing in a page lies elsewhere in a block), so it goes field by field.
 */
import { fitsRanges, gather, rangesMask, scatter } from './bits.ts';
import { accumulateEffects } from './effective.ts';
import { AttributeError } from './errors.ts';
import type { Field } from './format.ts';
import type { CompiledShape } from './level-codec.ts';
import { addressBits, type Paging } from './paging.ts';

/** A field of a word as a leaf attribute. */
interface Attribute {
  readonly field: Field;
  readonly value: bigint;
}

/**
 * What a leaf says besides its address and its own shape.
 * @throws AttributeError if bits are set that no field names: what they mean elsewhere is not known
 */
function attributesOf(from: CompiledShape, word: bigint): Attribute[] {
  const address = addressBits(from);
  const attributes: Attribute[] = [];
  let unnamed = word & ~address & ~from.fixedMask;
  for (const field of from.fields) {
    const mask = rangesMask(field.bits);
    if ((mask & address) !== 0n) continue;
    unnamed &= ~mask;
    if ((mask & ~from.fixedMask) !== 0n) attributes.push({ field, value: gather(word, field.bits) });
  }
  if (unnamed !== 0n) {
    throw new AttributeError('split-field', `bits of a ${from.shape.name} that no field names cannot be carried over`, {
      bits: unnamed,
    });
  }
  return attributes;
}

/** An attribute as bits of another leaf shape, or `undefined` if that cannot say it. */
function asBits(to: CompiledShape, { field, value }: Attribute): bigint | undefined {
  const target = to.fields.find(({ name }) => name === field.name);
  if (target === undefined || !fitsRanges(value, target.bits)) return value === 0n ? 0n : undefined;
  const mask = rangesMask(target.bits);
  if ((mask & addressBits(to)) !== 0n) return value === 0n ? 0n : undefined;
  const bits = scatter(value, target.bits);
  // Where the shape decides: zero gives way, for it says nothing; anything else must agree.
  return value !== 0n && ((bits ^ to.fixedValue) & to.fixedMask & mask) !== 0n ? undefined : bits;
}

function lost(to: CompiledShape, { field, value }: Attribute): AttributeError {
  return new AttributeError('split-field', `a ${to.shape.name} cannot say that`, { field: field.name, value });
}

/** The same shape at another level: the bits as they are. */
function sameShape(from: CompiledShape, to: CompiledShape, word: bigint): bigint | undefined {
  return from.shape === to.shape ? word & ~addressBits(from) : undefined;
}

/**
 * The bits outside the address of a leaf, said with another shape.
 * @param word the leaf's entry
 * @throws AttributeError `split-field` if the other shape cannot say the same, `attribute-result` if the outcome would
 *   be something else
 */
export function convertBits(paging: Paging, from: CompiledShape, to: CompiledShape, word: bigint): bigint {
  let bits = sameShape(from, to, word);
  if (bits === undefined) {
    bits = 0n;
    for (const attribute of attributesOf(from, word)) {
      const said = asBits(to, attribute);
      if (said === undefined) throw lost(to, attribute);
      bits |= said;
    }
  }
  return paging.leafBits(to, bits);
}

/**
 * The same one level down: the bits of the smaller leaves and of the pointer to their table. The pointer says what the
 * leaves have no field for, if one of its fields is or-ed into the leaves under that name.
 * @param level level of the pointer
 * @throws AttributeError as {@link convertBits} does
 */
export function convertBelow(
  paging: Paging,
  from: CompiledShape,
  to: CompiledShape,
  level: number,
  word: bigint,
): { readonly leaf: bigint; readonly pointer: bigint } {
  const table = paging.codec(level).table as CompiledShape;
  let pointer = paging.tableBits(table);
  let bits = sameShape(from, to, word);
  if (bits === undefined) {
    bits = 0n;
    for (const attribute of attributesOf(from, word)) {
      const said = asBits(to, attribute);
      if (said !== undefined) {
        bits |= said;
        continue;
      }
      const effect = table.effects.find(({ on, op }) => on === attribute.field.name && op === 'or');
      const field = table.fields.find(({ name }) => name === effect?.field);
      if (field === undefined || !fitsRanges(attribute.value, field.bits)) throw lost(to, attribute);
      pointer |= scatter(attribute.value, field.bits);
    }
  }
  return { leaf: paging.leafBits(to, bits), pointer: paging.tableBits(table, pointer) };
}

/**
 * A larger leaf for a table's leaves: what the table's own pointer did to them becomes part of the leaf.
 * @param pointer the entry that points to the table
 * @param word one of the leaves in it
 * @returns the bits outside the address, or `undefined` if the larger leaf cannot say that
 */
export function convertAbove(
  paging: Paging,
  from: CompiledShape,
  to: CompiledShape,
  table: CompiledShape,
  pointer: bigint,
  word: bigint,
): bigint | undefined {
  const effects = accumulateEffects(table, pointer, []);
  try {
    let bits = convertBits(paging, from, to, word);
    for (const { on, op, value } of effects) {
      const field = to.fields.find(({ name }) => name === on);
      const before = field === undefined ? 0n : gather(bits, field.bits);
      const by = BigInt(value);
      const after = op === 'or' ? before | by : op === 'and' ? before & by : before & ~by;
      if (after === before) continue;
      if (field === undefined || !fitsRanges(after, field.bits)) return undefined;
      bits = (bits & ~rangesMask(field.bits)) | scatter(after, field.bits);
    }
    return paging.leafBits(to, bits);
  } catch (error) {
    if (error instanceof AttributeError) return undefined;
    throw error;
  }
}
