/** Running the checks, with or without a test runner. */
import { checks as allChecks } from './checks.ts';
import type { ConformanceCheck, ConformanceSubject } from './subject.ts';

/** What the checks found. */
export interface ConformanceReport {
  /** Name of the subject. */
  readonly subject: string;
  /** Names of the checks that passed. */
  readonly passed: readonly string[];
  /** Names of those that failed, with what they threw. */
  readonly failed: readonly { readonly check: string; readonly error: unknown }[];
}

/** Options of {@link runConformance}. */
export interface RunOptions {
  /**
   * Registers one test, as the `test` of vitest, node:test, mocha or jest does. Supplied: every check becomes a test
   * that throws if the subject fails. Not supplied: all checks run at once and nothing is thrown.
   */
  readonly test?: (name: string, body: () => void) => unknown;
  /** Checks to run. Not supplied: all. */
  readonly checks?: readonly ConformanceCheck[];
}

/**
 * Runs the checks on a subject.
 * @returns what was found; with `test` the report fills as the runner gets to the tests
 */
export function runConformance(subject: ConformanceSubject, options: RunOptions = {}): ConformanceReport {
  const passed: string[] = [];
  const failed: { check: string; error: unknown }[] = [];
  const { test, checks = allChecks } = options;
  for (const check of checks) {
    const run = (): void => {
      try {
        check.run(subject);
      } catch (error) {
        failed.push({ check: check.name, error });
        throw error;
      }
      passed.push(check.name);
    };
    if (test !== undefined) {
      test(`${subject.name}: ${check.name}`, run);
      continue;
    }
    try {
      run();
    } catch {
      // It stands in the report.
    }
  }
  return { subject: subject.name, passed, failed };
}
