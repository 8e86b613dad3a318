/**
 * Names and status values of faults.
 * Source: Arm Architecture Reference Manual, Armv7-A and Armv7-R (DDI 0406), B3.13.3 "Fault status register encodings".
 */
import type { FaultEvent, FaultReport } from '@pagefold/core';

/** Short format: status at level 1 and level 2. */
const SHORT = {
  translation: [0x5, 0x7],
  access_flag: [0x3, 0x6],
  domain: [0x9, 0xb],
  permission: [0xd, 0xf],
  external_abort: [0xc, 0xe],
} as const;

/** Long format: status without the level. */
const LONG = { translation: 0x04, access_flag: 0x08, permission: 0x0c, external_abort: 0x14 } as const;

function typeOf({ stage, reason }: FaultEvent): keyof typeof SHORT {
  if (stage === 'memory') return 'external_abort';
  if (stage !== 'access') return 'translation';
  return reason === 'access_flag' || reason === 'domain' ? reason : 'permission';
}

/** Levels count from the root: 1, 2. What fails before any lookup is reported at level 1. */
export function shortFault(event: FaultEvent): FaultReport {
  const type = typeOf(event);
  const level = event.level === 0 ? 2 : 1;
  return { type, level, code: SHORT[type][level - 1] as number };
}

/** Levels 1 to 3. */
export function longFault(event: FaultEvent): FaultReport {
  const type = typeOf(event);
  const level = event.level === undefined ? 1 : 3 - event.level;
  return { type, level, code: (type === 'domain' ? LONG.permission : LONG[type]) + level };
}
