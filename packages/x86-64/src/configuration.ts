/**
 * From register values to a paging and a root.
 * Sources: Intel SDM vol. 3A, section 5.1.1 "Four Paging Modes" (CR0.PG, CR4.PAE, EFER.LME, CR4.LA57), 5.1.3, 5.5.2
 * (CR3), 5.6.2 (keys).
 */
import { ArgumentError, decodeRegister, phys, type RegisterFormat, type RootDescription } from '@pagefold/core';
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
  if (value === undefined || !enabled) return 0;
  decodeRegister(register, value); // refuses a value that is too wide
  return Number(BigInt.asUintN(32, value));
}

/**
 * The root that register values select, for core's `createSpace`. Access checks obey WP, SMEP, SMAP and the keys.
 * @throws ArgumentError `paging-off`, `long-mode`, `register-width`, or `pat-type` for a PAT with reserved types
 */
export function x86Root(registers: X86Registers, cpu: X86Cpu = {}, label = 'cr3'): RootDescription {
  const { pat } = registers;
  const levels = x86LevelsOf(registers);
  const extensions = bits(cr4, registers.cr4 ?? CR4_DEFAULT);
  const { address = 0n } = decodeRegister(cr3Pcid, registers.cr3);
  return {
    paging: x86Paging(levels, {
      features: x86FeaturesOf(registers, cpu),
      ...(cpu.paBits === undefined ? {} : { paBits: cpu.paBits }),
      ...(pat === undefined ? {} : { pat }),
    }),
    address: phys(address << 12n),
    label,
    control: {
      wp: bits(cr0, registers.cr0 ?? CR0_DEFAULT)('wp'),
      smep: extensions('smep'),
      smap: extensions('smap'),
      pkru: keyValue(pkru, registers.pkru, extensions('pke')),
      pkrs: keyValue(pkrs, registers.pkrs, extensions('pks')),
    },
  };
}
