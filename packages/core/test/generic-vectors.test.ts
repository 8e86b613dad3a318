import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups } from './replay/generic.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/generic.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown[]
>;

describe('generic vectors', () => {
  for (const [name, replay] of Object.entries(groups)) {
    it(`${name}: all ${file[name]?.length} records`, () => {
      const records = file[name] ?? [];
      expect(records.length).toBeGreaterThan(0);
      const failures = records.flatMap((record) => {
        try {
          replay(record, file);
          return [];
        } catch (error) {
          const { id = '' } = record as { id?: string };
          return [`${id} ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
