/** arm64 as tools see it: registers, options, and how they become roots. */
import {
  type Architecture,
  ArgumentError,
  checkOptionValues,
  type OptionValues,
  optionNumber,
  optionWords,
  type Paging,
  type RootDescription,
} from '@pagefold/core';
import { stage1Access } from './access.ts';
import { arm64Boot } from './boot/boot.ts';
import { capturedRoot, type RegisterOverrides, refuseSize, refuseStage1, withControl } from './capture.ts';
import { type Arm64Cpu, CPU_WORDS, cpuOfWords, fullCpu } from './cpu.ts';
import { GRANULES } from './granule.ts';
import { arm64Layouts } from './layout/provider.ts';
import { el1Roots, el2Root, type Stage1Half, stage1Root, stage2RootOf } from './regime.ts';
import { arm64Registers } from './registers.ts';
import { arm64RootForms } from './root-forms.ts';
import { ARM64_ELF, arm64RootRegisters } from './root-registers.ts';
import { arm64Fences } from './tlbi/provider.ts';

function cpuOf(values: OptionValues): Arm64Cpu {
  const words = optionWords(values, 'cpu');
  return words === undefined ? fullCpu : cpuOfWords(words);
}

/**
 * Registers and sizes among option values.
 * @throws ArgumentError `size-conflict` if TCR is given and what stands for it; what {@link checkOptionValues} throws
 */
function overridesOf(values: OptionValues): RegisterOverrides {
  checkOptionValues(arm64.options, values);
  const given = (name: string): bigint | undefined => optionNumber(values, name);
  const granule = GRANULES.find((known) => known === values.granule);
  const vaBits = given('va-bits');
  if (given('tcr') !== undefined && (granule !== undefined || vaBits !== undefined)) {
    throw new ArgumentError('size-conflict', 'TCR says granule and size: either --tcr, or --granule and --va-bits');
  }
  return {
    granule,
    vaBits,
    el2: values.el2 === true,
    tcr: given('tcr'),
    mair: given('mair'),
    sctlr: given('sctlr'),
    ttbr0: given('ttbr0'),
    ttbr1: given('ttbr1'),
    vtcr: given('vtcr'),
    vttbr: given('vttbr'),
  };
}

/**
 * A regime without a TCR: granule and size say the rest. Hardware is taken to set access flags, so that entries that
 * were not accessed yet count; 52-bit descriptors are in use where more than 48 bits are asked for.
 */
function plainHalf(given: RegisterOverrides, half: 'low' | 'high', ttbr: bigint): Stage1Half | undefined {
  const { granule, vaBits: bits, el2 = false } = given;
  if (granule === undefined || bits === undefined) return undefined;
  return {
    label: el2 ? 'TTBR0_EL2' : half === 'low' ? 'TTBR0_EL1' : 'TTBR1_EL1',
    half,
    granule,
    tsz: Number(64n - bits),
    ttbr,
    ds: bits > 48n,
    size: bits > 48n ? 6 : 5,
    disabled: false,
    topByteIgnored: false,
    hierarchyDisabled: false,
    el2,
    ha: true,
    hd: false,
    mair: given.mair,
  };
}

const NO_ROOT =
  'give --tcr with --ttbr0 or --ttbr1 (or both), --el2 --tcr --ttbr0, or --vtcr and --vttbr; ' +
  '--granule and --va-bits may stand for --tcr';

/** Roots of stage 1: those whose base registers are given. */
function stage1Roots(given: RegisterOverrides, cpu: Arm64Cpu): RootDescription[] {
  const { tcr, mair, sctlr, ttbr0, ttbr1, el2 } = given;
  if (el2 === true && ttbr1 !== undefined) throw new ArgumentError('el2-ttbr1', 'EL2 has one range: --ttbr0');
  if (tcr === undefined) {
    const halves = [
      ttbr0 === undefined ? undefined : plainHalf(given, 'low', ttbr0),
      ttbr1 === undefined ? undefined : plainHalf(given, 'high', ttbr1),
    ];
    const roots = halves.flatMap((half) => (half === undefined ? [] : [withControl(stage1Root(half, cpu), sctlr)]));
    for (const root of roots) refuseSize(root, given);
    return roots;
  }
  if (el2 === true) return ttbr0 === undefined ? [] : [withControl(el2Root(tcr, ttbr0, cpu, mair), sctlr)];
  return el1Roots({ tcr, ttbr0, ttbr1, mair }, cpu).map((root) => withControl(root, sctlr));
}

/** @throws ArgumentError if stage 1 and stage 2 are asked for at once */
function rootsOf(given: RegisterOverrides, cpu: Arm64Cpu): RootDescription[] {
  const { vtcr, vttbr } = given;
  if (vtcr === undefined && vttbr === undefined) return stage1Roots(given, cpu);
  refuseStage1(given);
  if (vtcr === undefined || vttbr === undefined) {
    throw new ArgumentError('no-root', 'stage 2 needs both --vtcr and --vttbr');
  }
  return [stage2RootOf(vtcr, vttbr, cpu)];
}

/** Registers that people call by the shorter names of the options. */
const SHORT: Readonly<Record<string, string>> = {
  tcr: 'tcr_el1',
  ttbr0: 'ttbr0_el1',
  ttbr1: 'ttbr1_el1',
  mair: 'mair_el1',
  sctlr: 'sctlr_el1',
  vtcr: 'vtcr_el2',
  vttbr: 'vttbr_el2',
};

/** arm64 for tools. */
export const arm64: Architecture = {
  name: 'arm64',
  aliases: ['aarch64', 'armv8'],
  title: 'arm64: every granule and size, LPA2, stage 2, EL2',
  registers: arm64Registers,
  pickRegister: (name) => arm64Registers.find((register) => register.name === (SHORT[name] ?? name)),
  options: [
    { name: 'ttbr0', kind: 'number', meaning: 'TTBR0_EL1: root of the lower range (with --el2 TTBR0_EL2)' },
    { name: 'ttbr1', kind: 'number', meaning: 'TTBR1_EL1: root of the upper range' },
    { name: 'tcr', kind: 'number', meaning: 'TCR_EL1: granules, sizes and what hardware does (with --el2 TCR_EL2)' },
    { name: 'mair', kind: 'number', meaning: "MAIR: memory types (not given: Linux's)" },
    { name: 'sctlr', kind: 'number', meaning: 'SCTLR: WXN and EPAN for access checks' },
    { name: 'el2', kind: 'flag', meaning: 'the registers are those of EL2 without host extensions' },
    { name: 'vttbr', kind: 'number', meaning: 'VTTBR_EL2: root of stage 2' },
    { name: 'vtcr', kind: 'number', meaning: 'VTCR_EL2: granule, sizes and start level of stage 2' },
    {
      name: 'cpu',
      kind: 'list',
      meaning: 'what the processor has (not given: everything but fwb)',
      values: CPU_WORDS,
    },
    { name: 'granule', kind: 'word', meaning: 'granule, with --va-bits instead of --tcr', values: GRANULES },
    { name: 'va-bits', kind: 'number', meaning: 'bits of a range, with --granule instead of --tcr' },
  ],
  accessOptions: stage1Access.options,
  example: '--tcr 0x15001f5b5503510 --ttbr0 0x803e9001 --ttbr1 0x7a000041f16001',
  roots(values) {
    const roots = rootsOf(overridesOf(values), cpuOf(values));
    if (roots.length === 0) throw new ArgumentError('no-root', NO_ROOT);
    return roots;
  },
  paging(values, va): Paging {
    const given = overridesOf(values);
    const { vtcr, vttbr, ttbr0, ttbr1, el2 } = given;
    const stage2 = vtcr !== undefined || vttbr !== undefined;
    // A paging needs no root: any address will do. Bit 55 of an address says which half it belongs to.
    const upper = va !== undefined && el2 !== true && (va >> 55n) % 2n === 1n;
    const half = upper ? { ttbr0: undefined, ttbr1: ttbr1 ?? 0n } : { ttbr0: ttbr0 ?? 0n, ttbr1: undefined };
    const any = ttbr0 === undefined && ttbr1 === undefined ? { ttbr0: 0n } : {};
    const base = stage2 ? { vttbr: vttbr ?? 0n } : va === undefined ? any : half;
    const [root] = rootsOf({ ...given, ...base }, cpuOf(values));
    if (root === undefined) throw new ArgumentError('no-granule', 'give --tcr, --vtcr, or --granule and --va-bits');
    if (root.fault === 'input_size_register') {
      throw new ArgumentError('input-size', 'no such granule, size or start level exists');
    }
    return root.paging;
  },
  ...{ rootRegisters: arm64RootRegisters, rootForms: arm64RootForms, elf: ARM64_ELF },
  captureRoots: (capture, label, values) => [capturedRoot(capture, label, cpuOf(values), overridesOf(values))],
  layouts: arm64Layouts,
  fences: arm64Fences,
  boot: arm64Boot,
};
