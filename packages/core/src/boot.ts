/**
 * How an architecture offers its boot to tools: from a description of a machine and a kernel to the tables that the
 * kernel has at a stage of booting.
 */
import type { PhysAddr, VirtAddr } from './address.ts';
import type { Capture } from './capture.ts';
import type { Memory } from './memory.ts';
import type { RootDescription } from './space.ts';

/** A moment of booting. */
export interface BootStage {
  /** The kernel's own word for it: the function at whose entry it is, or what has just returned. */
  readonly name: string;
  /** One line for people. */
  readonly meaning: string;
}

/** What is asked for. */
export interface BootRequest {
  /** Name of a stage. */
  readonly stage: string;
  /** Build the kernel with KASAN whatever the description says. Not supplied: as the description says. */
  readonly kasan?: boolean;
}

/** A root of a stage. */
export interface BootedRoot extends RootDescription {
  /** What the kernel calls it. */
  readonly label: string;
  /** Values of the registers that select it, by name. */
  readonly registers: Readonly<Record<string, bigint>>;
}

/** A table of a stage. */
export interface BootedTable {
  readonly address: PhysAddr;
  /** Level from the leaves. */
  readonly level: number;
  /** First virtual address that it covers, below the first of its roots. */
  readonly va: VirtAddr;
  readonly bytes: number;
  /** The symbol of a table that is part of the image; `undefined` if it was allocated. */
  readonly symbol: string | undefined;
  /** Labels of the roots that reach it. */
  readonly roots: readonly string[];
}

/** The outcome. */
export interface BootResult {
  readonly stage: string;
  /** The mode or regime in one word. */
  readonly mode: string;
  /** Holds all tables. */
  readonly memory: Memory;
  /** In use first. */
  readonly roots: readonly BootedRoot[];
  /** Registers as they stand, by name. */
  readonly registers: Readonly<Record<string, bigint>>;
  /** The kernel's variables about addresses, under its own names. */
  readonly values: Readonly<Record<string, bigint>>;
  /** Every table that the roots reach. */
  readonly tables: readonly BootedTable[];
  /** Pieces of memory that are in use at this stage, in rising order. */
  readonly reserved: readonly { readonly start: bigint; readonly end: bigint }[];
  /** What the kernel would have complained about. */
  readonly warnings: readonly string[];
  /** The same as a facts file, so that tools find the roots again. */
  readonly capture: Capture;
  /** What an ELF file of that memory says about itself. */
  readonly elf: { readonly machine: number; readonly bits: 32 | 64 };
}

/** The boot of an architecture. */
export interface BootProvider {
  /** In the order of booting. */
  readonly stages: readonly BootStage[];
  /**
   * Boots a kernel up to a stage.
   * @param description what boot loader and build knew, as JSON
   * @throws PagefoldError if the description is unusable, or where the kernel would have stopped
   */
  boot(description: Capture, request: BootRequest): BootResult;
}
