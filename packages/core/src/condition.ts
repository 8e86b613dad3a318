/** Conditions on features and levels, as plain data, and their evaluation. */

/**
 * Features that must be on (or, with a leading `!`, off), all of them: `['runs', '!vendor']`. An inner list holds if one
 * of its features does: `['runs', ['vendor', '!strict']]`.
 */
export type FeatureCondition = readonly (string | readonly string[])[];

/** Levels counted from the leaves (0), each alone or with the features under which it counts. */
export type LevelCondition = readonly (number | { readonly level: number; readonly when: FeatureCondition })[];

/** Does the condition hold with these features? */
export function featuresHold(condition: FeatureCondition | undefined, features: ReadonlySet<string>): boolean {
  if (condition === undefined) return true;
  const holds = (name: string): boolean => (name.startsWith('!') ? !features.has(name.slice(1)) : features.has(name));
  return condition.every((term) => (typeof term === 'string' ? holds(term) : term.some(holds)));
}

/** Names of all features that a condition looks at, without `!`. */
export function featuresNamed(condition: FeatureCondition | undefined): string[] {
  return (condition ?? []).flat().map((name) => name.replace(/^!/, ''));
}

/** A condition in words: `runs and (vendor or not strict)`. Empty for one that always holds. */
export function conditionText(condition: FeatureCondition | undefined): string {
  const word = (name: string): string => name.replace(/^!/, 'not ');
  const terms = (condition ?? []).map((term) => {
    if (typeof term === 'string') return word(term);
    return term.length === 1 ? word(term[0] as string) : `(${term.map(word).join(' or ')})`;
  });
  return terms.join(' and ');
}

/** Does the condition name this level, with these features? */
export function levelHolds(
  condition: LevelCondition | undefined,
  level: number,
  features: ReadonlySet<string>,
): boolean {
  if (condition === undefined) return true;
  return condition.some((item) =>
    typeof item === 'number' ? item === level : item.level === level && featuresHold(item.when, features),
  );
}
