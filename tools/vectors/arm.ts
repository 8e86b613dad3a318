/** Groups of 32-bit Arm vector files. */
import { groups as armGroups, recordsOf } from '../../packages/arm/test/replay/arm.ts';
import { listReplayer, type Replayer } from './replay.ts';

/** Replayers by group. */
export const groups: Readonly<Record<string, Replayer>> = Object.fromEntries(
  Object.entries(armGroups).map(([name, replay]): [string, Replayer] => [
    name,
    (group) => listReplayer(name, replay)(recordsOf(name, group)),
  ]),
);
