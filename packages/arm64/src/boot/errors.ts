/** What stops a modelled boot: a check of the kernel that would have ended it, or a description that cannot be booted. */
import { PagefoldError } from '@pagefold/core';

/** The kernel would have stopped here (`BUG_ON`), or the description contradicts itself. */
export class BootError extends PagefoldError {}
