/** Replays of arm64 test vectors by group; a group inside an object is called `tlbi.va`. */
import type { Replay } from './compare.ts';
import {
  attrChange,
  contiguous,
  descriptors,
  geometry,
  geometryArch,
  kvmProt,
  linuxProt,
  stage2,
  transCopy,
} from './entries.ts';
import { layoutHistory, layouts } from './layouts.ts';
import * as registers from './registers.ts';
import * as tlbi from './tlbi.ts';
import { malformed, walks } from './walks.ts';

/** Checks of one record of each group. */
export const groups: Readonly<Record<string, Replay>> = {
  geometry,
  geometryArch,
  contiguous,
  stage2Geometry: stage2,
  descriptors,
  malformed,
  walks,
  attrChange,
  transCopy,
  kvmProt,
  linuxProt,
  layouts,
  layoutHistory,
  'registers.tcr': registers.tcr,
  'registers.ttbr': registers.ttbr,
  'registers.vtcr': registers.vtcr,
  'registers.mair': registers.mair,
  'tlbi.va': tlbi.va,
  'tlbi.ipa': tlbi.ipa,
  'tlbi.range': tlbi.range,
  'tlbi.decompose': tlbi.decompose,
  'tlbi.threshold': tlbi.threshold,
};
