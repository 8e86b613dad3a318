/** From a root to the register that selects it, and what ELF files of the machine say. */
import { ArgumentError, type OptionValues, optionNumber, type RootDescription } from '@pagefold/core';
import { RISCV_MODES, type RiscvMode } from './modes.ts';
import { decodeSatp, encodeSatp } from './satp.ts';

/** EM_RISCV. */
export const RISCV_ELF = { machine: 243, bits: 64 } as const;

/**
 * satp for a root; a satp among the options gives its ASID.
 * @throws ArgumentError `one-root` unless there is exactly one, `satp-mode` if no mode has its geometry
 */
export function riscvRootRegisters(roots: readonly RootDescription[], values: OptionValues): Record<string, bigint> {
  const [root] = roots;
  if (root === undefined || roots.length > 1) throw new ArgumentError('one-root', 'satp selects one root');
  const { name } = root.paging.geometry;
  if (!RISCV_MODES.some((mode) => mode === name)) {
    throw new ArgumentError('satp-mode', 'satp has no such mode', { mode: name });
  }
  const mode = name as RiscvMode;
  const given = optionNumber(values, 'satp');
  const decoded = given === undefined ? undefined : decodeSatp(given, mode === 'sv32' ? 32 : 64);
  return { satp: encodeSatp(mode, root.address, decoded?.kind === 'translation' ? decoded.asid : 0) };
}
