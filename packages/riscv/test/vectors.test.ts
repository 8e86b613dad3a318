import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { groups } from './replay/riscv.ts';

const file = JSON.parse(readFileSync(new URL('./vectors/riscv.json', import.meta.url), 'utf8')) as Record<
  string,
  unknown
>;

/** What each group is about, by the section that rules it. */
const SECTIONS: Record<string, string> = {
  geometry: 'Sv32, Sv39, Sv48, Sv57: addressing; Linux asm/pgtable-64.h: names and folding',
  pte: 'Sv32, Sv39: entries; Svnapot; Svpbmt; Linux asm/pgtable.h: tests of raw entries',
  walk: 'Virtual Address Translation Process',
  kernel_walk: 'Virtual Address Translation Process: tables of running kernels',
  satp: 'Supervisor Address Translation and Protection (satp) Register',
  user_va: 'Linux asm/processor.h: user address limits',
  napot: 'Svnapot; Linux asm/pgtable.h: pte_mknapot',
  pgprot: 'Linux asm/pgtable.h: protections',
  thead: 'Linux asm/errata_list.h: T-Head memory types',
  swap: 'Linux asm/pgtable.h: swap entries',
  kasan_shadow: 'Linux asm/kasan.h: shadow memory',
  sfence: 'Supervisor Memory-Management Fence Instruction',
  flush: 'Linux mm/tlbflush.c: local range flush',
};

describe('RISC-V vectors', () => {
  for (const [name, casesOf] of Object.entries(groups)) {
    it(`${SECTIONS[name] ?? name} (${name})`, () => {
      const cases = casesOf(file[name]);
      expect(cases.length).toBeGreaterThan(0);
      const failures = cases.flatMap(({ id, record, replay }) => {
        try {
          if (replay === undefined) throw new Error('no replay');
          replay(record, file);
          return [];
        } catch (error) {
          return [`${id}: ${error instanceof Error ? error.message : String(error)}`];
        }
      });
      expect(failures).toEqual([]);
    });
  }
});
