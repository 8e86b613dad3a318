/** Errors of booting: the description is unusable, or the kernel would have stopped. */
import { PagefoldError } from '@pagefold/core';

/** A boot cannot go on. */
export class ArmBootError extends PagefoldError {}
