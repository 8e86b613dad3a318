/**
 * Roots of a stopped machine, from a facts file: raw registers (`registers`), what somebody read out of them (`regime`),
 * and each root with what is special about it. What a root says goes before the regime, the regime before registers.
 */
import {
  ArgumentError,
  type Capture,
  encodeRegister,
  type Facts,
  numberIn,
  type RootDescription,
  recordIn,
  rootFacts,
} from '@pagefold/core';
import type { Arm64Cpu } from './cpu.ts';
import type { TopByteIgnored } from './geometry.ts';
import { type Granule, hardwareLevel, PAGE_BITS } from './granule.ts';
import {
  el1Half,
  el2Half,
  type Stage1Half,
  type Stage2Parts,
  stage1Root,
  stage2PartsOf,
  stage2Root,
} from './regime.ts';
import { tcrEl1, tcrEl2, vtcrEl2 } from './registers.ts';

/** Register values that a tool was given besides; they go before everything in the file. */
export interface RegisterOverrides {
  readonly tcr?: bigint | undefined;
  readonly mair?: bigint | undefined;
  readonly sctlr?: bigint | undefined;
  readonly ttbr0?: bigint | undefined;
  readonly ttbr1?: bigint | undefined;
  readonly vtcr?: bigint | undefined;
  readonly vttbr?: bigint | undefined;
}

/** A root of a facts file and what it says. */
class CapturedRoot {
  readonly #root: Facts;
  readonly #regime: Facts;
  readonly #registers: Facts;
  readonly #label: string;
  readonly #given: RegisterOverrides;

  constructor(capture: Capture, label: string, given: RegisterOverrides) {
    this.#root = rootFacts(capture, label);
    this.#regime = recordIn(capture, 'regime');
    this.#registers = recordIn(capture, 'registers');
    this.#label = label;
    this.#given = given;
    if (this.#root.start_level === null) {
      throw new ArgumentError('mmu-off', 'translation was switched off there: the root has no start level', {
        root: label,
      });
    }
  }

  register(name: string): bigint | undefined {
    return numberIn(this.#registers, name);
  }

  get name(): string {
    return typeof this.#root.reg === 'string' ? this.#root.reg.toUpperCase() : '';
  }

  get stage(): 1 | 2 {
    return this.#root.stage === 2 || this.name.startsWith('VTTBR') ? 2 : 1;
  }

  get el2(): boolean {
    return this.#root.el === 2 || this.name.endsWith('_EL2');
  }

  /** EL2 with its host extensions (HCR_EL2.E2H) has two ranges, like EL1. */
  get hostExtensions(): boolean {
    return ((this.register('HCR_EL2') ?? 0n) >> 34n) % 2n === 1n;
  }

  get upper(): boolean {
    return this.#root.upper === true || this.name.startsWith('TTBR1');
  }

  /** Something that the root says of itself, or else the regime. */
  fact(name: string, regimeName: string = name): number | undefined {
    const value = numberIn(this.#root, name) ?? numberIn(this.#regime, regimeName);
    return value === undefined ? undefined : Number(value);
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.fact(name);
    return value === undefined ? otherwise : value !== 0;
  }

  /** TBI and, if the file says it at all, TBID. */
  topByte(n: 0 | 1, otherwise: TopByteIgnored): TopByteIgnored {
    if (!this.flag(`tbi${n}`, otherwise !== false)) return false;
    return this.flag(`tbid${n}`, otherwise === 'data') ? 'data' : true;
  }

  granule(name: string): Granule | undefined {
    const bytes = this.fact(name);
    const granules = Object.entries(PAGE_BITS) as [Granule, number][];
    return granules.find(([, bits]) => 2 ** bits === bytes)?.[0];
  }

  /** The base register's value, and the root's address if the file has it apart. */
  base(given: bigint | undefined): { readonly ttbr: bigint; readonly root?: bigint } {
    if (given !== undefined) return { ttbr: given };
    const ttbr = numberIn(this.#root, 'ttbr');
    const root = numberIn(this.#root, 'root_pa');
    if (ttbr === undefined && root === undefined) {
      throw new ArgumentError('capture-root', `root ${this.#label} has neither ttbr nor root_pa`);
    }
    return { ttbr: ttbr ?? 0n, ...(root === undefined ? {} : { root }) };
  }

  /** What the file's own walker says about the start must be what the sizes lead to. */
  checkStart(root: RootDescription): RootDescription {
    const given = numberIn(this.#root, 'start_level');
    const { root: level } = root.paging.geometry;
    if (given !== undefined && Number(given) !== hardwareLevel(level.level)) {
      throw new ArgumentError('start-level', `root ${this.#label}: the sizes lead to another start level`, {
        given: String(given),
        computed: String(level.hardware),
      });
    }
    return { ...root, label: this.#label };
  }

  get given(): RegisterOverrides {
    return this.#given;
  }

  get label(): string {
    return this.#label;
  }
}

/** What a file without the register does not say has the value of a plain machine: 4K granule, 48 bits out. */
const PLAIN = {
  tcr: encodeRegister(tcrEl1, { tg1: 2, ips: 5 }),
  tcrEl2: encodeRegister(tcrEl2, { ps: 5 }),
  vtcr: encodeRegister(vtcrEl2, { ps: 5 }),
};

function stage1(root: CapturedRoot, cpu: Arm64Cpu): RootDescription {
  const { given, upper } = root;
  const oneRange = root.el2 && !root.hostExtensions;
  const tcr = given.tcr ?? root.register(root.el2 ? 'TCR_EL2' : 'TCR_EL1');
  const mair = given.mair ?? root.register(root.el2 ? 'MAIR_EL2' : 'MAIR_EL1');
  const base = root.base(upper ? given.ttbr1 : given.ttbr0);
  const half = oneRange
    ? el2Half(tcr ?? PLAIN.tcrEl2, base.ttbr, mair)
    : el1Half(tcr ?? PLAIN.tcr, upper ? 'high' : 'low', base.ttbr, mair);
  const n = upper ? 1 : 0;
  // A register that was given replaces all that the file says; the regime of a file with stage 2 is that of stage 2.
  const own = given.tcr !== undefined || (oneRange && tcr !== undefined);
  const facts: Partial<Stage1Half> = own
    ? {}
    : {
        granule: root.granule(`granule${n}`) ?? half.granule,
        ds: root.flag('ds_lpa2', half.ds),
        size: root.fact('ips') ?? half.size,
        topByteIgnored: root.topByte(n, half.topByteIgnored),
        hierarchyDisabled: root.flag(`hpd${n}`, half.hierarchyDisabled),
        ha: root.flag('ha', half.ha),
        hd: root.flag('hd', half.hd),
      };
  const described: Stage1Half = {
    ...half,
    ...facts,
    tsz: given.tcr === undefined ? (root.fact('tsz', `t${n}sz`) ?? half.tsz) : half.tsz,
    // A root that no register holds is walked as if one did.
    disabled: root.name === '' ? false : root.flag(`epd${n}`, half.disabled),
    root: base.root,
  };
  const sctlr = given.sctlr ?? root.register(root.el2 ? 'SCTLR_EL2' : 'SCTLR_EL1');
  return root.checkStart(withControl(stage1Root(described, cpu), sctlr));
}

/** Control bits of the access check that SCTLR holds. */
export function withControl(root: RootDescription, sctlr: bigint | undefined): RootDescription {
  if (sctlr === undefined) return root;
  return { ...root, control: { wxn: (sctlr >> 19n) % 2n === 1n, epan: (sctlr >> 57n) % 2n === 1n } };
}

function stage2(root: CapturedRoot, cpu: Arm64Cpu): RootDescription {
  const { given } = root;
  const vtcr = given.vtcr ?? root.register('VTCR_EL2');
  const base = root.base(given.vttbr);
  const parts = stage2PartsOf(vtcr ?? PLAIN.vtcr, base.ttbr, cpu);
  const forced = ((root.register('HCR_EL2') ?? 0n) >> 46n) % 2n === 1n;
  const facts: Partial<Stage2Parts> =
    given.vtcr !== undefined
      ? {}
      : {
          granule: root.granule('granule0') ?? parts.granule,
          t0sz: root.fact('tsz', 't0sz') ?? parts.t0sz,
          start: root.fact('start_level') ?? parts.start,
          ds: root.flag('ds_lpa2', parts.ds),
          size: root.fact('ps') ?? parts.size,
          ha: root.flag('ha', parts.ha),
          hd: root.flag('hd', parts.hd),
        };
  const described = { ...parts, ...facts, root: base.root, label: root.label };
  return root.checkStart(stage2Root(described, forced ? { ...cpu, fwb: true } : cpu));
}

/**
 * The root of a facts file.
 * @param cpu what the processor has; the file's registers say what of it was in use
 * @param given register values that replace what the file says
 * @throws ArgumentError `capture-root` if there is no such root or it has no address, `mmu-off` if translation was off,
 *   `start-level` if the file contradicts itself
 */
export function capturedRoot(
  capture: Capture,
  label: string,
  cpu: Arm64Cpu,
  given: RegisterOverrides = {},
): RootDescription {
  const root = new CapturedRoot(capture, label, given);
  return root.stage === 2 ? stage2(root, cpu) : stage1(root, cpu);
}
