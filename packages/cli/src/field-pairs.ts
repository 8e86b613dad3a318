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

/** A layout of fields, and the number that the pairs make in it. */
interface Candidate<T> {
  readonly layout: T;
  readonly value: bigint;
}

/**
 * What the pairs make in each layout that has all of their fields.
 * @param what of which there are several layouts, for the message
 * @throws UsageError if no layout has all of them, or a value fits in none
 */
function candidates<T extends { readonly fields: readonly Field[] }>(
  texts: ReadonlyMap<string, string>,
  layouts: readonly T[],
  what: string,
  encode: (layout: T, values: Record<string, bigint>) => bigint,
): Candidate<T>[] {
  const errors: unknown[] = [];
  const built = layouts.flatMap((layout, i): Candidate<T>[] => {
    try {
      return [{ layout, value: encode(layout, fieldValues(texts, layout.fields)) }];
    } catch (error) {
      errors[i] = error;
      return [];
    }
  });
  if (built.length > 0) return built;
  // What no layout knows goes before what one of them lacks.
  fieldValues(
    texts,
    layouts.flatMap(({ fields }) => fields),
  );
  const all = ({ fields }: T): boolean =>
    [...texts.keys()].every((name) => fields.some((field) => field.name === name));
  const lacking = errors.filter((_, i) => all(layouts[i] as T));
  if (lacking.length > 0) throw lacking.at(-1);
  const lists = layouts.map(({ fields }) => fields.map(({ name }) => name).join(', ')).join('; or ');
  throw new UsageError(`--build: no layout of ${what} has all these fields: ${lists}`);
}

/**
 * An entry of a level. Shapes may keep a field of one name in different places (the address, a bit that moves in larger
 * leaves): of those that have all these fields it is the one that the entry itself turns out to have.
 * @throws UsageError if no shape has all of them
 */
export function buildEntry(paging: Paging, level: number, pairs: readonly string[]): bigint {
  const layouts = paging.codec(level).shapes.map(({ shape, fields }) => ({ name: shape.name, fields }));
  const built = candidates(splitPairs(pairs), layouts, 'such an entry', ({ fields }, values) =>
    Object.entries(values).reduce((entry, [name, value]) => {
      const { bits } = fields.find((field) => field.name === name) as Field;
      return entry | scatter(value, bits);
    }, 0n),
  );
  const [first] = built;
  const own = built.find(({ layout, value }) => paging.decode(level, value).shape === layout.name);
  return (own ?? (first as (typeof built)[0])).value;
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
  const built = candidates(texts, layouts, first.name, encodeRegister);
  const selected = built.find(({ layout, value }) => arch.pickRegister?.(first.name, value, options) === layout);
  const { layout: register, value } = selected ?? (built[0] as (typeof built)[0]);
  return { register, value };
}
