/**
 * Names and status codes of faults.
 * Source: Arm Architecture Reference Manual (DDI 0487), "ISS encoding for an exception from a Data Abort", DFSC.
 */
import type { FaultEvent, FaultReport } from '@pagefold/core';
import { hardwareLevel } from './granule.ts';

/** Types of faults with their status code at level 0 and at level -1. */
const CODES: Readonly<Record<Arm64FaultType, { readonly base: number; readonly minusOne: number }>> = {
  address_size: { base: 0x00, minusOne: 0x29 },
  translation: { base: 0x04, minusOne: 0x2b },
  // The last two cannot occur at level -1: no leaves there.
  access_flag: { base: 0x08, minusOne: 0x08 },
  permission: { base: 0x0c, minusOne: 0x0c },
  external_abort: { base: 0x14, minusOne: 0x13 },
};

/** The type of a fault. */
export type Arm64FaultType = 'address_size' | 'translation' | 'access_flag' | 'permission' | 'external_abort';

function typeOf({ stage, reason }: FaultEvent): Arm64FaultType {
  if (stage === 'memory') return 'external_abort';
  if (reason === 'address_size' || reason === 'table_base_size') return 'address_size';
  if (reason === 'access_flag') return 'access_flag';
  if (stage === 'access') return 'permission';
  return 'translation';
}

/** The architecture's name, code and level of a fault. What fails before any lookup is reported at level 0. */
export function arm64Fault(event: FaultEvent): FaultReport {
  const type = typeOf(event);
  const level = event.level === undefined ? 0 : hardwareLevel(event.level);
  return { type, level, code: level === -1 ? CODES[type].minusOne : CODES[type].base + level };
}
