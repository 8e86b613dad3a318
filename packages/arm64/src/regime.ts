/**
 * From register values to roots: which granule, how many bits, where the tables start, what is switched off.
 * Source: Arm Architecture Reference Manual (DDI 0487), "Translation table base registers", "VMSAv8-64 translation",
 * "Output address size", TCR_EL1, TCR_EL2, VTCR_EL2.
 */
import { createPaging, decodeRegister, type RootDescription } from '@pagefold/core';
import { type Arm64Cpu, fullCpu } from './cpu.ts';
import { arm64Stage2, stage1Format } from './format.ts';
import { stage1Geometry, stage2Geometry, stage2StartFits, type TopByteIgnored } from './geometry.ts';
import { type Granule, PAGE_BITS, startLevel } from './granule.ts';
import { tcrEl1, tcrEl2, vtcrEl2 } from './registers.ts';

/** What hardware does to descriptors by itself, from TCR or VTCR. */
export interface HardwareUpdates {
  /** HA: sets access flags. */
  readonly ha: boolean;
  /** HD: manages the dirty state. */
  readonly hd: boolean;
}

/** The features of formats that stand for hardware updates, as far as the processor has them. */
function updateFeatures({ ha, hd }: HardwareUpdates, { hafdbs }: Arm64Cpu): string[] {
  return [...(ha && hafdbs >= 1 ? ['ha'] : []), ...(ha && hd && hafdbs >= 2 ? ['hd'] : [])];
}

/** Values of IPS and PS: output address bits. */
const SIZES = [32, 36, 40, 42, 44, 48, 52, 56] as const;

/** Granules by the values of TCR.TG0 (also VTCR.TG0 and TCR_EL2.TG0). */
export const GRANULE0: readonly (Granule | undefined)[] = ['4K', '64K', '16K', undefined];
/** Granules by the values of TCR.TG1. */
export const GRANULE1: readonly (Granule | undefined)[] = [undefined, '16K', '4K', '64K'];

/** The effective output address size: what the register asks for, what the processor has, what the format can say. */
export function outputBits(sizeField: number, granule: Granule, ds: boolean, cpu: Arm64Cpu): number {
  const asked = SIZES[sizeField] ?? 48;
  const format = ds || (granule === '64K' && cpu.lpa) ? 52 : 48;
  return Math.min(asked, cpu.paBits, format);
}

/** The base address in a TTBR. With 52-bit addresses bits 5:2 hold bits 51:48 and the base is 64-byte aligned. */
export function tableBase(ttbr: bigint, rootBytes: number, wide: boolean): bigint {
  const plain = ttbr & 0xffff_ffff_fffen;
  const address = wide ? (plain & ~0x3fn) | (((ttbr >> 2n) & 0xfn) << 48n) : plain;
  const align = BigInt(Math.max(rootBytes, wide ? 64 : 1));
  return address - (address % align);
}

/** One half of a stage-1 regime. */
export interface Stage1Half extends HardwareUpdates {
  readonly label: string;
  readonly half: 'low' | 'high';
  readonly granule: Granule | undefined;
  /** TxSZ. */
  readonly tsz: number;
  readonly ttbr: bigint;
  /** Root table address, if it is known apart from `ttbr`. */
  readonly root?: bigint | undefined;
  readonly ds: boolean;
  /** IPS or PS. */
  readonly size: number;
  readonly disabled: boolean;
  readonly topByteIgnored: TopByteIgnored;
  readonly hierarchyDisabled: boolean;
  /** E0PD: accesses from EL0 fault before any lookup (FEAT_E0PD). Not supplied: they do not. */
  readonly closedToEl0?: boolean;
  /** One privilege level only: EL2 without its host extensions. */
  readonly el2: boolean;
  /** MAIR: what memory types the indices mean. Not supplied: as Linux has them. */
  readonly mair?: bigint | undefined;
}

/** The root of one half of a stage-1 regime. */
export function stage1Root(half: Stage1Half, cpu: Arm64Cpu): RootDescription {
  const granule = half.granule ?? '4K';
  const ds = half.ds && granule !== '64K' && cpu.lpa2;
  const pa52 = granule === '64K' && cpu.lpa;
  const smallest = ds || (granule === '64K' && cpu.lva) ? 12 : 16;
  const largest = cpu.ttst ? (granule === '64K' ? 47 : 48) : 39;
  const legal = half.granule !== undefined && half.tsz >= smallest && half.tsz <= largest;
  const inputBits = legal ? 64 - half.tsz : 48;
  const bits = outputBits(half.size, granule, ds, cpu);
  const wide = ds || (pa52 && (SIZES[half.size] ?? 0) >= 52);
  const features = [
    ...(ds ? ['lpa2'] : []),
    ...(pa52 ? ['pa52'] : []),
    ...(half.hierarchyDisabled ? ['hpd'] : []),
    ...(half.el2 ? ['el2'] : []),
    ...updateFeatures(half, cpu),
  ];
  const geometry = stage1Geometry({
    granule,
    inputBits,
    half: half.half,
    outputBits: bits,
    topByteIgnored: half.topByteIgnored,
    rootAlignBytes: wide ? 64 : 0,
  });
  const paging = createPaging(stage1Format(granule, half.mair), geometry, { features });
  const address = half.root ?? tableBase(half.ttbr, paging.geometry.root.tableBytes, wide);
  const fault = !legal
    ? 'input_size_register'
    : half.disabled
      ? 'walk_disabled'
      : address >> BigInt(bits) !== 0n
        ? 'table_base_size'
        : undefined;
  return {
    paging,
    address,
    label: half.label,
    ...(fault === undefined ? {} : { fault }),
    ...(half.closedToEl0 === true ? { closedTo: { privilege: 'user', reason: 'e0pd' } } : {}),
  };
}

/** TBI and TBID. */
function topByte(ignored: number, dataOnly: number): TopByteIgnored {
  return ignored === 1 && (dataOnly === 1 ? 'data' : true);
}

/** The parts of one half of the EL1&0 regime (or of EL2 with its host extensions), as TCR says them. */
export function el1Half(tcr: bigint, half: 'low' | 'high', ttbr: bigint, mair?: bigint): Stage1Half {
  const field = decodeRegister(tcrEl1, tcr);
  const value = (name: string): number => Number(field[name]);
  const n = half === 'low' ? 0 : 1;
  return {
    label: `TTBR${n}_EL1`,
    half,
    granule: n === 0 ? GRANULE0[value('tg0')] : GRANULE1[value('tg1')],
    tsz: value(`t${n}sz`),
    ttbr,
    ds: value('ds') === 1,
    size: value('ips'),
    disabled: value(`epd${n}`) === 1,
    topByteIgnored: topByte(value(`tbi${n}`), value(`tbid${n}`)),
    hierarchyDisabled: value(`hpd${n}`) === 1,
    closedToEl0: value(`e0pd${n}`) === 1,
    el2: false,
    ha: value('ha') === 1,
    hd: value('hd') === 1,
    mair,
  };
}

/** The parts of the EL2 regime without host extensions, as TCR_EL2 says them. */
export function el2Half(tcr: bigint, ttbr: bigint, mair?: bigint): Stage1Half {
  const field = decodeRegister(tcrEl2, tcr);
  const value = (name: string): number => Number(field[name]);
  return {
    label: 'TTBR0_EL2',
    half: 'low',
    granule: GRANULE0[value('tg0')],
    tsz: value('t0sz'),
    ttbr,
    ds: value('ds') === 1,
    size: value('ps'),
    disabled: false,
    topByteIgnored: topByte(value('tbi'), value('tbid')),
    hierarchyDisabled: value('hpd') === 1,
    el2: true,
    ha: value('ha') === 1,
    hd: value('hd') === 1,
    mair,
  };
}

/** Registers of the EL1&0 regime. */
export interface El1Registers {
  readonly tcr: bigint;
  readonly ttbr0?: bigint | undefined;
  readonly ttbr1?: bigint | undefined;
  readonly mair?: bigint | undefined;
}

/** The roots of the EL1&0 regime: the halves whose base register is given. */
export function el1Roots({ tcr, ttbr0, ttbr1, mair }: El1Registers, cpu: Arm64Cpu = fullCpu): RootDescription[] {
  return [
    ...(ttbr0 === undefined ? [] : [stage1Root(el1Half(tcr, 'low', ttbr0, mair), cpu)]),
    ...(ttbr1 === undefined ? [] : [stage1Root(el1Half(tcr, 'high', ttbr1, mair), cpu)]),
  ];
}

/** The root of the EL2 regime (HCR_EL2.E2H = 0). */
export function el2Root(tcr: bigint, ttbr0: bigint, cpu: Arm64Cpu = fullCpu, mair?: bigint): RootDescription {
  return stage1Root(el2Half(tcr, ttbr0, mair), cpu);
}

/** Start levels by SL0 (and SL2), per granule. */
export function stage2StartLevel(granule: Granule, sl0: number, sl2: number, ds: boolean): number | undefined {
  if (granule === '4K') return sl2 === 1 ? (sl0 === 0 && ds ? -1 : undefined) : [2, 1, 0, 3][sl0];
  if (granule === '16K') return sl0 === 3 && !ds ? undefined : [3, 2, 1, 0][sl0];
  return [3, 2, 1, undefined][sl0];
}

/** Start levels that need more physical bits than a small machine has. */
function startNeedsBits(granule: Granule, start: number): number {
  if (granule === '4K') return start === -1 ? 52 : start === 0 ? 44 : 0;
  if (granule === '16K') return start === 0 ? 52 : start === 1 ? 42 : 0;
  return start === 1 ? 44 : 0;
}

/** A stage-2 root, from fields or from registers. */
export interface Stage2Parts extends HardwareUpdates {
  readonly granule: Granule | undefined;
  readonly t0sz: number;
  readonly start: number | undefined;
  readonly ds: boolean;
  /** PS. */
  readonly size: number;
  readonly vttbr: bigint;
  readonly root?: bigint | undefined;
  readonly label?: string;
}

/** The root of stage 2. */
export function stage2Root(parts: Stage2Parts, cpu: Arm64Cpu = fullCpu): RootDescription {
  const granule = parts.granule ?? '4K';
  const ds = parts.ds && granule !== '64K' && cpu.lpa2;
  const pa52 = granule === '64K' && cpu.lpa;
  const bits = outputBits(parts.size, granule, ds, cpu);
  const inputMax = Math.min(cpu.paBits, ds || pa52 ? 52 : 48);
  const inputBits = 64 - parts.t0sz;
  const legal =
    parts.granule !== undefined &&
    parts.start !== undefined &&
    inputBits <= inputMax &&
    inputBits > PAGE_BITS[granule] &&
    cpu.paBits >= startNeedsBits(granule, parts.start) &&
    stage2StartFits(granule, inputBits, parts.start) &&
    (parts.start !== 3 || cpu.ttst);
  const start = legal ? (parts.start as number) : startLevel(granule, 40);
  const geometry = stage2Geometry({ granule, inputBits: legal ? inputBits : 40, start, outputBits: bits });
  const features = [
    ...(ds ? ['lpa2'] : []),
    ...(pa52 ? ['pa52'] : []),
    ...(cpu.xnx ? ['xnx'] : []),
    ...(cpu.fwb ? ['fwb'] : []),
    ...updateFeatures(parts, cpu),
  ];
  const paging = createPaging(arm64Stage2[granule], geometry, { features });
  const wide = ds || (pa52 && (SIZES[parts.size] ?? 0) >= 52);
  const address = parts.root ?? tableBase(parts.vttbr, paging.geometry.root.tableBytes, wide);
  const fault = !legal ? 'input_size_register' : address >> BigInt(bits) !== 0n ? 'table_base_size' : undefined;
  return { paging, address, label: parts.label ?? 'VTTBR_EL2', ...(fault === undefined ? {} : { fault }) };
}

/** The parts of stage 2, as its registers say them. */
export function stage2PartsOf(vtcr: bigint, vttbr: bigint, cpu: Arm64Cpu = fullCpu): Stage2Parts {
  const field = decodeRegister(vtcrEl2, vtcr);
  const value = (name: string): number => Number(field[name]);
  const granule = GRANULE0[value('tg0')];
  const ds = value('ds') === 1;
  return {
    granule,
    t0sz: value('t0sz'),
    start: granule === undefined ? undefined : stage2StartLevel(granule, value('sl0'), value('sl2'), ds && cpu.lpa2),
    ds,
    size: value('ps'),
    ha: value('ha') === 1,
    hd: value('hd') === 1,
    vttbr,
  };
}

/** The root of stage 2, from its registers. */
export function stage2RootOf(vtcr: bigint, vttbr: bigint, cpu: Arm64Cpu = fullCpu): RootDescription {
  return stage2Root(stage2PartsOf(vtcr, vttbr, cpu), cpu);
}
