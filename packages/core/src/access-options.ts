/** Values for the options of a format's access check: what nobody gives has its default, what is unknown is refused. */
import { ArgumentError } from './errors.ts';
import type { AccessOption, AccessRules } from './format.ts';

/** Values of options by name. */
export type AccessOptionValues = Readonly<Record<string, string | number | boolean>>;

function fits({ values }: AccessOption, value: string | number | boolean): boolean {
  return values.length === 0 ? typeof value === 'number' : values.includes(value);
}

/** Every option with its default: the first of its values, or 0 where any number will do. */
export function defaultAccessOptions({ options }: AccessRules): AccessOptionValues {
  return Object.fromEntries(options.map(({ name, values }) => [name, values[0] ?? 0]));
}

/**
 * Options with some values replaced.
 * @throws ArgumentError `access-option` if the access check has no such option, or not that value
 */
export function withAccessOptions(
  { options }: AccessRules,
  base: AccessOptionValues,
  given: AccessOptionValues | undefined,
): AccessOptionValues {
  if (given === undefined) return base;
  for (const [name, value] of Object.entries(given)) {
    const option = options.find((candidate) => candidate.name === name);
    if (option !== undefined && fits(option, value)) continue;
    throw new ArgumentError('access-option', 'the access check has no such option or value', {
      option: name,
      value: String(value),
    });
  }
  return { ...base, ...given };
}
