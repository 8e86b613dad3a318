/**
 * Where memory goes in the linear map (`arm64_memblock_init`), and the conversions between virtual and physical.
 * Source: Linux 6.12 arch/arm64/mm/init.c, arch/arm64/include/asm/memory.h.
 */
import { type AddressRange, ArgumentError, higherOf, lowerOf } from '@pagefold/core';
import { isLpa2Build, paBitsOf } from '../linux-builds.ts';
import { type LayoutBase, layoutNumbers, layoutSymbols } from './symbols.ts';

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

/** What the kernel finds. */
export interface LinearMapInput {
  /** Ranges of memory. */
  readonly memory: readonly AddressRange<bigint>[];
  /** Physical address bits of the processor. Not supplied: 48. */
  readonly physicalBits?: number;
  /** End of the kernel's image: memory up to there is kept whatever happens. Not supplied: not known. */
  readonly imageEnd?: bigint;
  /** KVM without host extensions and 52 virtual bits: the linear map stays within 51. Not supplied: no. */
  readonly nvhe?: boolean;
  /** The low 16 bits of the KASLR seed. Not supplied: 0, so that nothing moves. */
  readonly seed?: number;
}

/** Where memory went. */
export interface LinearMap {
  /** Memory that the kernel keeps, in rising order. */
  readonly memory: readonly AddressRange<bigint>[];
  /** The rounded start of memory before the corrections. */
  readonly base: bigint;
  /** `memstart_addr`: the physical address at PAGE_OFFSET. Signed: of a 52-bit build on smaller hardware often negative. */
  readonly memstart: bigint;
}

/** What is left of ranges inside `[from, to)`, in rising order. */
function within(ranges: readonly AddressRange<bigint>[], from: bigint, to: bigint): AddressRange<bigint>[] {
  return ranges
    .map(({ start, end }) => ({ start: higherOf(start, from), end: lowerOf(end, to) }))
    .filter(({ start, end }) => start < end)
    .sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
}

function endOf(ranges: readonly AddressRange<bigint>[]): bigint {
  return ranges.reduce((end, range) => higherOf(end, range.end), 0n);
}

/** `memstart_addr` for a rounded start of memory, before it is randomized: a 52-bit build counts from -2^52 in any case. */
export function memstartFor(base: LayoutBase, roundedBase: bigint): bigint {
  const symbols = layoutSymbols(base);
  return roundedBase - (layoutNumbers(base, symbols).linearStart - symbols.PAGE_OFFSET);
}

/**
 * Places memory.
 * @throws ArgumentError `layout-memory` if there is none, or none that the kernel can address
 */
export function placeLinearMap(base: LayoutBase, input: LinearMapInput): LinearMap {
  const { physicalBits = 48, imageEnd = 0n, nvhe = false, seed = 0 } = input;
  const { linearSize: whole, memstartAlign: align } = layoutNumbers(base, layoutSymbols(base));
  const size = nvhe && base.build.vaBits === 52 ? lowerOf(whole, 1n << 51n) : whole;
  let memory = within(input.memory, 0n, 1n << BigInt(physicalMaskBits(base)));
  const [first] = memory;
  if (first === undefined) throw new ArgumentError('layout-memory', 'there is no memory that the kernel can address');
  let start = first.start & -align;
  memory = within(memory, 0n, higherOf(start + size, imageEnd));
  const end = endOf(memory);
  if (end > start + size) {
    // The image lies above what fits: the window moves up to it.
    start = (end - size + align - 1n) & -align;
    memory = within(memory, start, end);
  }
  // KASLR moves memory up within what of the map the processor's physical addresses cannot fill.
  const room = (size - (1n << BigInt(physicalBits))) / align;
  const step = seed > 0 && room >= 1n ? align * ((room * BigInt(seed)) >> 16n) : 0n;
  return { memory, base: start, memstart: memstartFor(base, start) - step };
}

/** `PHYS_MASK_SHIFT`: physical address bits that the kernel's entries can hold. */
function physicalMaskBits({ build, actualBits }: LayoutBase): number {
  return isLpa2Build(build) && actualBits < 52 ? 48 : paBitsOf(build);
}

/** Conversions between virtual and physical addresses of a running kernel. */
export interface VaPa {
  /** `__is_lm_address`. */
  isLinear(va: bigint): boolean;
  /** `__virt_to_phys`, of addresses in the linear map or in the image. Tags are taken off. */
  toPhysical(va: bigint): bigint;
  /** `__phys_to_virt`: the address in the linear map. */
  toVirtual(pa: bigint): bigint;
}

/**
 * The conversions of v5.4 and later.
 * @param memstart `memstart_addr`, signed or not
 * @param kimageVoffset `kimage_voffset`: what the image's virtual addresses are above its physical ones
 */
export function createVaPa(base: LayoutBase, memstart: bigint, kimageVoffset: bigint): VaPa {
  const { PAGE_OFFSET, PAGE_END } = layoutSymbols(base);
  const isLinear = (va: bigint): boolean => wrap(va - PAGE_OFFSET) < PAGE_END - PAGE_OFFSET;
  const untag = (va: bigint): bigint => wrap(BigInt.asIntN(56, va));
  return {
    isLinear,
    toPhysical: (va) => {
      const plain = untag(va);
      return wrap(isLinear(plain) ? plain - PAGE_OFFSET + memstart : plain - kimageVoffset);
    },
    toVirtual: (pa) => wrap(pa - memstart) | PAGE_OFFSET,
  };
}
