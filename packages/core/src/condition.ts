/** Conditions on features and levels, as plain data, and their evaluation. */

/**
 * Features that must be on (or, with a leading `!`, off), all of them: `['svnapot', '!xtheadmae']`.
 */
export type FeatureCondition = readonly string[];

/** Levels counted from the leaves (0), each alone or with the features under which it counts. */
export type LevelCondition = readonly (number | { readonly level: number; readonly when: FeatureCondition })[];

/** Does the condition hold with these features? */
export function featuresHold(condition: FeatureCondition | undefined, features: ReadonlySet<string>): boolean {
  if (condition === undefined) return true;
  return condition.every((name) => (name.startsWith('!') ? !features.has(name.slice(1)) : features.has(name)));
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
