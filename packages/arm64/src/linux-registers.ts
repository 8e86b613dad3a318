/**
 * Register values that Linux and KVM program.
 * Sources: Linux 6.12 arch/arm64/mm/proc.S (`__cpu_setup`), arch/arm64/include/asm/pgtable-hwdef.h, asm/pgtable.h
 * (`phys_to_ttbr`), arch/arm64/kernel/pi/map_kernel.c, arch/arm64/kvm/hyp/pgtable.c (`kvm_get_vtcr`), asm/kvm_arm.h.
 */
import { ArgumentError, encodeRegister } from '@pagefold/core';
import type { Granule } from './granule.ts';
import { kvmStage2 } from './kvm-geometry.ts';
import { checkBuild, isLpa2Build, type LinuxBuild, paBitsOf, vaBitsMin } from './linux-builds.ts';
import { GRANULE0, GRANULE1 } from './regime.ts';
import { tcrEl1, ttbr0El1, vtcrEl2 } from './registers.ts';

/** Physical sizes by the values of IPS and PS, as far as the format knows them. */
const SIZES: readonly number[] = [32, 36, 40, 42, 44, 48, 52];
const WRITE_BACK = 1;
const INNER = 3;
/** The identity map has 48 bits in every build. */
const IDMAP_BITS = 48;

/** The value of IPS or PS for so many bits: the largest that is not more. */
function sizeField(bits: number): number {
  const found = SIZES.filter((size) => size <= bits).length - 1;
  if (found < 0) {
    throw new ArgumentError('physical-size', 'a processor has at least 32 physical address bits', {
      bits: String(bits),
    });
  }
  return found;
}

/** What shapes TCR_EL1. */
export interface LinuxTcrOptions {
  /** Virtual address bits in use. Not supplied: as built. */
  readonly actualBits?: number;
  /** Physical address bits of the processor. */
  readonly physicalBits: number;
  /** FEAT_HAFDBS, at least for the access flag. Not supplied: no. */
  readonly accessFlag?: boolean;
  /** CONFIG_RANDOMIZE_BASE: non-faulting loads of programs never walk the kernel's tables. Not supplied: no. */
  readonly randomizeBase?: boolean;
  /** Built for memory tagging, or also for KASAN with it. Not supplied: no. */
  readonly tagging?: 'mte' | 'hw_tags';
  /** Built for KASAN with software tags. Not supplied: no. */
  readonly softwareTags?: boolean;
  /**
   * `boot`: as the boot processor starts, before it is known whether 52 bits can be had. `running`: as every processor has
   * it then. Not supplied: `running`.
   */
  readonly stage?: 'boot' | 'running';
}

/**
 * TCR_EL1 as `__cpu_setup` programs it. T0SZ is that of the identity map; later it follows the program that runs.
 * @throws ArgumentError `linux-build` for a build that does not exist
 */
export function linuxTcr(build: LinuxBuild, options: LinuxTcrOptions): bigint {
  checkBuild(build);
  const { actualBits = build.vaBits, accessFlag = false, randomizeBase = false, tagging, stage = 'running' } = options;
  const tagged = tagging !== undefined || options.softwareTags === true;
  const wide = stage === 'running' && isLpa2Build(build) && actualBits === 52;
  const upperBits = stage === 'boot' ? vaBitsMin(build) : actualBits;
  // A build with 52-bit descriptors stays within 48 bits until it uses them.
  const most = isLpa2Build(build) && !wide ? 48 : paBitsOf(build);
  return encodeRegister(tcrEl1, {
    ds: Number(wide),
    tcma1: Number(tagging === 'hw_tags'),
    nfd1: Number(randomizeBase),
    tbid1: Number(tagged),
    tbi1: Number(tagged),
    tbi0: 1,
    ha: Number(accessFlag),
    as: 1,
    ips: sizeField(Math.min(options.physicalBits, most)),
    tg1: GRANULE1.indexOf(build.granule),
    sh1: INNER,
    orgn1: WRITE_BACK,
    irgn1: WRITE_BACK,
    a1: 1,
    t1sz: 64 - upperBits,
    tg0: GRANULE0.indexOf(build.granule),
    sh0: INNER,
    orgn0: WRITE_BACK,
    irgn0: WRITE_BACK,
    t0sz: 64 - IDMAP_BITS,
  });
}

/** What goes into a TTBR. */
export interface LinuxTtbr {
  /** Physical address of the root. */
  readonly root: bigint;
  /** Not supplied: 0. */
  readonly asid?: number;
  /** Shared with other processors (CnP). Not supplied: no. */
  readonly cnp?: boolean;
}

/**
 * A TTBR value.
 * @param paBits what the kernel was built for; 52-bit builds move bits 51:48 down to 5:2, also on smaller hardware
 * @throws ArgumentError `ttbr-root` if the root is too high, or not aligned so that this is possible
 */
export function linuxTtbr({ root, asid = 0, cnp = false }: LinuxTtbr, paBits: 48 | 52): bigint {
  const wide = paBits === 52;
  const align = wide ? 64n : 2n;
  if (root < 0n || root >> BigInt(paBits) !== 0n || root % align !== 0n) {
    throw new ArgumentError('ttbr-root', `a root is a multiple of ${align} below 2^${paBits}`, { root });
  }
  const word = wide ? (root | (root >> 46n)) & 0xffff_ffff_fffcn : root;
  return word | encodeRegister(ttbr0El1, { asid, cnp: Number(cnp) });
}

/** What shapes VTCR_EL2. */
export interface KvmVtcrOptions {
  readonly granule: Granule;
  /** Bits of intermediate addresses. Not supplied: 40, as KVM without being asked. */
  readonly ipaBits?: number;
  /** Physical address bits of the processor. */
  readonly physicalBits: number;
  /** FEAT_LPA2, also for stage 2, in a kernel that uses it. Not supplied: no. */
  readonly lpa2?: boolean;
  /** 16-bit VMIDs. Not supplied: no. */
  readonly vmid16?: boolean;
  /** HA; off only for one erratum. Not supplied: yes. */
  readonly accessFlag?: boolean;
}

/** VTCR_EL2 as KVM programs it. */
export function kvmVtcr(options: KvmVtcrOptions): bigint {
  const { granule, ipaBits = 40, physicalBits, lpa2 = false, vmid16 = false, accessFlag = true } = options;
  const most = lpa2 || granule === '64K' ? 52 : 48;
  return encodeRegister(vtcrEl2, {
    ds: Number(lpa2),
    res1_31: 1,
    ha: Number(accessFlag),
    vs: Number(vmid16),
    ps: sizeField(Math.min(physicalBits, most)),
    tg0: GRANULE0.indexOf(granule),
    sh0: INNER,
    orgn0: WRITE_BACK,
    irgn0: WRITE_BACK,
    sl0: kvmStage2(granule, ipaBits).sl0,
    t0sz: 64 - ipaBits,
  });
}
