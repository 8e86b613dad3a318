/**
 * From register values to a paging and a root.
 * Sources: Intel SDM vol. 3A, section 5.1.1 "Four Paging Modes" (CR0.PG, CR4.PAE, EFER.LME, CR4.LA57), 5.1.3, 5.5.2
 * (CR3), 5.6.2 (keys).
 */
import {
  ArgumentError,
  decodeRegister,
  type IgnoredBits,
  phys,
  type RegisterFormat,
  type RootDescription,
  type RootRange,
} from '@pagefold/core';
import { type X86Feature, type X86Levels, x86Paging } from './geometry.ts';
import { cr0, cr3Pcid, cr4, efer, pkrs, pkru } from './registers.ts';

/** Register values of a stopped processor. What is not supplied is as a 64-bit kernel of today sets it. */
export interface X86Registers {
  /** Not supplied: paging is on, WP is set. */
  readonly cr0?: bigint | undefined;
  readonly cr3: bigint;
  /** Not supplied: four levels, no SMEP, no SMAP, no keys. */
  readonly cr4?: bigint | undefined;
  /** Not supplied: long mode, NXE set. */
  readonly efer?: bigint | undefined;
  /** Not supplied: every key allows everything. */
  readonly pkru?: bigint | undefined;
  /** Not supplied: every key allows everything. */
  readonly pkrs?: bigint | undefined;
  /** Not supplied: Linux's. */
  readonly pat?: bigint | undefined;
}

/** What the processor has, which no register says. */
export interface X86Cpu {
  /** MAXPHYADDR. Not supplied: 52. */
  readonly paBits?: number | undefined;
  /** Leaves of 1 GiB. Not supplied: yes. */
  readonly gbPages?: boolean | undefined;
  /** An AMD processor. Not supplied: no. */
  readonly amd?: boolean | undefined;
}

function bits(register: RegisterFormat, value: bigint): (name: string) => boolean {
  const fields = decodeRegister(register, value);
  return (name) => fields[name] === 1n;
}

const CR0_DEFAULT = 0x8001_0001n; // PG, WP, PE
const CR4_DEFAULT = 0x20n; // PAE
const EFER_DEFAULT = 0xd01n; // NXE, LMA, LME, SCE

/**
 * Levels of tables that CR4 selects.
 * @throws ArgumentError as {@link x86Root}
 */
export function x86LevelsOf({
  cr0: mode = CR0_DEFAULT,
  cr4: extensions = CR4_DEFAULT,
  efer: long = EFER_DEFAULT,
}: Omit<X86Registers, 'cr3'>): X86Levels {
  if (!bits(cr0, mode)('pg')) throw new ArgumentError('paging-off', 'paging is switched off (CR0.PG)', { cr0: mode });
  if (!bits(efer, long)('lma')) {
    throw new ArgumentError('long-mode', 'not in long mode (EFER.LMA): 32-bit and PAE paging are other formats', {
      efer: long,
    });
  }
  const has = bits(cr4, extensions);
  if (!has('pae')) throw new ArgumentError('long-mode', 'long mode needs CR4.PAE', { cr4: extensions });
  return has('la57') ? 5 : 4;
}

/** Does CR4 give CR3 a process-context identifier? */
export function usesPcid(extensions: bigint): boolean {
  return bits(cr4, extensions)('pcide');
}

/**
 * Tags in addresses of data accesses. Intel's linear-address masking covers bits 62:48 or 62:57, for user addresses as
 * CR3 says (LAM_U57 wins), for supervisor addresses as wide as the levels leave free; AMD's upper-address ignore covers
 * 63:57 of both.
 * Sources: Intel's "Linear Address Masking (LAM)" (Instruction Set Extensions Programming Reference); AMD APM vol. 2,
 * "Upper Address Ignore".
 */
function tags(registers: X86Registers, levels: X86Levels): { user?: IgnoredBits; supervisor?: IgnoredBits } {
  const from = (lo: number, hi = 62): IgnoredBits => ({ bits: [hi, lo], dataOnly: true });
  if (bits(efer, registers.efer ?? EFER_DEFAULT)('uaie')) return { user: from(57, 63), supervisor: from(57, 63) };
  const root = bits(cr3Pcid, registers.cr3);
  const extensions = bits(cr4, registers.cr4 ?? CR4_DEFAULT);
  return {
    ...(root('lam_u57') ? { user: from(57) } : root('lam_u48') ? { user: from(48) } : {}),
    ...(extensions('lam_sup') ? { supervisor: from(levels === 5 ? 57 : 48) } : {}),
  };
}

/** Both halves, each with its tags. */
function rangesWithTags(registers: X86Registers, levels: X86Levels): readonly RootRange[] {
  const half = 1n << BigInt(11 + 9 * levels);
  const { user, supervisor } = tags(registers, levels);
  return [
    { start: 0n, end: half, ...(user === undefined ? {} : { ignored: user }) },
    { start: (1n << 64n) - half, end: 1n << 64n, ...(supervisor === undefined ? {} : { ignored: supervisor }) },
  ];
}

/** Features that registers and processor switch on. */
export function x86FeaturesOf(registers: Omit<X86Registers, 'cr3'>, cpu: X86Cpu = {}): X86Feature[] {
  const extensions = bits(cr4, registers.cr4 ?? CR4_DEFAULT);
  return [
    ...(bits(efer, registers.efer ?? EFER_DEFAULT)('nxe') ? (['nx'] as const) : []),
    ...(cpu.gbPages === false ? [] : (['gbpages'] as const)),
    ...(extensions('pke') || extensions('pks') ? (['pk'] as const) : []),
    ...(cpu.amd === true ? (['amd'] as const) : []),
  ];
}

/** A key register, which counts only while its bit in CR4 is set. */
function keyValue(register: RegisterFormat, value: bigint | undefined, enabled: boolean): number {
  if (value === undefined) return 0;
  decodeRegister(register, value); // refuses a value that is too wide, whether it counts or not
  return enabled ? Number(BigInt.asUintN(32, value)) : 0;
}

/** Bits of CR3 that no processor lets anybody set (SDM 5.5.2, tables 5-12 and 5-13): virtual addresses have them. */
const CR3_RESERVED = 0x1ff0_0000_0000_0000n;

/**
 * The root that register values select, for core's `createSpace`. Access checks obey WP, SMEP, SMAP and the keys.
 * @throws ArgumentError `paging-off`, `long-mode`, `register-width`, `cr3-reserved` for bits 60:52 of CR3, or `pat-type`
 *   for a PAT with reserved types
 */
export function x86Root(registers: X86Registers, cpu: X86Cpu = {}, label = 'cr3'): RootDescription {
  const { pat } = registers;
  const levels = x86LevelsOf(registers);
  const extensions = bits(cr4, registers.cr4 ?? CR4_DEFAULT);
  const { address = 0n } = decodeRegister(cr3Pcid, registers.cr3);
  if ((registers.cr3 & CR3_RESERVED) !== 0n) {
    throw new ArgumentError('cr3-reserved', 'bits 60:52 of CR3 are zero: it holds a physical address', {
      cr3: registers.cr3,
    });
  }
  return {
    paging: x86Paging(levels, {
      features: x86FeaturesOf(registers, cpu),
      ...(cpu.paBits === undefined ? {} : { paBits: cpu.paBits }),
      ...(pat === undefined ? {} : { pat }),
    }),
    address: phys(address << 12n),
    label,
    ranges: rangesWithTags(registers, levels),
    control: {
      wp: bits(cr0, registers.cr0 ?? CR0_DEFAULT)('wp'),
      smep: extensions('smep'),
      smap: extensions('smap'),
      pkru: keyValue(pkru, registers.pkru, extensions('pke')),
      pkrs: keyValue(pkrs, registers.pkrs, extensions('pks')),
    },
  };
}
