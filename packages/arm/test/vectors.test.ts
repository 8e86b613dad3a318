import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups, recordsOf } from './replay/arm.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/arm.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown
>;

/** What each group is about, by the source that rules it. */
const SECTIONS: Record<string, string> = {
  geometry: 'DDI 0406 B3.5, B3.6; Linux asm/pgtable-2level.h, pgtable-3level.h: constants',
  geometryCases: 'the same: indices and offsets of single addresses',
  descriptors: 'DDI 0406 B3.5.1, B3.6.2: words judged alone; B3.8: memory types',
  tables: 'tables that the walks use',
  walks: 'DDI 0406 B3.5.5, B3.6.6: walks; B3.7: access; B3.13: faults',
  linuxPte: 'Linux mm/proc-v7-2level.S, proc-v7-3level.S, proc-macros.S: set_pte_ext',
  linuxPmd: 'Linux asm/pgtable-2level.h: tests of pairs',
  pmdPopulate: 'Linux asm/pgalloc.h: __pmd_populate',
  supersections: 'Linux mm/mmu.c: create_36bit_mapping',
  createMapping: 'Linux mm/mmu.c: alloc_init_pmd',
  layouts: 'Linux asm/memory.h, mm/mmu.c: adjust_lowmem_bounds',
};

describe('32-bit Arm vectors', () => {
  it('are all replayed', () => {
    expect(Object.keys(file).filter((name) => name !== 'meta' && groups[name] === undefined)).toEqual([]);
  });
  for (const [name, replay] of Object.entries(groups)) {
    it(`${SECTIONS[name] ?? name} (${name})`, () => {
      const records = recordsOf(name, file[name]);
      expect(records.length).toBeGreaterThan(0);
      const failures = records.flatMap((record, i) => {
        try {
          replay(record, file);
          return [];
        } catch (error) {
          const { id } = record as { id?: string };
          return [`${id ?? i}: ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
