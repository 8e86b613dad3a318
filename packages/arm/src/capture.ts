/**
 * Roots of a stopped machine, from a facts file: each root with what is special about it, what somebody read out of the
 * registers (`regime`), and the raw registers. What a root says goes before the regime, the regime before registers.
 */
import {
  ArgumentError,
  type Capture,
  createPaging,
  type Facts,
  numberIn,
  type RootDescription,
  recordIn,
  rootFacts,
} from '@pagefold/core';
import { lpaeGeometry } from './geometry.ts';
import { type ArmRegisters, ASSUMED_FEATURES, isLpae, lpaeFormatOf, type ShortFeature, shortPaging } from './regime.ts';

/**
 * Which format the tables of a root have.
 * @throws ArgumentError if nothing says it
 */
function formatOf(
  root: Facts,
  regime: Facts,
  registers: Facts,
  given: Partial<ArmRegisters>,
  label: string,
): 'short' | 'long' {
  if (given.ttbcr !== undefined) return isLpae(given.ttbcr) ? 'long' : 'short';
  const word = root.format ?? regime.format;
  if (typeof word === 'string') return /long|lpae/i.test(word) ? 'long' : 'short';
  const ttbcr = numberIn(registers, 'TTBCR');
  if (ttbcr !== undefined) return isLpae(ttbcr) ? 'long' : 'short';
  throw new ArgumentError('capture-format', 'the file has neither format nor registers.TTBCR: give --ttbcr', {
    root: label,
  });
}

/** Features of short descriptors, as the identification and control registers of the machine have them. */
function featuresIn(registers: Facts): ShortFeature[] {
  const control = numberIn(registers, 'SCTLR');
  const mmfr0 = numberIn(registers, 'ID_MMFR0');
  const mmfr3 = numberIn(registers, 'ID_MMFR3');
  const on: Readonly<Record<ShortFeature, boolean | undefined>> = {
    pxn: mmfr0 === undefined ? undefined : (mmfr0 & 0xfn) >= 4n,
    supersections: mmfr3 === undefined ? undefined : mmfr3 >> 28n === 0n,
    afe: control === undefined ? undefined : ((control >> 29n) & 1n) === 1n,
    tre: control === undefined ? undefined : ((control >> 28n) & 1n) === 1n,
  };
  return (Object.keys(on) as ShortFeature[]).filter((name) => on[name] ?? ASSUMED_FEATURES.includes(name));
}

/** The registers that say how entries are read: those that were given, else those of the machine. */
function registersOf(registers: Facts, given: Partial<ArmRegisters>): Partial<ArmRegisters> {
  const domains = numberIn(registers, 'DACR');
  return {
    // PRRR and NMRR are MAIR0 and MAIR1 under other names.
    prrr: given.prrr ?? numberIn(registers, 'PRRR', 'MAIR0'),
    nmrr: given.nmrr ?? numberIn(registers, 'NMRR', 'MAIR1'),
    mair0: given.mair0 ?? numberIn(registers, 'MAIR0'),
    mair1: given.mair1 ?? numberIn(registers, 'MAIR1'),
    dacr: given.dacr ?? (domains === undefined ? undefined : Number(domains)),
  };
}

/**
 * The root of a facts file. A root is shown with all that its table translates: where the other table base comes in
 * is a matter of both.
 * @param given register values that go before everything in the file
 * @param features those of short descriptors; not supplied: as the file's registers say
 * @throws ArgumentError `capture-root` if there is no such root, or it does not say where its table is; `capture-format`
 *   if nothing says which format its tables have; `register-conflict` if the base register of another root is given
 */
export function capturedRoots(
  capture: Capture,
  label: string,
  given: Partial<ArmRegisters>,
  features?: readonly ShortFeature[],
): RootDescription[] {
  const root = rootFacts(capture, label);
  const [regime, raw] = [recordIn(capture, 'regime'), recordIn(capture, 'registers')];
  const which = typeof root.reg === 'string' && root.reg.toUpperCase().endsWith('1') ? 1 : 0;
  if ((which === 1 ? given.ttbr0 : given.ttbr1) !== undefined) {
    throw new ArgumentError('register-conflict', `the root is in TTBR${which}, the option names TTBR${1 - which}`, {
      root: label,
    });
  }
  const base =
    (which === 1 ? given.ttbr1 : given.ttbr0) ??
    numberIn(root, 'root_pa') ??
    numberIn(root, 'ttbr') ??
    numberIn(raw, `TTBR${which}`);
  if (base === undefined) {
    throw new ArgumentError('capture-root', 'the root has neither root_pa nor ttbr', { root: label });
  }
  const registers = registersOf(raw, given);
  const long = formatOf(root, regime, raw, given, label) === 'long';
  const paging = long
    ? createPaging(lpaeFormatOf(registers), longGeometryOf(root, regime, raw, which, given, label))
    : shortPaging(features ?? featuresIn(raw), shortBits(root, regime, raw, which, given), registers);
  const bytes = BigInt(paging.geometry.root.alignBytes);
  const address = base & 0xff_ffff_ffffn;
  return [
    {
      paging,
      address: address - (address % bytes),
      label,
      ...(long || registers.dacr === undefined ? {} : { control: { dacr: registers.dacr } }),
    },
  ];
}

/** Address bits that a root of short descriptors covers. */
function shortBits(root: Facts, regime: Facts, raw: Facts, which: 0 | 1, given: Partial<ArmRegisters>): number {
  const told = numberIn(root, 'n') ?? numberIn(regime, 'ttbcr_n') ?? (numberIn(raw, 'TTBCR') ?? 0n) & 7n;
  const n = given.ttbcr === undefined ? told : given.ttbcr & 7n;
  return which === 1 ? 32 : 32 - Number(n);
}

function longGeometryOf(
  root: Facts,
  regime: Facts,
  raw: Facts,
  which: 0 | 1,
  given: Partial<ArmRegisters>,
  label: string,
): ReturnType<typeof lpaeGeometry> {
  const shift = which === 1 ? 16n : 0n;
  const size =
    given.ttbcr === undefined
      ? (numberIn(root, 'tsz') ?? numberIn(regime, `t${which}sz`) ?? ((numberIn(raw, 'TTBCR') ?? 0n) >> shift) & 7n)
      : (given.ttbcr >> shift) & 7n;
  const geometry = lpaeGeometry(32 - Number(size), which === 1 && size > 0n ? 'one' : 'zero');
  const level = numberIn(root, 'start_level');
  const starts = size < 2n ? 1n : 2n;
  if (given.ttbcr === undefined && level !== undefined && level !== starts) {
    throw new ArgumentError('capture-root', 'the start level of the root does not follow from its size', {
      root: label,
      tsz: size,
      startLevel: level,
    });
  }
  return geometry;
}
