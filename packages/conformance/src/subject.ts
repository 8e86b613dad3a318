/** What is checked: a paging, and what its author says about it. */
import type { Attributes, LeafChoice, Paging } from '@pagefold/core';

/** Attributes of leaves: the same for all, or chosen for each kind of leaf. */
export type LeafAttributes = Attributes | ((leaf: LeafChoice) => Attributes);

/** What the checks are run on. */
export interface ConformanceSubject {
  /** Name for messages: `sv39 svnapot`. */
  readonly name: string;
  /** A format with a geometry and features. */
  readonly paging: Paging;
  /**
   * Attribute sets that must be accepted by, and read back from, every leaf that exists. Give several that differ;
   * those made of field values also take part in the checks that change attributes.
   */
  readonly attributes: readonly LeafAttributes[];
  /**
   * Bits or fields of the table pointers that the checks make, or a function of the level that holds them. Not
   * supplied: pointers that limit nothing below them (fields with an `and` effect all ones, everything else zero).
   */
  readonly tableAttributes?: Attributes | ((level: number) => Attributes);
  /**
   * Bits, by name of shape, that no field names, no rule tests and no address uses because hardware ignores them. Not
   * supplied: none, so that every bit must be accounted for by the description.
   */
  readonly ignoredBits?: Readonly<Record<string, bigint>>;
  /** Seed of the random input. Not supplied: 1. */
  readonly seed?: number;
  /** Multiplies the amount of random input. Not supplied: 1, for well below a second and a half in all. */
  readonly effort?: number;
}

/** One check. */
export interface ConformanceCheck {
  /** Name, kebab-case. */
  readonly name: string;
  /** What holds if it passes. */
  readonly meaning: string;
  /**
   * Runs the check; every call with the same subject does the same.
   * @throws ConformanceError that names the check, the rule, the seed and the values if the subject fails
   */
  run(subject: ConformanceSubject): void;
}
