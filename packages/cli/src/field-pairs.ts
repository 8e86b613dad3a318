/** `FIELD=VALUE` pairs: entries and registers the other way, from fields to a number. */
import {
  type Architecture,
  encodeRegister,
  type Field,
  type OptionValues,
  type Paging,
  type RegisterFormat,
  rangesWidth,
  scatter,
} from '@pagefold/core';
import { UsageError } from './errors.ts';
import { looksLikeNumber, parseNumber } from './numbers.ts';

/** The pairs by field name. */
function splitPairs(pairs: readonly string[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const pair of pairs) {
    const [, name, text] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
    if (name === undefined || text === undefined) throw new UsageError(`--build: '${pair}' is not FIELD=VALUE`);
    if (texts.has(name)) throw new UsageError(`--build: the field ${name} is given twice`);
    texts.set(name, text);
  }
  return texts;
}

/** A field's value: a number, or one of the words that stand for values; the field may have several layouts. */
function fieldValue(layouts: readonly Field[], text: string): bigint {
  const words = layouts.flatMap(({ values = {} }) => Object.entries(values));
  const named = words.find(([, word]) => word.toLowerCase() === text.toLowerCase());
  if (named !== undefined) return BigInt(named[0]);
  const [{ name, bits }] = layouts as readonly [Field];
  if (words.length > 0 && !looksLikeNumber(text)) {
    const legal = [...new Set(words.map(([, word]) => word))].join(', ');
    throw new UsageError(`--build ${name}: '${text}' is not a number or one of ${legal}`);
  }
  return parseNumber(text, `--build ${name}`, rangesWidth(bits));
}

/** Values of fields; names of values count as the values. */
function fieldValues(texts: ReadonlyMap<string, string>, fields: readonly Field[]): Record<string, bigint> {
  const values: Record<string, bigint> = {};
  for (const [name, text] of texts) {
    const layouts = fields.filter((candidate) => candidate.name === name);
    if (layouts.length === 0) {
      const known = [...new Set(fields.map((each) => each.name))].join(', ');
      throw new UsageError(`--build: no field '${name}'; there are ${known}`);
    }
    values[name] = fieldValue(layouts, text);
  }
  return values;
}

/** An entry of a level from the fields of all shapes that it can have. */
export function buildEntry(paging: Paging, level: number, pairs: readonly string[]): bigint {
  const fields = new Map<string, Field>();
  for (const { fields: own } of paging.codec(level).shapes) for (const field of own) fields.set(field.name, field);
  let entry = 0n;
  for (const [name, value] of Object.entries(fieldValues(splitPairs(pairs), [...fields.values()]))) {
    entry |= scatter(value, (fields.get(name) as Field).bits);
  }
  return entry;
}

/** A register and a value of it. */
interface Built {
  readonly register: RegisterFormat;
  readonly value: bigint;
}

/**
 * A register's value. Of several layouts of one name it is the one that has all these fields, if possible one that the
 * value itself selects.
 * @param first the layout to prefer
 * @param options what else is known of the machine
 * @throws UsageError if no layout has all of them
 */
export function buildRegister(
  arch: Architecture,
  first: RegisterFormat,
  pairs: readonly string[],
  options: OptionValues,
): Built {
  const texts = splitPairs(pairs);
  const layouts = [first, ...arch.registers.filter((each) => each.name === first.name && each !== first)];
  const errors: unknown[] = [];
  const built = layouts.flatMap((register): Built[] => {
    try {
      return [{ register, value: encodeRegister(register, fieldValues(texts, register.fields)) }];
    } catch (error) {
      errors.push(error);
      return [];
    }
  });
  const selected = built.find(({ register, value }) => arch.pickRegister?.(first.name, value, options) === register);
  const [any] = built;
  if (any !== undefined) return selected ?? any;
  // What no layout knows goes before what one of them lacks.
  fieldValues(
    texts,
    layouts.flatMap(({ fields }) => fields),
  );
  const all = ({ fields }: RegisterFormat): boolean =>
    [...texts.keys()].every((name) => fields.some((field) => field.name === name));
  const lacking = errors.filter((_, i) => all(layouts[i] as RegisterFormat));
  if (lacking.length > 0) throw lacking.at(-1);
  const lists = layouts.map(({ fields }) => fields.map(({ name }) => name).join(', ')).join('; or ');
  throw new UsageError(`--build: no layout of ${first.name} has all these fields: ${lists}`);
}
