/** The records of the group `mapPlan`. */
import { readFileSync } from 'node:fs';
import { describe, test } from 'vitest';
import { replayMapPlan } from './replay/map-plan.ts';

const { mapPlan } = JSON.parse(readFileSync(new URL('./vectors/generic.json', import.meta.url), 'utf8')) as {
  mapPlan: { id: string }[];
};

describe('mapPlan', () => {
  test.each(mapPlan)('$id', (record) => replayMapPlan(record));
});
