/**
 * What a refused access is called, and the error code of a page fault.
 * Sources: Intel SDM vol. 3A, section 5.7 "Page-Fault Exceptions", figure 5-12 (4.7, 4-12 in editions before 2024),
 * 5.5.4 (canonical addresses); AMD APM vol. 2, section 8.4.2 "Page-Fault Error Code".
 */
import type { AccessRequest, Fault, FaultEvent, FaultReport } from '@pagefold/core';

/** Bits of the error code. */
export const PAGE_FAULT_BITS: Readonly<Record<'P' | 'WR' | 'US' | 'RSVD' | 'ID' | 'PK', number>> = {
  /** The entry was present: a violation of rights, or a reserved bit. */
  P: 0x01,
  /** The access was a write. */
  WR: 0x02,
  /** The access was made by user mode. */
  US: 0x04,
  /** A reserved bit was set. */
  RSVD: 0x08,
  /** The access was an instruction fetch, where SMEP or NXE makes that a matter of paging. */
  ID: 0x10,
  /** A protection key forbids the access. */
  PK: 0x20,
};

/**
 * Names a fault. The error code needs who made the access, which is not known here: see {@link pageFaultCode}.
 */
export function x86Fault({ stage }: FaultEvent): FaultReport {
  if (stage === 'address') return { type: 'general_protection', code: 0 };
  // Reading a table where there is no memory gives all ones on most machines, or a machine check: not ours to say.
  return { type: stage === 'memory' ? 'no_memory' : 'page_fault' };
}

/** What besides the access decides about the error code. */
export interface PageFaultControl {
  /** Is EFER.NXE set: the feature `nx`? */
  readonly nx: boolean;
  /** CR4.SMEP. Not supplied: clear. */
  readonly smep?: boolean;
}

/**
 * The error code that the processor pushes.
 * @param fault what core's `translate`, `walk` or `access` answered
 * @param request the access
 * @returns `undefined` if the fault is no page fault
 */
export function pageFaultCode(
  fault: Fault,
  { kind, privilege }: Pick<AccessRequest, 'kind' | 'privilege'>,
  { nx, smep = false }: PageFaultControl,
): number | undefined {
  if (fault.type !== 'page_fault') return undefined;
  const { P, WR, US, RSVD, ID, PK } = PAGE_FAULT_BITS;
  const present = fault.reason !== 'not_present';
  let code = present ? P : 0;
  if (kind === 'write') code |= WR;
  if (privilege === 'user') code |= US;
  if (present && fault.stage === 'entry') code |= RSVD;
  if (kind === 'execute' && (nx || smep)) code |= ID;
  if (fault.reasons.includes('protection_key')) code |= PK;
  return code;
}
