import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups } from './replay/boot.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/arm64.json', import.meta.url), 'utf8')) as Record<
  string,
  readonly unknown[]
>;

describe('vectors of Linux 6.12: builders of tables (pi/map_range.c, mm/mmu.c, mm/trans_pgd.c)', () => {
  for (const [name, replay] of Object.entries(groups)) {
    it(name, () => {
      const records = file[name] ?? [];
      expect(records.length).toBeGreaterThan(0);
      const failures = records.flatMap((record, i) => {
        try {
          replay(record, file);
          return [];
        } catch (error) {
          return [`${name}[${i}]: ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
