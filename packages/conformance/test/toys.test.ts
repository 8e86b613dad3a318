import { describe, expect, test } from 'vitest';
import { runConformance } from '../src/index.ts';
import { toys } from './toy.ts';

describe('toy formats pass', () => {
  for (const toy of toys) runConformance(toy, { test });
});

test('without a test runner a report comes back', () => {
  const [toy] = toys;
  if (toy === undefined) throw new Error('there are toys');
  const report = runConformance({ ...toy, effort: 0.2, seed: 5 });
  expect(report.failed).toEqual([]);
  expect(report.subject).toBe(toy.name);
});
