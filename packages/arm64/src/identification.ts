/**
 * What identification registers and the command line decide: which granules a processor has, whether a kernel gets 52-bit
 * addresses, and what a processor can do for page tables.
 * Sources: Arm Architecture Reference Manual (DDI 0487), ID_AA64MMFRn_EL1; Linux 6.12 arch/arm64/include/asm/cpufeature.h,
 * arch/arm64/kernel/head.S, arch/arm64/kernel/pi/idreg-override.c.
 */
import { ArgumentError, decodeRegister, encodeRegister, type RegisterFormat } from '@pagefold/core';
import type { Arm64Cpu } from './cpu.ts';
import type { Granule } from './granule.ts';
import { isLpa2Build, type LinuxBuild, paBitsOf, vaBitsMin } from './linux-builds.ts';
import { idAa64mmfr0, idAa64mmfr1, idAa64mmfr2 } from './registers.ts';

/** Identification registers; one that is not supplied reads as 0. */
export interface IdRegisters {
  /** ID_AA64MMFR0_EL1. */
  readonly mmfr0?: bigint;
  /** ID_AA64MMFR1_EL1. */
  readonly mmfr1?: bigint;
  /** ID_AA64MMFR2_EL1. */
  readonly mmfr2?: bigint;
}

const PHYSICAL_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 52, 56];

function fieldsOf(register: RegisterFormat, value = 0n): (name: string) => number {
  const fields = decodeRegister(register, value);
  return (name) => Number(fields[name]);
}

/** A 4-bit field as the signed number that some of them are. */
function signed(value: number): number {
  return value >= 8 ? value - 16 : value;
}

/** What a granule's field says: not there, there, or there with 52-bit addresses (FEAT_LPA2). */
export function granuleSupport(granule: Granule, { mmfr0 }: IdRegisters): 'none' | 'yes' | 'lpa2' {
  const field = fieldsOf(idAa64mmfr0, mmfr0);
  if (granule === '64K') return field('tgran64') <= 7 ? 'yes' : 'none';
  if (granule === '16K') return field('tgran16') === 0 ? 'none' : field('tgran16') >= 2 ? 'lpa2' : 'yes';
  // 0 says yes here, and 15 no.
  return signed(field('tgran4')) < 0 ? 'none' : signed(field('tgran4')) >= 1 ? 'lpa2' : 'yes';
}

/** The same for stage 2, which may lack what stage 1 has. */
export function stage2GranuleSupport(granule: Granule, ids: IdRegisters): 'none' | 'yes' | 'lpa2' {
  const field = fieldsOf(idAa64mmfr0, ids.mmfr0);
  const value = field(granule === '4K' ? 'tgran4_2' : granule === '16K' ? 'tgran16_2' : 'tgran64_2');
  if (value === 0) return granuleSupport(granule, ids);
  return value === 1 ? 'none' : value >= 3 && granule !== '64K' ? 'lpa2' : 'yes';
}

/** Physical address bits of a processor. */
export function physicalBits({ mmfr0 }: IdRegisters): number {
  return PHYSICAL_BITS[fieldsOf(idAa64mmfr0, mmfr0)('parange')] ?? 48;
}

/** A processor, as its registers describe it. */
export function cpuOfIds(ids: IdRegisters): Arm64Cpu {
  const [m1, m2] = [fieldsOf(idAa64mmfr1, ids.mmfr1), fieldsOf(idAa64mmfr2, ids.mmfr2)];
  const paBits = Math.min(physicalBits(ids), 52);
  return {
    paBits,
    lpa: paBits === 52,
    lva: m2('varange') >= 1,
    lpa2: granuleSupport('4K', ids) === 'lpa2' || granuleSupport('16K', ids) === 'lpa2',
    ttst: m2('st') >= 1,
    hafdbs: Math.min(m1('hafdbs'), 2) as 0 | 1 | 2,
    xnx: m1('xnx') >= 1,
    // Present is not in use: HCR_EL2.FWB says so.
    fwb: false,
  };
}

/** What a kernel decides when it starts. */
export interface BootDecision {
  /** Virtual address bits in use. */
  readonly vaBits: number;
  /** 52-bit descriptors are in use. */
  readonly lpa2: boolean;
  /** Physical address bits that it uses. */
  readonly paBits: number;
}

/** What may be said on the command line about it; see {@link parseOverrides}. */
export interface IdOverrides {
  /** `arm64.nolva`: pretend that there are no 52-bit virtual addresses. */
  readonly nolva: boolean;
}

/**
 * Reads what a command line says about address sizes: `arm64.nolva`, or `id_aa64mmfr2.varange=0` (other values are
 * refused, as by Linux). Dashes and underscores are equal.
 */
export function parseOverrides(commandLine: string): IdOverrides {
  const words = commandLine.split(/\s+/).map((word) => word.replaceAll('-', '_'));
  return { nolva: words.some((word) => word === 'arm64.nolva' || word === 'id_aa64mmfr2.varange=0') };
}

/** Identification registers as the kernel sees them after `arm64.nolva`: without 52-bit addresses of any kind it uses. */
export function overriddenIds(build: LinuxBuild, ids: IdRegisters, overrides: IdOverrides): IdRegisters {
  if (!overrides.nolva) return ids;
  const mmfr2 = { ...decodeRegister(idAa64mmfr2, ids.mmfr2 ?? 0n), varange: 0 };
  const without = { ...ids, mmfr2: withUnnamed(idAa64mmfr2, ids.mmfr2 ?? 0n, mmfr2) };
  if (!isLpa2Build(build)) return without;
  const field = build.granule === '4K' ? 'tgran4' : 'tgran16';
  const mmfr0 = decodeRegister(idAa64mmfr0, ids.mmfr0 ?? 0n);
  const lowered = {
    ...mmfr0,
    [field]: granuleSupport(build.granule, ids) === 'lpa2' ? (build.granule === '4K' ? 0 : 1) : Number(mmfr0[field]),
    parange: Math.min(Number(mmfr0.parange), PHYSICAL_BITS.indexOf(48)),
  };
  return { ...without, mmfr0: withUnnamed(idAa64mmfr0, ids.mmfr0 ?? 0n, lowered) };
}

/** A register with other values in its fields; bits that no field names stay. */
function withUnnamed(
  register: RegisterFormat,
  value: bigint,
  fields: Readonly<Record<string, bigint | number>>,
): bigint {
  const named = encodeRegister(register, decodeRegister(register, value));
  return (value ^ named) | encodeRegister(register, fields);
}

/**
 * What a build does on a processor.
 * @throws ArgumentError `no-granule` if the processor lacks the granule: it parks itself
 */
export function bootDecision(
  build: LinuxBuild,
  ids: IdRegisters,
  overrides: IdOverrides = { nolva: false },
): BootDecision {
  const seen = overriddenIds(build, ids, overrides);
  const support = granuleSupport(build.granule, seen);
  if (support === 'none') {
    throw new ArgumentError('no-granule', 'the processor lacks the granule of this kernel', { granule: build.granule });
  }
  const varange = fieldsOf(idAa64mmfr2, seen.mmfr2)('varange');
  const wide = build.vaBits === 52 && (build.granule === '64K' ? varange !== 0 : support === 'lpa2');
  const lpa2 = wide && isLpa2Build(build);
  const most = isLpa2Build(build) && !lpa2 ? 48 : paBitsOf(build);
  return { vaBits: wide ? 52 : vaBitsMin(build), lpa2, paBits: Math.min(physicalBits(seen), most) };
}
