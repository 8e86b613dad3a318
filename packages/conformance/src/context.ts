/** What a running check works with: the subject, its random numbers, and the ways to fail. */
import { type Attributes, type ErrorValues, PagefoldError, type Paging } from '@pagefold/core';
import { ConformanceError } from './errors.ts';
import { Random, textSeed } from './random.ts';
import type { ConformanceCheck, ConformanceSubject } from './subject.ts';

/** One run of one check on one subject. */
export class Context {
  readonly check: string;
  readonly subject: ConformanceSubject;
  readonly paging: Paging;
  readonly random: Random;
  readonly seed: number;

  constructor(check: string, subject: ConformanceSubject) {
    this.check = check;
    this.subject = subject;
    this.paging = subject.paging;
    this.seed = subject.seed ?? 1;
    this.random = new Random(textSeed(check) ^ Math.imul(this.seed, 0x9e37_79b1));
  }

  /** How often to repeat something random: `base` times the subject's effort, at least once. */
  rounds(base: number): number {
    return Math.max(1, Math.round(base * (this.subject.effort ?? 1)));
  }

  /** How often to repeat something that looks through whole tables: the less, the larger they are. */
  tableRounds(base: number): number {
    const entries = Math.max(...this.paging.levels.map(({ level }) => level.entries));
    return this.rounds(base / Math.max(1, entries / 1024));
  }

  /** The error of this check, to be thrown. */
  error(rule: string, message: string, values: ErrorValues = {}, cause?: unknown): ConformanceError {
    return new ConformanceError(
      { check: this.check, subject: this.subject.name, seed: this.seed },
      rule,
      message,
      values,
      cause,
    );
  }

  /** Fails. */
  fail(rule: string, message: string, values: ErrorValues = {}, cause?: unknown): never {
    throw this.error(rule, message, values, cause);
  }

  /** Fails unless two values are the same. */
  equal(
    actual: bigint | number | string | boolean | undefined,
    expected: bigint | number | string | boolean | undefined,
    rule: string,
    message: string,
    values: ErrorValues = {},
  ): void {
    if (actual === expected) return;
    this.fail(rule, message, { ...values, expected: shown(expected), actual: shown(actual) });
  }

  /** Runs something that must not throw. */
  must<T>(rule: string, message: string, values: ErrorValues, action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (error instanceof ConformanceError) throw error;
      return this.fail(rule, `${message}: ${textOf(error)}`, values, error);
    }
  }

  /** Runs something that must throw one of some errors; answers the error. */
  refuses(
    kinds: readonly (abstract new (...args: never[]) => Error)[],
    rule: string,
    message: string,
    values: ErrorValues,
    action: () => unknown,
  ): Error {
    try {
      action();
    } catch (error) {
      if (error instanceof ConformanceError) throw error;
      if (kinds.some((kind) => error instanceof kind)) return error as Error;
      return this.fail(rule, `${message}: not expected was ${textOf(error)}`, values, error);
    }
    const names = kinds.map(({ name }) => name).join(' or ');
    return this.fail(rule, `${message}: expected was ${names}, but nothing was thrown`, values);
  }

  /** Attributes of table pointers at a level; `undefined`: those that limit nothing. */
  tableAttributes(level: number): Attributes | undefined {
    const given = this.subject.tableAttributes;
    return typeof given === 'function' ? given(level) : given;
  }
}

function shown(value: bigint | number | string | boolean | undefined): bigint | number | string {
  return typeof value === 'bigint' || typeof value === 'number' ? value : String(value);
}

function textOf(error: unknown): string {
  if (error instanceof PagefoldError) return `${error.name} ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Makes a check of a function; whatever else it throws becomes a {@link ConformanceError} with the cause. */
export function defineCheck(name: string, meaning: string, body: (context: Context) => void): ConformanceCheck {
  return {
    name,
    meaning,
    run(subject) {
      const context = new Context(name, subject);
      context.must('unexpected-error', 'something was thrown that should not have been', {}, () => body(context));
    },
  };
}
