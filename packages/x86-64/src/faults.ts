/**
 * What a refused access is called, and the error code of a page fault.
 * Sources: Intel SDM vol. 3A, section 5.7 "Page-Fault Exceptions", figure 5-12 (4.7, 4-12 in editions before 2024),
 * 5.5.4 (canonical addresses); AMD APM vol. 2, section 8.4.2 "Page-Fault Error Code".
 */
import type { FaultEvent, FaultReport } from '@pagefold/core';

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
 * The error code that the processor pushes. ID is reported only where fetches have rights of their own: with NXE or SMEP.
 */
function pageFaultCode({ stage, reason, reasons, request, features }: FaultEvent): number {
  const { P, WR, US, RSVD, ID, PK } = PAGE_FAULT_BITS;
  const { kind, privilege, options } = request;
  const present = reason !== 'not_present';
  let code = present ? P : 0;
  if (kind === 'write') code |= WR;
  if (privilege === 'user') code |= US;
  if (present && stage === 'entry') code |= RSVD;
  if (kind === 'execute' && (features.has('nx') || options.smep === true)) code |= ID;
  if (reasons.includes('protection_key')) code |= PK;
  return code;
}

/** The name of a fault and its error code. */
export function x86Fault(event: FaultEvent): FaultReport {
  if (event.stage === 'address') return { type: 'general_protection', code: 0 };
  // Reading a table where there is no memory gives all ones on most machines, or a machine check: not ours to say.
  if (event.stage === 'memory') return { type: 'no_memory' };
  return { type: 'page_fault', code: pageFaultCode(event) };
}
