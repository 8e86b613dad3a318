import { describe, expect, it } from 'vitest';
import { conditionText, type FeatureCondition, featuresHold, featuresNamed } from '../src/condition.ts';

describe('conditions', () => {
  const cases: [FeatureCondition | undefined, string[], boolean][] = [
    [undefined, [], true],
    [[], [], true],
    [['a'], ['a'], true],
    [['a'], ['b'], false],
    [['a', '!b'], ['a'], true],
    [['a', '!b'], ['a', 'b'], false],
    [[['a', 'b']], ['b'], true],
    [[['a', 'b']], ['c'], false],
    [[['a', '!b'], 'c'], ['c'], true],
    [[['a', '!b'], 'c'], ['b', 'c'], false],
    [[[]], ['a'], false],
  ];

  it.each(cases)('%j with %j: %s', (condition, features, holds) => {
    expect(featuresHold(condition, new Set(features))).toBe(holds);
  });

  it('name their features, and are said in words', () => {
    expect(featuresNamed(['a', ['!b', 'c']])).toEqual(['a', 'b', 'c']);
    expect(conditionText(['a', '!b', ['c', '!d']])).toBe('a and not b and (c or not d)');
    expect(conditionText([['only']])).toBe('only');
    expect(conditionText(undefined)).toBe('');
  });
});
