import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SUBJECTS } from './formats.ts';
import { story } from './operations.ts';
import { seeds } from './random-tables.ts';

describe('random operations beside a flat model', () => {
  for (const subject of SUBJECTS) {
    it(subject.name, () => {
      fc.assert(
        fc.property(seeds, fc.constantFrom(64, 0x1_0000), (seed, windowBytes) => {
          expect(story(subject, seed, 24, windowBytes)).toEqual([]);
        }),
        { numRuns: 4 },
      );
    });
  }
});
