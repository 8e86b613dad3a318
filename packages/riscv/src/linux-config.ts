/** Which Linux: the facts about a RISC-V kernel that change how it encodes and reads entries. */
import { ArgumentError } from '@pagefold/core';
import type { Xlen } from './entry-bits.ts';

/** Releases between which something about entries changed, oldest first. Each stands for itself and what follows. */
export const LINUX_VERSIONS = ['v5.10', 'v5.13', 'v5.17', 'v6.1', 'v6.12'] as const;

/** A release of {@link LINUX_VERSIONS}. */
export type LinuxVersion = (typeof LINUX_VERSIONS)[number];

/** How memory types are encoded: not at all, by Svpbmt, or by T-Head's own bits. */
export type MemoryTypes = 'none' | 'svpbmt' | 'thead';

/** A kernel. */
export interface LinuxConfig {
  readonly xlen: Xlen;
  readonly version: LinuxVersion;
  readonly memoryTypes: MemoryTypes;
}

/** Is a release the given one or later? */
export function sinceVersion(version: LinuxVersion, first: LinuxVersion): boolean {
  return LINUX_VERSIONS.indexOf(version) >= LINUX_VERSIONS.indexOf(first);
}

/**
 * Fills in what a caller left out: RV64, v6.12, no memory types.
 * @throws ArgumentError `linux-version` for an unknown release; `linux-memory-types` for types on RV32 or before v6.1,
 *   where Linux has none
 */
export function linuxConfig(config: Partial<LinuxConfig> = {}): LinuxConfig {
  const { xlen = 64, version = 'v6.12', memoryTypes = 'none' } = config;
  if (!LINUX_VERSIONS.includes(version)) {
    throw new ArgumentError('linux-version', 'nothing is known of that release', { version });
  }
  if (memoryTypes !== 'none' && (xlen === 32 || !sinceVersion(version, 'v6.1'))) {
    throw new ArgumentError('linux-memory-types', 'that kernel has no memory types', { xlen, version, memoryTypes });
  }
  return { xlen, version, memoryTypes };
}
