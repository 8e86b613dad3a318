import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups } from './replay/layout.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/riscv.json', import.meta.url), 'utf8')) as Record<
  string,
  { id?: string }[]
>;

describe('layout vectors', () => {
  for (const [name, replay] of Object.entries(groups)) {
    it(`${name}: all ${file[name]?.length} records`, () => {
      const records = file[name] ?? [];
      expect(records.length).toBeGreaterThan(0);
      const failures = records.flatMap((record, index) => {
        try {
          replay(record, file);
          return [];
        } catch (error) {
          return [`${record.id ?? index}: ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
