/** Collecting what a check finds: neighbours that say the same become one finding. */

import { CHECK_RULE_NAMES, CHECK_RULES, type CheckRule, type CheckRuleName, type TableFinding } from './check-rules.ts';
import { toBig } from './compiled.ts';
import { ArgumentError } from './errors.ts';
import type { Severity } from './layout-rules.ts';
import type { Root } from './space.ts';

/** A finding as it is reported. */
export interface Report {
  readonly root: Root;
  /** First virtual address, and the exclusive end; as numbers only if they are exact (multiples of 4096). */
  readonly start: number | bigint;
  readonly end: number | bigint;
  /** Level, from the leaves, of the entry. */
  readonly level: number;
  readonly slot?: number | undefined;
  readonly entry?: bigint | undefined;
  /** Not supplied: what the rule means. */
  readonly message?: string;
  readonly values?: TableFinding['values'];
  /** Not supplied: that of the rule. */
  readonly severity?: Severity;
  /** What besides rule and root neighbours must have in common. Not supplied: nothing. */
  readonly kind?: string;
}

type Growing = { -readonly [Name in keyof TableFinding]: TableFinding[Name] };

function exact(address: number | bigint): bigint {
  return typeof address === 'bigint' ? address : toBig(address);
}

/** Which rules are looked for. */
export function chosenRules(
  only: readonly string[] | undefined,
  ignore: readonly string[] = [],
): ReadonlySet<CheckRuleName> {
  const wrong = [...(only ?? []), ...ignore].find((name) => !CHECK_RULE_NAMES.some((known) => known === name));
  if (wrong !== undefined) throw new ArgumentError('check-rule', 'there is no such rule', { rule: wrong });
  const rule = (name: CheckRuleName): CheckRule => CHECK_RULES[name];
  return new Set(
    CHECK_RULE_NAMES.filter(
      (name) => (only === undefined ? rule(name).optional !== true : only.includes(name)) && !ignore.includes(name),
    ),
  );
}

/** Findings in the order in which they come. */
export class CheckReport {
  readonly #rules: ReadonlySet<CheckRuleName>;
  readonly #findings: Growing[] = [];
  readonly #last = new Map<string, Growing>();

  constructor(rules: ReadonlySet<CheckRuleName>) {
    this.#rules = rules;
  }

  /** What was found. */
  get findings(): readonly TableFinding[] {
    return this.#findings;
  }

  /** Is a rule looked for? */
  wants(rule: CheckRuleName): boolean {
    return this.#rules.has(rule);
  }

  /** Adds a finding, if its rule is looked for. */
  add(rule: CheckRuleName, report: Report): void {
    if (!this.wants(rule)) return;
    const { root, start, end, level, slot, entry, message, values = {}, kind = '' } = report;
    const first = exact(start);
    const key = `${rule} ${root.label} ${kind}`;
    const last = this.#last.get(key);
    if (last !== undefined && last.end === first) {
      last.end = exact(end);
      last.count++;
      return;
    }
    const { severity, meaning } = CHECK_RULES[rule];
    const made: Growing = {
      rule,
      severity: report.severity ?? severity,
      root: root.label,
      start: first,
      end: exact(end),
      level,
      hardwareLevel: root.paging.codec(level).level.hardware,
      slot: slot === undefined ? undefined : BigInt(slot),
      entry,
      message: message ?? meaning,
      values,
      count: 1,
    };
    this.#findings.push(made);
    this.#last.set(key, made);
  }
}
