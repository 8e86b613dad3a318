/** Random sequences of operations. */
import { defineCheck } from '../context.ts';
import { Simulation } from '../simulation.ts';
import type { ConformanceCheck } from '../subject.ts';

export const operations: ConformanceCheck = defineCheck(
  'operations',
  'Random map, unmap, protect, split, merge and freeTables do what a flat model does; what is refused changes no ' +
    'word; runs stay whole; no table is lost or leaked.',
  (context) => {
    const rounds = 2;
    for (let round = 0; round < rounds; round++) {
      const simulation = new Simulation(context);
      for (let step = context.tableRounds(40); step > 0; step--) {
        simulation.step();
        // Looking through all tables is dear, and what goes wrong mostly stays wrong: now and then is enough.
        if (step % 4 === 0) simulation.compare();
      }
      simulation.compare();
      simulation.clear();
    }
  },
);

export const keepExisting: ConformanceCheck = defineCheck(
  'keep-existing',
  'Mapping with what exists kept maps every page of the range that was not mapped, changes no other, and writes no ' +
    'run in part.',
  (context) => {
    for (let round = context.tableRounds(6); round > 0; round--) {
      const simulation = new Simulation(context);
      for (let step = 4; step > 0; step--) simulation.step();
      simulation.keep();
    }
  },
);
