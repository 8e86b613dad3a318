/** Groups of RISC-V vector files: entries, walks, registers and fences; layouts and the choice of mode. */
import { groups as bootGroups } from '../../packages/riscv/test/replay/boot.ts';
import { groups as layoutGroups } from '../../packages/riscv/test/replay/layout.ts';
import { groups as formatGroups } from '../../packages/riscv/test/replay/riscv.ts';
import { listReplayers, type Replayer } from './replay.ts';

/** Replayers by group. */
export const groups: Readonly<Record<string, Replayer>> = {
  ...formatGroups,
  ...listReplayers(layoutGroups),
  ...listReplayers(bootGroups),
};
