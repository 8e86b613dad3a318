/** From roots to the registers that select them, and what ELF files of the machine say. */
import {
  ArgumentError,
  encodeRegister,
  type OptionValues,
  optionNumber,
  type Paging,
  type RootDescription,
} from '@pagefold/core';
import { arm64Stage2 } from './format.ts';
import type { Granule } from './granule.ts';
import { LINUX_MAIR } from './memory-types.ts';
import { GRANULE0, GRANULE1 } from './regime.ts';
import { tcrEl1, tcrEl2 } from './registers.ts';

/** EM_AARCH64. */
export const ARM64_ELF = { machine: 183, bits: 64 } as const;

/** Values of IPS and PS: output address bits. */
const SIZES = [32, 36, 40, 42, 44, 48, 52, 56];
/** Walks are inner shareable, inner and outer write-back, write-allocate. */
const WALKS = { sh: 3, orgn: 1, irgn: 1 } as const;

function granuleOf({ pageBytes }: Paging): Granule {
  return pageBytes === 0x1000n ? '4K' : pageBytes === 0x4000n ? '16K' : '64K';
}

/** What both TCRs say of a paging. */
function controlOf({ geometry, features }: Paging): { size: number; ds: number; ha: number; hd: number } {
  const on = (name: string): number => Number(features.has(name));
  return { size: SIZES.indexOf(geometry.paBits), ds: on('lpa2'), ha: on('ha'), hd: on('hd') };
}

/** A table base; with 52-bit addresses bits 51:48 stand in 5:2. */
function baseOf({ address, paging }: RootDescription): bigint {
  const wide = paging.features.has('lpa2') || (paging.features.has('pa52') && paging.geometry.paBits === 52);
  return wide ? (address & 0xffff_ffff_ffffn) | ((address >> 48n) << 2n) : address;
}

function isHigh({ paging }: RootDescription): boolean {
  return (paging.geometry.ranges[0]?.start ?? 0) !== 0;
}

function tcrOf(low: RootDescription | undefined, high: RootDescription | undefined): bigint {
  const own = (low ?? high) as RootDescription;
  const paging = { low: (low ?? own).paging, high: (high ?? own).paging };
  const { size, ds, ha, hd } = controlOf(own.paging);
  const tag = (root: RootDescription | undefined): number => Number(root?.paging.geometry.ignored !== undefined);
  return encodeRegister(tcrEl1, {
    ...{ ips: size, ds, ha, hd, tbi0: tag(low), tbi1: tag(high) },
    ...{ sh0: WALKS.sh, orgn0: WALKS.orgn, irgn0: WALKS.irgn },
    ...{ sh1: WALKS.sh, orgn1: WALKS.orgn, irgn1: WALKS.irgn },
    tg0: GRANULE0.indexOf(granuleOf(paging.low)),
    tg1: GRANULE1.indexOf(granuleOf(paging.high)),
    t0sz: 64 - paging.low.geometry.vaBits,
    t1sz: 64 - paging.high.geometry.vaBits,
    epd0: Number(low === undefined),
    epd1: Number(high === undefined),
  });
}

function tcrEl2Of({ paging }: RootDescription): bigint {
  const { size, ds, ha, hd } = controlOf(paging);
  const tg0 = GRANULE0.indexOf(granuleOf(paging));
  const ones = { res1_31: 1, res1_23: 1 };
  const walks = { sh0: WALKS.sh, orgn0: WALKS.orgn, irgn0: WALKS.irgn };
  return encodeRegister(tcrEl2, { ...ones, ...walks, ps: size, ds, ha, hd, tg0, t0sz: 64 - paging.geometry.vaBits });
}

/**
 * TCR, the table bases and MAIR of stage 1, or VTTBR of a stage 2 whose VTCR is given. What is given stays.
 * @throws ArgumentError `stage2-vtcr` for a stage 2 without VTCR
 */
export function arm64RootRegisters(roots: readonly RootDescription[], values: OptionValues): Record<string, bigint> {
  const given = (name: string): bigint | undefined => optionNumber(values, name);
  const [first] = roots;
  if (first === undefined) throw new ArgumentError('no-root', 'there is no root');
  const { format, features } = first.paging;
  if (Object.values(arm64Stage2).some(({ name }) => name === format.name)) {
    const vtcr = given('vtcr');
    if (vtcr === undefined) throw new ArgumentError('stage2-vtcr', 'stage 2 needs a VTCR');
    return { vtcr, vttbr: given('vttbr') ?? baseOf(first) };
  }
  const low = roots.find((root) => !isHigh(root));
  const high = roots.find(isHigh);
  return {
    tcr: given('tcr') ?? (features.has('el2') ? tcrEl2Of(first) : tcrOf(low, high)),
    ...(low === undefined ? {} : { ttbr0: given('ttbr0') ?? baseOf(low) }),
    ...(high === undefined ? {} : { ttbr1: given('ttbr1') ?? baseOf(high) }),
    mair: given('mair') ?? LINUX_MAIR,
  };
}
