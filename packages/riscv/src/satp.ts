/**
 * satp: which mode translates, for which address space, from which root.
 * Source: RISC-V ISA Volume II, "Supervisor Address Translation and Protection (satp) Register".
 */
import {
  ArgumentError,
  checkBigints,
  decodeRegister,
  encodeRegister,
  type PhysAddr,
  phys,
  type RegisterFormat,
  type RootDescription,
  rangesWidth,
} from '@pagefold/core';
import { type RiscvFeature, type RiscvMode, riscvPaging } from './modes.ts';

const SECTION = 'satp';

/** satp with XLEN = 64. */
export const satp64: RegisterFormat = {
  name: 'satp',
  bits: 64,
  title: 'supervisor address translation and protection, RV64',
  section: SECTION,
  fields: [
    {
      name: 'mode',
      bits: [[63, 60]],
      meaning: 'translation mode',
      values: { 0: 'bare', 8: 'sv39', 9: 'sv48', 10: 'sv57', 11: 'reserved for sv64', 14: 'custom', 15: 'custom' },
      section: SECTION,
    },
    { name: 'asid', bits: [[59, 44]], meaning: 'address-space identifier', section: SECTION },
    { name: 'ppn', bits: [[43, 0]], meaning: 'page number of the root table', section: SECTION },
  ],
};

/** satp with XLEN = 32. */
export const satp32: RegisterFormat = {
  name: 'satp',
  bits: 32,
  title: 'supervisor address translation and protection, RV32',
  section: SECTION,
  fields: [
    { name: 'mode', bits: [[31, 31]], meaning: 'translation mode', values: { 0: 'bare', 1: 'sv32' }, section: SECTION },
    { name: 'asid', bits: [[30, 22]], meaning: 'address-space identifier', section: SECTION },
    { name: 'ppn', bits: [[21, 0]], meaning: 'page number of the root table', section: SECTION },
  ],
};

/** MODE values by mode. */
export const SATP_MODES: Readonly<Record<RiscvMode, number>> = { sv32: 1, sv39: 8, sv48: 9, sv57: 10 };

/** A satp value that selects a translation. */
export interface SatpTranslation {
  readonly kind: 'translation';
  readonly mode: RiscvMode;
  readonly asid: number;
  /** Physical address of the root table. */
  readonly root: PhysAddr;
}

/** A satp value that selects none, and why. */
export interface SatpOther {
  readonly kind: 'bare' | 'bare_with_nonzero_fields' | 'reserved_mode' | 'reserved_for_sv64' | 'custom_mode';
}

/**
 * What a satp value selects.
 * @param value the register
 * @param xlen 32 or 64
 * @throws ArgumentError if the value is wider than the register
 */
export function decodeSatp(value: bigint, xlen: 32 | 64 = 64): SatpTranslation | SatpOther {
  const { mode, asid, ppn } = decodeRegister(xlen === 64 ? satp64 : satp32, value) as Record<
    'mode' | 'asid' | 'ppn',
    bigint
  >;
  if (mode === 0n) return { kind: asid === 0n && ppn === 0n ? 'bare' : 'bare_with_nonzero_fields' };
  const found = (Object.entries(SATP_MODES) as [RiscvMode, number][]).find(
    ([name, code]) => BigInt(code) === mode && (name === 'sv32') === (xlen === 32),
  );
  if (found !== undefined) return { kind: 'translation', mode: found[0], asid: Number(asid), root: phys(ppn << 12n) };
  if (mode === 11n) return { kind: 'reserved_for_sv64' };
  return { kind: mode >= 14n ? 'custom_mode' : 'reserved_mode' };
}

/** Does a value fit into a field of the register? */
function fits(register: RegisterFormat, name: string, value: bigint): boolean {
  const width = rangesWidth(register.fields.find((field) => field.name === name)?.bits ?? []);
  return BigInt.asUintN(width, value) === value;
}

/**
 * The satp value for a translation.
 * @param mode the mode, which also decides the width
 * @param root physical address of the root table: a multiple of 4096, below 2^34 in Sv32, else below 2^56
 * @param asid 0 to 511 in Sv32, else to 65535 (fewer bits may be implemented); not supplied: 0
 * @throws ArgumentError `satp-mode` for an unknown mode, `satp-root` if the root is unaligned or too high, `satp-asid`
 *   if the ASID is too wide
 */
export function encodeSatp(mode: RiscvMode, root: bigint, asid = 0): bigint {
  const code = SATP_MODES[mode];
  if (code === undefined) throw new ArgumentError('satp-mode', 'satp has no such mode', { mode: String(mode) });
  const register = mode === 'sv32' ? satp32 : satp64;
  checkBigints({ root });
  if (root % 4096n !== 0n || !fits(register, 'ppn', root >> 12n)) {
    throw new ArgumentError('satp-root', `a root is page aligned and within the physical bits of ${mode}`, { root });
  }
  if (!Number.isInteger(asid) || !fits(register, 'asid', BigInt(asid))) {
    throw new ArgumentError('satp-asid', `the ASID does not fit into satp of RV${register.bits}`, {
      asid: String(asid),
    });
  }
  return encodeRegister(register, { mode: code, asid, ppn: root >> 12n });
}

/**
 * The root that a satp value selects, for core's `createSpace`.
 * @param xlen 32 or 64
 * @param features extensions that are on; not supplied, none
 * @throws ArgumentError `satp-mode` if the value selects no translation, `register-width` if it is too wide
 */
export function satpRoot(value: bigint, features: Iterable<RiscvFeature> = [], xlen: 32 | 64 = 64): RootDescription {
  const satp = decodeSatp(value, xlen);
  if (satp.kind !== 'translation') {
    throw new ArgumentError('satp-mode', 'satp selects no translation', { satp: value, is: satp.kind });
  }
  return { paging: riscvPaging(satp.mode, features), address: satp.root, label: 'satp' };
}
