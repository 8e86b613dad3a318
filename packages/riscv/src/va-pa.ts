/**
 * Between virtual and physical addresses of a RISC-V Linux kernel, without page tables: one offset for the linear map,
 * another for the kernel's own mapping, and a rule which of them an address takes.
 * Source: Linux 6.12 arch/riscv/include/asm/page.h (`___va_to_pa`, `is_linear_mapping`), mm/physaddr.c (the checks of
 * DEBUG_VIRTUAL); older rules from the same files of v5.10 and v5.17, and from the 2020 patch "riscv: Move kernel mapping
 * to vmalloc zone".
 */
import { ArgumentError, type PhysAddr, phys, type VirtAddr, virt } from '@pagefold/core';

/**
 * What makes an address linear. `linear-range`: it lies in the linear map (today). `below-kernel`: it lies between
 * `PAGE_OFFSET` and the kernel (v5.13 to v5.17). `from-page-offset`: it is not below `PAGE_OFFSET` (the 2020 proposal).
 * `one-offset`: every address is, because the kernel runs in the linear map (up to v5.12, and RV32).
 */
export type VaPaRule = 'linear-range' | 'below-kernel' | 'from-page-offset' | 'one-offset';

/** A kernel's mappings: the members of `struct kernel_mapping` that matter here. */
export interface VaPaConfig {
  /** Not supplied: today's rule. */
  readonly rule?: VaPaRule;
  /** `PAGE_OFFSET`: first address of the linear map. */
  readonly pageOffset: bigint;
  /** `KERN_VIRT_SIZE`: bytes of the linear map. */
  readonly kernVirtSize: bigint;
  /** Physical address of `PAGE_OFFSET`. Not supplied: not known yet, as early in boot; linear conversions are bugs. */
  readonly physRamBase?: bigint;
  /** Where the kernel runs. */
  readonly kernelVirtAddr: bigint;
  readonly kernelPhysAddr: bigint;
  /** Bytes of the kernel image. */
  readonly kernelSize: bigint;
}

/** A conversion and what the debugging checks would have said. */
export interface VaToPa {
  readonly via: 'linear' | 'kernel';
  /** As the kernel computes it: wrapped to 64 bits and meaningless if the address belongs to neither mapping. */
  readonly pa: bigint;
  /** `__pa` warns: the address lies in neither mapping. */
  readonly debugVirtualWarns: boolean;
  /** `__pa_symbol` stops the kernel: the address is not in the kernel (its end still counts as in it). */
  readonly paSymbolBug: boolean;
  /** A linear conversion before the linear map is known stops the kernel. */
  readonly tooEarly: boolean;
}

/** The conversions of one kernel. Made by {@link createVaPa}. */
export interface VaPa {
  /** `va_pa_offset`: subtracted from linear addresses. */
  readonly linearOffset: bigint;
  /** `va_kernel_pa_offset`: subtracted from kernel addresses. */
  readonly kernelOffset: bigint;
  isLinear(va: bigint): boolean;
  isKernel(va: bigint): boolean;
  /** What `__pa` and `__pa_symbol` make of an address. */
  toPa(va: bigint): VaToPa;
  /** `__va`: always the linear map. */
  toVa(pa: bigint): VirtAddr;
  /**
   * The linear twin of an address of the kernel's mapping (`lm_alias`).
   * @throws ArgumentError `va-symbol` if the address is not in the kernel
   */
  linearAlias(va: bigint): VirtAddr;
}

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

/** Fixes the conversions of a kernel. */
export function createVaPa(config: VaPaConfig): VaPa {
  const { rule = 'linear-range', pageOffset, kernVirtSize, physRamBase } = config;
  const { kernelVirtAddr, kernelPhysAddr, kernelSize } = config;
  const kernelOffset = wrap(kernelVirtAddr - kernelPhysAddr);
  const linearOffset =
    rule === 'one-offset' ? kernelOffset : physRamBase === undefined ? 0n : wrap(pageOffset - physRamBase);
  const isKernel = (va: bigint): boolean => va >= kernelVirtAddr && va < kernelVirtAddr + kernelSize;
  // The first address above the linear map, as the rule sees it.
  const linearEnd = {
    'linear-range': pageOffset + kernVirtSize,
    'below-kernel': kernelVirtAddr,
    'from-page-offset': 1n << 64n,
    'one-offset': 1n << 64n,
  }[rule];
  const isLinear = (va: bigint): boolean => va >= (rule === 'one-offset' ? 0n : pageOffset) && va < linearEnd;
  const toPa = (va: bigint): VaToPa => {
    const at = wrap(va);
    const linear = isLinear(at);
    return {
      via: linear ? 'linear' : 'kernel',
      pa: wrap(at - (linear ? linearOffset : kernelOffset)),
      debugVirtualWarns: rule === 'one-offset' ? at < pageOffset : !linear && !isKernel(at),
      paSymbolBug: at < kernelVirtAddr || at > kernelVirtAddr + kernelSize,
      tooEarly: linear && linearOffset === 0n,
    };
  };
  const toVa = (pa: bigint): VirtAddr => virt(pa + linearOffset);
  return {
    linearOffset,
    kernelOffset,
    isLinear,
    isKernel,
    toPa,
    toVa,
    linearAlias: (va) => {
      if (toPa(va).paSymbolBug) throw new ArgumentError('va-symbol', 'the address is not in the kernel', { va });
      return toVa(wrap(va - kernelOffset));
    },
  };
}

/**
 * The physical address behind a virtual one, for callers that want no nonsense.
 * @throws ArgumentError `va-unmapped` if the address lies in neither mapping
 */
export function physOf(mapping: VaPa, va: bigint): PhysAddr {
  const { pa, debugVirtualWarns } = mapping.toPa(va);
  if (debugVirtualWarns) {
    throw new ArgumentError('va-unmapped', 'the address lies neither in the linear map nor in the kernel', { va });
  }
  return phys(pa);
}
