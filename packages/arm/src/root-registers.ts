/** From roots to the registers that select them, and what ELF files of the machine say. */
import { encodeRegister, type OptionValues, optionNumber, type RootDescription } from '@pagefold/core';
import { LINUX_MAIR, LINUX_REMAP } from './memory-types.ts';
import { ttbcrLong, ttbcrShort } from './registers.ts';

/** EM_ARM; cores of machines with memory above 4 GiB need the wide class. */
export const ARM_ELF = { machine: 40, bits: 64 } as const;

/** Walks through TTBR are inner and outer write-back, write-allocate, shareable: as Linux sets it on several processors. */
const SHORT_WALKS = 0x6an;
const ALL_CLIENTS = 0x5555_5555n;
const WORD = 1n << 32n;

/** Does a root translate from the bottom of the address space? */
function isLow({ ranges, paging }: RootDescription): boolean {
  const start = ranges?.[0]?.start ?? BigInt(paging.geometry.ranges[0]?.start ?? 0);
  return start === 0n;
}

/** Where a root's addresses end. */
function endOf({ ranges, paging }: RootDescription): bigint {
  return ranges?.[0]?.end ?? BigInt(paging.geometry.ranges[0]?.end ?? 0);
}

/** log2 of 4 GiB divided by some bytes. */
function sizeField(bytes: bigint): number {
  return 33 - bytes.toString(2).length;
}

function shortRegisters(
  low: RootDescription | undefined,
  high: RootDescription | undefined,
  given: Given,
): Record<string, bigint> {
  const n = low === undefined ? 1 : sizeField(endOf(low));
  return {
    ttbcr: given('ttbcr') ?? encodeRegister(ttbcrShort, { n, pd0: Number(low === undefined) }),
    ...(low === undefined ? {} : { ttbr0: given('ttbr0') ?? low.address | SHORT_WALKS }),
    ...(high === undefined ? {} : { ttbr1: given('ttbr1') ?? high.address | SHORT_WALKS }),
    dacr: given('dacr') ?? ALL_CLIENTS,
    prrr: given('prrr') ?? LINUX_REMAP.prrr,
    nmrr: given('nmrr') ?? LINUX_REMAP.nmrr,
  };
}

function longRegisters(
  low: RootDescription | undefined,
  high: RootDescription | undefined,
  given: Given,
): Record<string, bigint> {
  const t1sz = high === undefined ? 0 : sizeField(WORD - (high.ranges?.[0]?.start ?? 0n));
  const ttbcr = encodeRegister(ttbcrLong, {
    eae: 1,
    t0sz: low === undefined ? t1sz : sizeField(endOf(low)),
    t1sz,
    epd0: Number(low === undefined),
    epd1: Number(high === undefined),
    ...{ sh0: 3, orgn0: 1, irgn0: 1, sh1: 3, orgn1: 1, irgn1: 1 },
  });
  return {
    ttbcr: given('ttbcr') ?? ttbcr,
    ...(low === undefined ? {} : { ttbr0: given('ttbr0') ?? low.address }),
    ...(high === undefined ? {} : { ttbr1: given('ttbr1') ?? high.address }),
    mair0: given('mair0') ?? LINUX_MAIR & 0xffff_ffffn,
    mair1: given('mair1') ?? LINUX_MAIR >> 32n,
  };
}

type Given = (name: string) => bigint | undefined;

/** TTBCR, the table bases, domains and memory types; what is given stays. */
export function armRootRegisters(roots: readonly RootDescription[], values: OptionValues): Record<string, bigint> {
  const given: Given = (name) => optionNumber(values, name);
  const low = roots.find(isLow);
  const high = roots.find((root) => !isLow(root));
  const long = roots.some(({ paging }) => paging.format.entryBytes === 8);
  return long ? longRegisters(low, high, given) : shortRegisters(low, high, given);
}
