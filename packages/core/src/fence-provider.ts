/** How an architecture turns a change of tables into instructions, as tools see it. */
import type { ArchitectureOption, OptionValues } from './architecture.ts';
import type { Change } from './change.ts';

/** One instruction of a plan. */
export interface FenceStep {
  /** The instruction as assembly: `sfence.vma`, `tlbi vae1is`. */
  readonly name: string;
  /** The value of its operand register, if it has one. */
  readonly operand?: bigint;
  /** The address space that a second operand names, if it has one. */
  readonly asid?: bigint;
  /** First address that it names. */
  readonly start?: bigint;
  /** Pages that it covers. */
  readonly pages?: number;
  /** The whole line for people. */
  readonly text: string;
}

/** Plans invalidations. */
export interface FenceProvider {
  /** What changes the plan besides the change itself. */
  readonly options: readonly ArchitectureOption[];
  /** Bytes that one entry of a level, counted from the leaves, maps. */
  entryBytes(level: number, values: OptionValues): bigint;
  /** The instructions that a change needs, in order; none if nothing can be stale. */
  plan(change: Pick<Change, 'invalidate' | 'allocated'>, values: OptionValues): readonly FenceStep[];
}
