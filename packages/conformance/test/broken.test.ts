/** The kit can fail: for every check, subjects with one thing wrong that it must find. */
import { FormatError } from '@pagefold/core';
import { describe, expect, test } from 'vitest';
import { ConformanceError, checks } from '../src/index.ts';
import { subject } from './broken.ts';
import { brokenDescriptions } from './broken-descriptions.ts';
import { brokenOperations } from './broken-operations.ts';

const broken = { ...brokenDescriptions, ...brokenOperations };
const byName = new Map(checks.map((check) => [check.name, check]));

test('every check is seen to fail', () => {
  expect([...byName.keys()].sort()).toEqual(Object.keys(broken).sort());
});

test('every check has a broken subject that core does not refuse before the kit can look', () => {
  for (const [name, cases] of Object.entries(broken)) {
    expect([name, cases.some(({ refused }) => refused !== true)]).toEqual([name, true]);
  }
});

describe.each(Object.entries(broken))('%s', (name, cases) => {
  test.each(cases.filter(({ refused }) => refused !== true))('finds: $what', ({ subject: make, rule }) => {
    let found: unknown;
    try {
      byName.get(name)?.run(make());
    } catch (error) {
      found = error;
    }
    expect(found).toBeInstanceOf(ConformanceError);
    const error = found as ConformanceError;
    expect(error.check).toBe(name);
    expect(error.subject).toBe('broken');
    expect(error.message).toContain('seed 1');
    if (rule !== undefined) expect(error.rule).toBe(rule);
  });
});

const refused = Object.values(broken).flatMap((cases) => cases.filter((each) => each.refused === true));

test.each(refused)('core refuses already: $what', ({ subject: make }) => {
  expect(make).toThrow(FormatError);
});

test('the unbroken toy passes them all', () => {
  for (const check of checks) check.run(subject());
});
