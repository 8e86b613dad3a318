/** Groups of vector files that belong to no architecture. */
import { groups as coreGroups } from '../../packages/core/test/replay/generic.ts';
import { replayMapPlan } from '../../packages/core/test/replay/map-plan.ts';
import { listReplayers, type Replayer } from './replay.ts';

/** Replayers by group. */
export const groups: Readonly<Record<string, Replayer>> = listReplayers({
  ...coreGroups,
  mapPlan: replayMapPlan,
});
