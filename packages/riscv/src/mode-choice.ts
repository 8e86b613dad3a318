/**
 * How Linux picks the translation mode at boot: it starts from the largest mode it may use, maps the running code at its
 * physical address, writes satp and looks whether the write took.
 *
 * Source: Linux 6.12 arch/riscv/mm/init.c (`set_satp_mode`), kernel/pi/cmdline_early.c; the device-tree limit of v6.18
 * is commit 17e9521044c9, the address check db909bd7986c (v7.1, carried back to 6.12.92). The series "Introduce sv48
 * support without relocatable kernel", v3, is of December 2021.
 */
import { ArgumentError, decodeRegister, unnamedBits } from '@pagefold/core';
import { entryForRelease, parseRelease, type ReleaseRange } from './layout/release.ts';
import { RISCV_MODES, type RiscvMode, riscvGeometries } from './modes.ts';
import { decodeSatp, encodeSatp, satp32, satp64 } from './satp.ts';

/** A hart, as far as probing sees it: one register. */
export interface SatpHart {
  readonly satp: bigint;
  /** Writes satp: a value whose MODE the hart does not have changes nothing at all. */
  write(value: bigint): void;
}

/** A modelled hart. */
export interface SatpHartOptions {
  /** Bits of the ASID that exist, from the lowest. Not supplied: all 16 (RV32: 9). */
  readonly asidBits?: number;
}

/**
 * Models a hart.
 * @param modes what it has besides Bare. Sv32 makes it RV32 and excludes the others.
 * @throws ArgumentError `hart-modes` for a mixture
 */
export function createSatpHart(modes: Iterable<RiscvMode>, options: SatpHartOptions = {}): SatpHart {
  const has = new Set(modes);
  const xlen = has.has('sv32') ? 32 : 64;
  if (xlen === 32 && has.size > 1) throw new ArgumentError('hart-modes', 'an RV32 hart has no mode but sv32');
  const register = xlen === 32 ? satp32 : satp64;
  const { asidBits = xlen === 32 ? 9 : 16 } = options;
  let satp = 0n;
  return {
    get satp() {
      return satp;
    },
    write(value) {
      // Refuses values wider than the register before anything else.
      const decoded = decodeSatp(value, xlen);
      if (decoded.kind === 'bare') satp = 0n;
      if (decoded.kind !== 'translation' || !has.has(decoded.mode)) return;
      const { asid = 0n } = decodeRegister(register, value);
      satp = encodeSatp(decoded.mode, decoded.root, Number(BigInt.asUintN(asidBits, asid)));
      satp |= unnamedBits(register, value);
    },
  };
}

/** The rules of a range of releases. */
export interface ModePolicy {
  readonly name: string;
  readonly title: string;
  readonly releases: readonly ReleaseRange[];
  /** The largest mode that it is built for. */
  readonly largest: RiscvMode;
  /** Do `no4lvl` and `no5lvl` count? Anywhere in the command line, even inside another word. */
  readonly commandLine: boolean;
  /**
   * `mmu-type` of the device tree: not looked at; a request for Sv39 that is heard only without KASAN, because the code
   * that reads the tree is instrumented and there is no shadow before the MMU is on; or a limit.
   */
  readonly deviceTree: 'ignored' | 'sv39-without-kasan' | 'limit';
  /** Is a mode kept unprobed in which the code's physical address could not be mapped at itself? */
  readonly checksAddress: boolean;
}

const probing: Omit<ModePolicy, 'name' | 'title' | 'releases' | 'largest'> = {
  commandLine: false,
  deviceTree: 'ignored',
  checksAddress: false,
};

/** All rules, oldest first. */
export const modePolicies: readonly ModePolicy[] = [
  { ...probing, name: 'v5.16', title: 'Sv39 only', releases: [{ from: '4.15', to: '5.16' }], largest: 'sv39' },
  {
    ...probing,
    name: 'sv48-series-v3',
    title: 'the sv48 series of December 2021: the device tree may ask for Sv39, without KASAN',
    releases: [],
    largest: 'sv48',
    deviceTree: 'sv39-without-kasan',
  },
  { ...probing, name: 'v5.17', title: 'probes Sv48', releases: [{ from: '5.17', to: '5.17' }], largest: 'sv48' },
  { ...probing, name: 'v5.18-v6.3', title: 'probes Sv57', releases: [{ from: '5.18', to: '6.3' }], largest: 'sv57' },
  {
    ...probing,
    name: 'v6.4-v6.17',
    title: 'no4lvl and no5lvl on the command line',
    releases: [{ from: '6.4', to: '6.17' }],
    largest: 'sv57',
    commandLine: true,
  },
  {
    ...probing,
    name: 'v6.12.y',
    title: 'v6.12 from 6.12.92 on: does not try a mode in which the code would have no address',
    releases: [{ from: '6.12', to: '6.12', patch: 92 }],
    largest: 'sv57',
    commandLine: true,
    checksAddress: true,
  },
  {
    ...probing,
    name: 'v6.18-v7.0',
    title: 'mmu-type of the first enabled CPU limits the mode',
    releases: [{ from: '6.18', to: '7.0' }],
    largest: 'sv57',
    commandLine: true,
    deviceTree: 'limit',
  },
  {
    ...probing,
    name: 'v7.1+',
    title: 'both: the limit of mmu-type and the address check',
    releases: [{ from: '7.1' }],
    largest: 'sv57',
    commandLine: true,
    deviceTree: 'limit',
    checksAddress: true,
  },
];

/**
 * Rules by their name or by a release that follows them.
 * @throws ArgumentError `mode-policy` if there are none
 */
export function findModePolicy(text: string): ModePolicy {
  const wanted = text.trim().toLowerCase();
  const release = parseRelease(text);
  const found =
    modePolicies.find(({ name }) => name.toLowerCase() === wanted) ??
    (release === undefined ? undefined : entryForRelease(modePolicies, release));
  if (found !== undefined) return found;
  const names = modePolicies.map(({ name }) => name).join(', ');
  throw new ArgumentError('mode-policy', `a release from 4.15 on, or one of ${names}`, { policy: text });
}

/** A cpu node of the device tree, in its order. */
export interface CpuNode {
  /** `mmu-type`: `riscv,sv48`. Not supplied: the node has none. */
  readonly mmuType?: string;
  /** Not supplied: enabled. */
  readonly enabled?: boolean;
}

/** What the choice depends on. */
export interface ModeInputs {
  readonly hart: SatpHart;
  readonly policy: ModePolicy;
  /** Not supplied: empty. */
  readonly commandLine?: string;
  /** Not supplied: none. */
  readonly cpus?: readonly CpuNode[];
  /** Built with KASAN. Not supplied: no. */
  readonly kasan?: boolean;
  /** Built to run from flash: those kernels are for Sv39 only. Not supplied: no. */
  readonly xip?: boolean;
  /** Physical address of the probing code; it runs there, so it must be mapped at the same virtual address. */
  readonly kernelPa: bigint;
  /** Physical address of the root table used for probing. Not supplied: 2 MiB above the code. */
  readonly rootPa?: bigint;
}

/** One try. */
export interface ModeProbe {
  readonly mode: RiscvMode;
  readonly written: bigint;
  readonly readBack: bigint;
}

/** The mode chosen, and how. */
export interface ChosenMode {
  readonly mode: RiscvMode;
  /** What was written to satp, in order. */
  readonly probes: readonly ModeProbe[];
  /** Why this mode, one short sentence for each decision. */
  readonly reasons: readonly string[];
}

/** 64-bit modes from the largest down. */
const DOWNWARDS: readonly RiscvMode[] = RISCV_MODES.filter((mode) => mode !== 'sv32').reverse();

function smaller(a: RiscvMode, b: RiscvMode): RiscvMode {
  return RISCV_MODES.indexOf(a) < RISCV_MODES.indexOf(b) ? a : b;
}

/** The limit that the device tree sets, and why. */
function deviceTreeLimit({ policy, cpus = [], kasan = false }: ModeInputs): [RiscvMode, string] | undefined {
  if (policy.deviceTree === 'limit') {
    const type = cpus.find(({ enabled = true }) => enabled)?.mmuType;
    const mode = DOWNWARDS.find((each) => type === `riscv,${each}`);
    return mode === undefined ? undefined : [mode, `mmu-type of the first enabled CPU is ${type}`];
  }
  if (policy.deviceTree === 'ignored' || kasan) return undefined;
  // The series took the first node that has the property, enabled or not, and knew one word.
  const type = cpus.find(({ mmuType }) => mmuType !== undefined)?.mmuType;
  return type === 'riscv,sv39' ? ['sv39', 'the device tree asks for riscv,sv39'] : undefined;
}

/** `no4lvl` wins over `no5lvl`. Both are looked for as plain text. */
function commandLineLimit({ policy, commandLine = '' }: ModeInputs): [RiscvMode, string] | undefined {
  if (!policy.commandLine) return undefined;
  if (commandLine.includes('no4lvl')) return ['sv39', 'no4lvl is in the command line'];
  return commandLine.includes('no5lvl') ? ['sv48', 'no5lvl is in the command line'] : undefined;
}

/** Can code at a physical address be mapped at the same virtual address? */
function hasIdentity(mode: RiscvMode, pa: bigint): boolean {
  return pa >> BigInt(riscvGeometries[mode].vaBits - 1) === 0n;
}

/**
 * Chooses the mode of a 64-bit kernel as its boot code does. The hart's satp is 0 afterwards.
 * @throws ArgumentError as `encodeSatp` does for an unusable root
 */
export function chooseMode(inputs: ModeInputs): ChosenMode {
  const { hart, policy, kernelPa, rootPa = (kernelPa & -4096n) + (1n << 21n), xip = false } = inputs;
  const probes: ModeProbe[] = [];
  if (xip) return { mode: 'sv39', probes, reasons: ['kernels that run from flash use Sv39 only'] };
  let mode = policy.largest;
  const reasons = [`${policy.name} is built for ${mode}`];
  for (const limit of [commandLineLimit(inputs), deviceTreeLimit(inputs)]) {
    if (limit === undefined) continue;
    mode = smaller(mode, limit[0]);
    reasons.push(limit[1]);
  }
  for (const next of DOWNWARDS.slice(DOWNWARDS.indexOf(mode) + 1)) {
    if (policy.checksAddress && !hasIdentity(mode, kernelPa)) {
      reasons.push(`the code has no address of its own in ${mode}, which stays untried`);
      return { mode, probes, reasons };
    }
    const written = encodeSatp(mode, rootPa);
    hart.write(written);
    const readBack = hart.satp;
    hart.write(0n);
    probes.push({ mode, written, readBack });
    if (readBack === written) {
      reasons.push(`the hart took ${mode}`);
      return { mode, probes, reasons };
    }
    reasons.push(`the hart did not take ${mode}`);
    mode = next;
  }
  reasons.push(`${mode} is not tried: every 64-bit hart with an MMU has it`);
  return { mode, probes, reasons };
}
