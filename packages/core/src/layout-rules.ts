/** What is demanded of layouts, as data, and what checks report. */
import type { ErrorValues } from './errors.ts';
import type { AddressRange } from './range.ts';

/** A multiple that edges of a region must be. */
export interface AlignmentRule {
  readonly region: string;
  /** A power of two. */
  readonly bytes: bigint;
  /** Not supplied: the start. */
  readonly edge?: 'start' | 'end' | 'both';
  /** Why, for the message. */
  readonly why: string;
}

/** Two regions that must be close enough for direct jumps and references. */
export interface ReachRule {
  readonly regions: readonly [string, string];
  /** Most bytes from the lower start to the higher end. */
  readonly bytes: bigint;
  readonly why: string;
}

/** A region whose used part must not cross a multiple of a size. */
export interface UnbrokenRule {
  readonly region: string;
  /** A power of two. */
  readonly bytes: bigint;
  readonly why: string;
}

/** Shadow memory: the arithmetic that code is compiled with, and the region that holds the bytes. */
export interface ShadowRule {
  readonly region: string;
  /** log2 of the bytes that one shadow byte stands for. */
  readonly scale: number;
  /** Shadow of address 0. */
  readonly offset: bigint;
  /**
   * Names of the regions that need a shadow. Not supplied: all that lie in the highest addressable range, except the
   * shadow itself.
   */
  readonly covers?: readonly string[];
}

/** Demands on a layout. Regions that a rule names and the layout lacks are passed over. */
export interface LayoutRules {
  /** Starts and ends are multiples of this. Not supplied: 1. */
  readonly pageBytes?: bigint;
  /** Ranges in which addresses exist, in rising order. Not supplied: the whole machine word. */
  readonly addressable?: readonly AddressRange<bigint>[];
  readonly alignment?: readonly AlignmentRule[];
  /** Names in the order in which the regions must lie. */
  readonly order?: readonly string[];
  readonly reach?: readonly ReachRule[];
  readonly unbroken?: readonly UnbrokenRule[];
  readonly shadow?: ShadowRule;
  /** Bytes that one entry of the root table covers, to tell which regions share one. Not supplied: not told. */
  readonly rootSpan?: bigint;
}

/** `error`: it cannot work. `warning`: it works until something grows. `info`: worth knowing. */
export type Severity = 'error' | 'warning' | 'info';

/** One thing that a check has to say. */
export interface Finding {
  /** A short kebab-case word that stays the same between releases. */
  readonly rule: string;
  readonly severity: Severity;
  /** The layout's name. */
  readonly layout: string;
  /** Names of the regions concerned. */
  readonly regions: readonly string[];
  /** One sentence for people. */
  readonly message: string;
  readonly values: ErrorValues;
}

const RANK: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** The worst severity among findings; `undefined` if there are none. */
export function worstSeverity(findings: readonly Finding[]): Severity | undefined {
  return findings.map(({ severity }) => severity).sort((a, b) => RANK[a] - RANK[b])[0];
}
