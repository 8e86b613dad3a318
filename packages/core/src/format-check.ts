/**
 * Contradictions in a format's description that can be seen without a geometry: names that nothing bears, bits outside
 * the entry. A slip there would not fail, it would silently never match.
 */
import { CompiledTests } from './compiled.ts';
import { type FeatureCondition, featuresNamed, type LevelCondition } from './condition.ts';
import { FormatError } from './errors.ts';
import { type BitRange, type Format, type MalformedRule, RESERVED_FIELDS, type Shape } from './format.ts';
import { TABLE_NAMES } from './geometry.ts';

function checkFeatures(format: Format, what: string, when: FeatureCondition | undefined): void {
  for (const feature of featuresNamed(when)) {
    if (Object.hasOwn(format.features ?? {}, feature)) continue;
    throw new FormatError('unknown-feature', `${format.name}: ${what} depends on a feature that is not declared`, {
      feature,
    });
  }
}

function checkLevels(format: Format, what: string, levels: LevelCondition | undefined): void {
  for (const one of levels ?? []) {
    if (typeof one !== 'number') checkFeatures(format, what, one.when);
    const level = typeof one === 'number' ? one : one.level;
    // No geometry has more levels than there are names for them.
    if (Number.isInteger(level) && level >= 0 && level < TABLE_NAMES.length) continue;
    throw new FormatError('format-level', `${format.name}: ${what} speaks of a level that no geometry has`, { level });
  }
}

function checkRanges(format: Format, what: string, ranges: readonly BitRange[]): void {
  for (const [hi, lo] of ranges) {
    if (Number.isInteger(hi) && Number.isInteger(lo) && hi >= lo && lo >= 0 && hi < format.entryBytes * 8) continue;
    throw new FormatError('entry-bits', `${format.name}: ${what} lies outside the entry`, { hi, lo });
  }
}

function checkShape(format: Format, shape: Shape): void {
  checkFeatures(format, shape.name, shape.when);
  checkLevels(format, shape.name, shape.levels);
  if (new CompiledTests(shape.match).impossible) {
    throw new FormatError('match-impossible', `${format.name}: no word can be a ${shape.name}`, {});
  }
  for (const { name, bits, when } of shape.fields) {
    checkFeatures(format, `field ${name}`, when);
    checkRanges(format, `field ${name} of ${shape.name}`, bits);
  }
  if (shape.kind === 'empty') return;
  for (const { entryLo, bits, when } of shape.address) {
    checkFeatures(format, `the address of ${shape.name}`, when);
    checkRanges(format, `the address of ${shape.name}`, [[entryLo + bits - 1, entryLo]]);
  }
  if (shape.kind === 'leaf') return;
  for (const { field, when } of [...(shape.effects ?? []), ...(shape.marks ?? [])]) {
    checkFeatures(format, `an effect of ${shape.name}`, when);
    if (shape.fields.some(({ name }) => name === field)) continue;
    throw new FormatError('effect-field', `${format.name}: an effect of ${shape.name} needs a field that it has not`, {
      field,
    });
  }
}

function holdsAtLeaves(levels: LevelCondition | undefined): boolean {
  return levels === undefined || levels.some((one) => one === 0);
}

function speaksOf({ kinds, shapes }: MalformedRule, shape: Shape): boolean {
  return (kinds?.includes('table') ?? true) && (shapes?.includes(shape.name) ?? true);
}

/** Level 0 holds only leaves: whatever looks like a table pointer there must not exist, or be malformed throughout. */
function checkLevelZero(format: Format, shape: Shape): void {
  if (shape.kind !== 'table' || !holdsAtLeaves(shape.levels)) return;
  const refused = (format.rules ?? []).some(
    (rule) =>
      rule !== RESERVED_FIELDS &&
      rule.tests.length === 0 &&
      rule.when === undefined &&
      holdsAtLeaves(rule.levels) &&
      speaksOf(rule, shape),
  );
  if (!refused) {
    throw new FormatError('table-at-level-0', `${format.name}: a ${shape.name} could stand at level 0`, {});
  }
}

/** A word instead of tests must be one that is known: another would be read as a list of its letters. */
function checkTests(format: Format, { reason, tests }: MalformedRule): void {
  if (typeof tests !== 'string' || tests === 'misaligned' || tests === 'address-size') return;
  throw new FormatError('rule-tests', `${format.name}: rule ${reason} tests something that is not known`, {
    tests: String(tests),
  });
}

/**
 * Checks a format's description.
 * @throws FormatError if it contradicts itself
 */
export function checkFormat(format: Format): void {
  for (const shape of format.shapes) {
    checkShape(format, shape);
    checkLevelZero(format, shape);
  }
  for (const set of format.exclusive ?? []) checkFeatures(format, 'a set of exclusive features', set);
  for (const rule of format.rules ?? []) {
    if (rule === RESERVED_FIELDS) continue;
    const { reason, shapes, when, levels } = rule;
    checkFeatures(format, `rule ${reason}`, when);
    checkLevels(format, `rule ${reason}`, levels);
    checkTests(format, rule);
    const shape = shapes?.find((name) => !format.shapes.some((one) => one.name === name));
    if (shape === undefined) continue;
    throw new FormatError('unknown-shape', `${format.name}: rule ${reason} speaks of a shape that is not there`, {
      shape,
    });
  }
}
