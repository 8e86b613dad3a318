/**
 * Facts files: what is known of a stopped machine, as JSON. Tools read `arch` (a name or alias of an architecture) and
 * the labels of `roots`; everything else is between the file and the architecture. By custom `registers` holds raw
 * register values by name, `regime` what somebody read out of them, `cpu` what the processor has, and each member of
 * `roots` what is known of that root: its physical address as `root_pa`, its base register, its mode. What a root says
 * goes before the regime, the regime before the registers. What a tool was given besides goes before all of it.
 */
import { ArgumentError } from './errors.ts';

/** A JSON object: a facts file, or a part of one. */
export type Facts = Readonly<Record<string, unknown>>;

/** A facts file about a stopped machine. */
export type Capture = Facts;

/**
 * A value as a number: JSON holds numbers, hex or decimal text, or for bits `true` and `false`.
 * @returns `undefined` if it is none of them, or a number that JSON cannot hold exactly
 */
export function factNumber(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value !== 'string' || !/^(0x[0-9a-f]+|[0-9]+)$/i.test(value)) return undefined;
  return BigInt(value);
}

/** The first of these members that is a number; see {@link factNumber}. */
export function numberIn(facts: Facts, ...names: readonly string[]): bigint | undefined {
  for (const name of names) {
    const value = factNumber(facts[name]);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** A member that is an object; an empty one if it is missing or something else. */
export function recordIn(facts: Facts, name: string): Facts {
  const value = facts[name];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Facts) : {};
}

/**
 * What a capture says of one of its roots.
 * @throws ArgumentError `capture-root` if it has no root of that label
 */
export function rootFacts(capture: Capture, label: string): Facts {
  const roots = recordIn(capture, 'roots');
  if (!Object.hasOwn(roots, label)) {
    throw new ArgumentError('capture-root', 'the capture has no such root', { root: label });
  }
  return recordIn(roots, label);
}
