/** What a check throws. */
import { type ErrorValues, PagefoldError } from '@pagefold/core';

/** Where an error comes from. */
export interface ErrorPlace {
  /** Name of the check. */
  readonly check: string;
  /** Name of the subject. */
  readonly subject: string;
  /** Seed that repeats the run. */
  readonly seed: number;
}

/** A subject breaks a rule. `rule` and `values` say which one and with what numbers. */
export class ConformanceError extends PagefoldError {
  /** Name of the check that found it. */
  readonly check: string;
  /** Name of the subject. */
  readonly subject: string;
  /** Seed with which the check finds it again. */
  readonly seed: number;

  /**
   * @param place check, subject and seed
   * @param rule the rule that is broken, a short kebab-case word
   * @param message the rule in words
   * @param values the numbers involved, shown in hex
   * @param cause the error behind it, if there is one
   */
  constructor(place: ErrorPlace, rule: string, message: string, values: ErrorValues = {}, cause?: unknown) {
    super(rule, `${place.subject}: ${place.check}: ${message} (seed ${place.seed})`, values);
    this.check = place.check;
    this.subject = place.subject;
    this.seed = place.seed;
    if (cause !== undefined) this.cause = cause;
  }
}
