/** What stops a modelled boot: a check of the kernel that would have ended it, or a description that cannot be booted. */
import { type ErrorValues, PagefoldError } from '@pagefold/core';

/** The kernel would have stopped here (`BUG_ON`), or the description contradicts itself. */
export class BootError extends PagefoldError {}

/** `BUG_ON`: stops the boot if the condition holds. */
export function bugOn(condition: boolean, rule: string, message: string, values: ErrorValues = {}): void {
  if (condition) throw new BootError(rule, message, values);
}
