/**
 * Leaf attributes that KVM writes: stage 2 of guests, and stage 1 of EL2.
 * Source: Linux 6.12 arch/arm64/kvm/hyp/pgtable.c (`stage2_set_prot_attr`, `hyp_set_prot_attr`),
 * arch/arm64/include/asm/kvm_pgtable.h, asm/memory.h.
 */
import { ArgumentError } from '@pagefold/core';
import { LINUX_BITS, leafMask, placed, stage2Mask } from './entry-bits.ts';
import { memoryIndexBits } from './linux-protections.ts';

/** What may be done. What is not supplied is not allowed. */
export interface KvmRights {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly execute?: boolean;
}

/** Memory that KVM knows: `nc` is normal memory that is not cached. */
export type KvmMemory = 'normal' | 'nc' | 'device';

/** MemAttr without and with forced write-back. */
const MEMORY: Readonly<Record<KvmMemory, readonly [plain: number, forced: number]>> = {
  normal: [15, 6],
  nc: [5, 5],
  device: [1, 1],
};

const INNER = 3;
const XN = leafMask('xn');

function refused(why: string, rights: KvmRights, memory: KvmMemory): ArgumentError {
  const { read = false, write = false, execute = false } = rights;
  const text = `${read ? 'R' : ''}${write ? 'W' : ''}${execute ? 'X' : ''}`;
  return new ArgumentError('kvm-protection', `KVM refuses this (EINVAL): ${why}`, { rights: text, memory });
}

/** What stage 2 runs with. */
export interface Stage2Config {
  /** HCR_EL2.FWB: stage 2 forces write-back. Not supplied: no. */
  readonly fwb?: boolean;
  /** VTCR_EL2.DS: the shareability bits hold an address. Not supplied: no. */
  readonly lpa2?: boolean;
}

/**
 * Attributes of a stage-2 leaf, without type bits.
 * @throws ArgumentError `kvm-protection` if memory is to be executed that is no normal, cached memory
 */
export function kvmStage2Bits(rights: KvmRights, memory: KvmMemory, { fwb, lpa2 }: Stage2Config = {}): bigint {
  const { read = false, write = false, execute = false } = rights;
  if (execute && memory !== 'normal') throw refused('only normal memory is executed', rights, memory);
  return (
    placed(stage2Mask('memAttr'), MEMORY[memory][fwb === true ? 1 : 0]) |
    placed(stage2Mask('s2ap'), Number(read) | (Number(write) << 1)) |
    (lpa2 === true ? 0n : placed(stage2Mask('sh'), INNER)) |
    stage2Mask('af') |
    // Linux takes only the upper of the two bits: nobody executes.
    (execute ? 0n : placed(stage2Mask('xn'), 2))
  );
}

/** What EL2 runs with. */
export interface HypConfig {
  /** EL2 has its host extensions (hVHE): two privilege levels, so AP is as at EL1. Not supplied: no. */
  readonly hvhe?: boolean;
  /** TCR_EL2.DS. Not supplied: no. */
  readonly lpa2?: boolean;
  /** Guarded pages for what is executed. Not supplied: no. */
  readonly bti?: boolean;
}

/**
 * Attributes of a leaf of KVM's own stage 1 at EL2, without type bits.
 * @throws ArgumentError `kvm-protection` if it is not readable, writable and executed, or an executed device
 */
export function kvmHypBits(rights: KvmRights, memory: 'normal' | 'device', config: HypConfig = {}): bigint {
  const { read = false, write = false, execute = false } = rights;
  const { hvhe = false, lpa2 = false, bti = false } = config;
  if (!read) throw refused('EL2 maps nothing that it cannot read', rights, memory);
  if (execute && write) throw refused('EL2 executes nothing that it can write', rights, memory);
  if (execute && memory === 'device') throw refused('only normal memory is executed', rights, memory);
  return (
    memoryIndexBits(memory === 'normal' ? 'NORMAL' : 'DEVICE_nGnRE') |
    // With one privilege level AP[1] is always one.
    (hvhe ? 0n : LINUX_BITS.USER) |
    (write ? 0n : LINUX_BITS.RDONLY) |
    (lpa2 ? 0n : placed(LINUX_BITS.SHARED, INNER)) |
    LINUX_BITS.AF |
    (execute ? (bti ? LINUX_BITS.GP : 0n) : XN)
  );
}
