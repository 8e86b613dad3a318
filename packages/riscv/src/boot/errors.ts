/** What stops a modelled boot: a check of the kernel that would have ended it. */
import { BootError, type ErrorValues } from '@pagefold/core';

/** `BUG_ON`: stops the boot if the condition holds. */
export function bugOn(condition: boolean, rule: string, message: string, values: ErrorValues = {}): void {
  if (condition) throw new BootError(rule, message, values);
}
