/** What a check of tables looks for, as data. */
import type { Severity } from './layout-rules.ts';

/** One rule. */
export interface CheckRule {
  readonly severity: Severity;
  /** What it means where it is broken. */
  readonly meaning: string;
  /** Looked for only if it is named. Not supplied: always. */
  readonly optional?: true;
}

/** Name of a rule. */
export type CheckRuleName =
  | 'malformed'
  | 'no-memory'
  | 'write-execute'
  | 'device-execute'
  | 'both-execute'
  | 'memory-alias'
  | 'table-user-writable'
  | 'table-writable'
  | 'shared-table'
  | 'table-loop'
  | 'table-levels'
  | 'table-overlap'
  | 'run-incomplete'
  | 'run-address'
  | 'run-attributes'
  | 'too-many-tables';

/** All rules by name. Names stay the same between releases. */
export const CHECK_RULES: Readonly<Record<CheckRuleName, CheckRule>> = {
  malformed: { severity: 'error', meaning: 'the hardware refuses an entry whatever the access is' },
  'no-memory': { severity: 'error', meaning: 'a table, or a part of it, lies where there is no memory' },
  'write-execute': { severity: 'error', meaning: 'leaves can be written and executed (info: by guests)' },
  'device-execute': { severity: 'error', meaning: 'device memory can be executed, so it may be fetched from unasked' },
  'both-execute': {
    severity: 'warning',
    meaning: 'users and the supervisor may both execute a leaf',
    optional: true,
  },
  'memory-alias': {
    severity: 'warning',
    meaning: 'physical memory is mapped with different memory types',
    optional: true,
  },
  'table-user-writable': { severity: 'error', meaning: 'users can write a table' },
  'table-writable': { severity: 'info', meaning: 'tables are mapped writable for the supervisor' },
  'shared-table': { severity: 'info', meaning: 'several entries point to one table' },
  'table-loop': { severity: 'error', meaning: 'a table points to itself or to one above it' },
  'table-levels': { severity: 'error', meaning: 'one table serves at several levels' },
  'table-overlap': { severity: 'error', meaning: 'two tables share a part of their memory' },
  'run-incomplete': { severity: 'error', meaning: 'not all entries of a run belong to it' },
  'run-address': { severity: 'error', meaning: 'the addresses in a run do not belong together' },
  'run-attributes': { severity: 'error', meaning: 'the entries of a run differ in their attributes' },
  'too-many-tables': { severity: 'error', meaning: 'there are more tables than allowed' },
};

/** The names of all rules. */
export const CHECK_RULE_NAMES: readonly CheckRuleName[] = Object.keys(CHECK_RULES) as CheckRuleName[];

/** Something that a check of tables has to say. */
export interface TableFinding {
  readonly rule: CheckRuleName;
  readonly severity: Severity;
  /** Label of the root. */
  readonly root: string;
  /** The virtual addresses concerned, half-open; of a table that is reached twice, those of its first place. */
  readonly start: bigint;
  /** Exclusive; may be 2^64. */
  readonly end: bigint;
  /** Level, from the leaves, of the entry. */
  readonly level: number;
  readonly hardwareLevel: number;
  /** Physical address of the first entry concerned; `undefined` for a root table. */
  readonly slot: bigint | undefined;
  /** That entry; `undefined` where there is no memory, or for a root table. */
  readonly entry: bigint | undefined;
  /** One sentence for people. */
  readonly message: string;
  /** What else is known, by rule. */
  readonly values: Readonly<Record<string, bigint | number | string>>;
  /** Neighbours that were joined into this one finding, itself included. */
  readonly count: number;
}
