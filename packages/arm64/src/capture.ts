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

/** Register values and sizes that a tool was given; they go before everything in a file. */
export interface RegisterOverrides {
  /** Granule and bits of a range, which stand for TCR. */
  readonly granule?: Granule | undefined;
  readonly vaBits?: bigint | undefined;
  /** The registers are those of EL2 without host extensions. */
  readonly el2?: boolean | undefined;
  readonly tcr?: bigint | undefined;
  readonly mair?: bigint | undefined;
  readonly sctlr?: bigint | undefined;
  readonly ttbr0?: bigint | undefined;
  readonly ttbr1?: bigint | undefined;
  readonly vtcr?: bigint | undefined;
  readonly vttbr?: bigint | undefined;
}

/**
 * Sizes that somebody asked for must exist. Those in a real TCR need not: then the hardware reports the fault.
 * @throws ArgumentError `input-size`
 */
export function refuseSize(root: RootDescription, { granule, vaBits }: RegisterOverrides): void {
  if (root.fault !== 'input_size_register') return;
  throw new ArgumentError('input-size', 'no such granule and size of a range exist', {
    ...(granule === undefined ? {} : { granule }),
    ...(vaBits === undefined ? {} : { vaBits: String(vaBits) }),
  });
}

/**
 * Stage 2 has registers of its own.
 * @throws ArgumentError `stage-conflict` if one of stage 1 is given
 */
export function refuseStage1(given: RegisterOverrides): void {
  const { tcr, ttbr0, ttbr1, mair, sctlr, granule, vaBits, el2 } = given;
  if (el2 !== true && [tcr, ttbr0, ttbr1, mair, sctlr, granule, vaBits].every((each) => each === undefined)) return;
  throw new ArgumentError('stage-conflict', 'stage 2 has no registers and sizes but --vtcr and --vttbr');
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

  /** EL2 without host extensions. */
  get oneRange(): boolean {
    return this.el2 && !this.hostExtensions;
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

  /** @throws ArgumentError if an option is about other roots than this one */
  refuseOthers(): void {
    const { vtcr, vttbr, ttbr0, ttbr1, el2 } = this.#given;
    const refuse = (rule: string, message: string): never => {
      throw new ArgumentError(rule, message, { root: this.#label });
    };
    if (this.stage === 2) {
      refuseStage1(this.#given);
      return;
    }
    if (vtcr !== undefined || vttbr !== undefined)
      refuse('stage-conflict', 'the root is of stage 1, VTCR and VTTBR not');
    if (this.upper && ttbr0 !== undefined) refuse('register-conflict', 'the root is in TTBR1, the option names TTBR0');
    if (!this.upper && ttbr1 !== undefined) refuse('register-conflict', 'the root is in TTBR0, the option names TTBR1');
    if (el2 === true && !this.oneRange) refuse('el2-conflict', 'the root is not one of EL2 without host extensions');
  }

  /**
   * Nothing is made up about sizes: without the register the file must say them.
   * @throws ArgumentError if it does not
   */
  demand(register: string, facts: Readonly<Record<string, unknown>>): void {
    const missing = Object.keys(facts).filter((name) => facts[name] === undefined);
    if (missing.length === 0) return;
    throw new ArgumentError('capture-size', `the file has neither registers.${register} nor ${missing.join(', ')}`, {
      root: this.#label,
    });
  }

  /** What the file's own walker says about the start must be what the sizes lead to, unless others were given. */
  checkStart(root: RootDescription): RootDescription {
    const { tcr, vtcr, granule, vaBits } = this.#given;
    if ([tcr, vtcr, granule, vaBits].some((each) => each !== undefined)) return { ...root, label: this.#label };
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

/** What a file without the register does not say, sizes apart, has the value of a plain machine: 48 bits out. */
const PLAIN = {
  tcr: encodeRegister(tcrEl1, { tg1: 2, ips: 5 }),
  tcrEl2: encodeRegister(tcrEl2, { ps: 5 }),
  vtcr: encodeRegister(vtcrEl2, { ps: 5 }),
};

function stage1(root: CapturedRoot, cpu: Arm64Cpu): RootDescription {
  const { given, upper, oneRange } = root;
  const tcr = given.tcr ?? root.register(root.el2 ? 'TCR_EL2' : 'TCR_EL1');
  const mair = given.mair ?? root.register(root.el2 ? 'MAIR_EL2' : 'MAIR_EL1');
  const base = root.base(upper ? given.ttbr1 : given.ttbr0);
  const half = oneRange
    ? el2Half(tcr ?? PLAIN.tcrEl2, base.ttbr, mair)
    : el1Half(tcr ?? PLAIN.tcr, upper ? 'high' : 'low', base.ttbr, mair);
  const n = upper ? 1 : 0;
  const { granule = root.granule(`granule${n}`), vaBits } = given;
  const tsz = vaBits === undefined ? root.fact('tsz', `t${n}sz`) : Number(64n - vaBits);
  if (tcr === undefined) {
    root.demand(root.el2 ? 'TCR_EL2' : 'TCR_EL1', { [`granule${n}`]: granule, [`t${n}sz`]: tsz });
  }
  // A register that was given replaces all that the file says; the regime of a file with stage 2 is that of stage 2.
  const own = given.tcr !== undefined || (oneRange && tcr !== undefined);
  const facts: Partial<Stage1Half> = own
    ? {}
    : {
        granule: granule ?? half.granule,
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
    ...(given.granule === undefined ? {} : { granule: given.granule }),
    // More than 48 bits need descriptors that can say so.
    ...(vaBits !== undefined && vaBits > 48n ? { ds: true } : {}),
    tsz: given.tcr === undefined ? (tsz ?? half.tsz) : half.tsz,
    // A root that no register holds is walked as if one did.
    disabled: root.name === '' ? false : root.flag(`epd${n}`, half.disabled),
    root: base.root,
  };
  const sctlr = given.sctlr ?? root.register(root.el2 ? 'SCTLR_EL2' : 'SCTLR_EL1');
  const found = stage1Root(described, cpu);
  if (given.granule !== undefined || vaBits !== undefined) refuseSize(found, given);
  return root.checkStart(withControl(found, sctlr));
}

/** Control bits of the access check that SCTLR holds. */
export function withControl(root: RootDescription, sctlr: bigint | undefined): RootDescription {
  if (sctlr === undefined) return root;
  return { ...root, control: { wxn: (sctlr >> 19n) % 2n === 1n, epan: (sctlr >> 57n) % 2n === 1n } };
}

function stage2(root: CapturedRoot, cpu: Arm64Cpu): RootDescription {
  const { given } = root;
  const vtcr = given.vtcr ?? root.register('VTCR_EL2');
  if (vtcr === undefined) {
    const sizes = {
      granule0: root.granule('granule0'),
      t0sz: root.fact('tsz', 't0sz'),
      start_level: root.fact('start_level'),
    };
    root.demand('VTCR_EL2', sizes);
  }
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
 * @throws ArgumentError `capture-root` if there is no such root or it has no address, `capture-size` if nothing says its
 *   sizes, `mmu-off` if translation was off, `start-level` if the file contradicts itself; `register-conflict`,
 *   `stage-conflict` or `el2-conflict` if what is given belongs to another root, `input-size` if no such sizes exist
 */
export function capturedRoot(
  capture: Capture,
  label: string,
  cpu: Arm64Cpu,
  given: RegisterOverrides = {},
): RootDescription {
  const root = new CapturedRoot(capture, label, given);
  root.refuseOthers();
  return root.stage === 2 ? stage2(root, cpu) : stage1(root, cpu);
}
