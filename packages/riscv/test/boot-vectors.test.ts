import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups } from './replay/boot.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/riscv.json', import.meta.url), 'utf8')) as Record<
  string,
  readonly unknown[]
>;

describe('vectors of Linux 6.12: boot and kernel mappings', () => {
  for (const [name, replay] of Object.entries(groups)) {
    it(`${name}: mm/init.c, mm/pageattr.c, mm/kasan_init.c, mm/ptdump.c`, () => {
      const records = file[name] ?? [];
      expect(records.length).toBeGreaterThan(0);
      const failures = records.flatMap((record, i) => {
        try {
          replay(record, file);
          return [];
        } catch (error) {
          const id = (record as { id?: string }).id ?? `${name}[${i}]`;
          return [`${id}: ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
