/**
 * `kernel_map`: where the kernel stands, physically and virtually, and how its addresses translate without tables.
 * Source: Linux 6.12 arch/riscv/include/asm/page.h, mm/physaddr.c, mm/init.c; spec of the XIP kernel: the same files.
 */
import { createVaPa, type VaPa } from '../va-pa.ts';
import { bugOn } from './errors.ts';

/** Where an execute-in-place kernel stands in flash. */
export interface XipPlacement {
  /** `xiprom`: physical address of the flash image. */
  readonly rom: bigint;
  /** `xiprom_sz`: bytes of it. */
  readonly romSize: bigint;
  /** `_sdata - _start`: where the part in RAM begins, seen from the start of the kernel. */
  readonly dataOffset: bigint;
}

/** What a kernel map is made of. */
export interface KernelPlacement {
  readonly xlen: 32 | 64;
  /** `PAGE_OFFSET`: first address of the linear map. */
  readonly pageOffset: bigint;
  /** `KERN_VIRT_SIZE`: bytes that the linear map may take. */
  readonly kernVirtSize: bigint;
  /** Virtual address of `_start`. */
  readonly virtAddr: bigint;
  /** Bytes by which it was moved from where it was linked. */
  readonly virtOffset: bigint;
  /** Physical address of `_start`; of an XIP kernel that of its data. */
  readonly physAddr: bigint;
  /** `_end - _start`. */
  readonly size: bigint;
  /** Not supplied: the kernel stands in RAM as one piece. */
  readonly xip?: XipPlacement | undefined;
}

/** What `__pa` makes of an address, and what its checks say. */
export interface PhysicalAnswer {
  /** Which of the two mappings it was taken for; everything that is not linear is taken for the kernel's. */
  readonly via: 'linear' | 'kernel';
  /** The answer on the machine's ring: nonsense goes in, nonsense comes out. */
  readonly pa: bigint;
  /** With `DEBUG_VIRTUAL`, `__pa` warns: the address is in neither mapping. */
  readonly warns: boolean;
  /** With `DEBUG_VIRTUAL`, `__pa_symbol` stops: the address is not within the kernel (its end is let through). */
  readonly symbolBug: boolean;
}

/**
 * The kernel's own arithmetic between virtual and physical addresses. The offset of the linear map is not known before
 * the memory is; on RV32 it is, because there the kernel lies in the linear map.
 */
export class KernelMap {
  readonly placement: KernelPlacement;
  readonly #wrap: (value: bigint) => bigint;
  readonly #rule: VaPa;
  #vaPaOffset: bigint;

  constructor(placement: KernelPlacement) {
    this.placement = placement;
    this.#wrap = (value) => BigInt.asUintN(placement.xlen, value);
    const { pageOffset, kernVirtSize, virtAddr, physAddr, size } = placement;
    this.#rule = createVaPa({
      rule: placement.xlen === 64 ? 'linear-range' : 'one-offset',
      pageOffset,
      kernVirtSize,
      kernelVirtAddr: virtAddr,
      kernelPhysAddr: physAddr,
      kernelSize: size,
    });
    this.#vaPaOffset = placement.xlen === 64 ? 0n : this.#wrap(placement.pageOffset - placement.physAddr);
  }

  get pageOffset(): bigint {
    return this.placement.pageOffset;
  }

  get virtAddr(): bigint {
    return this.placement.virtAddr;
  }

  get physAddr(): bigint {
    return this.placement.physAddr;
  }

  get size(): bigint {
    return this.placement.size;
  }

  /** `va_pa_offset`: virtual minus physical addresses of the linear map; 0 as long as it is not known. */
  get vaPaOffset(): bigint {
    return this.#vaPaOffset;
  }

  set vaPaOffset(offset: bigint) {
    this.#vaPaOffset = this.#wrap(offset);
  }

  /** `va_kernel_pa_offset`: the same of the kernel's mapping; of an XIP kernel that of its text. */
  get vaKernelPaOffset(): bigint {
    const { virtAddr, physAddr, xip } = this.placement;
    return this.#wrap(virtAddr - (xip?.rom ?? physAddr));
  }

  /** The offset of the part of an XIP kernel that lies in RAM; without XIP the same as {@link vaKernelPaOffset}. */
  get vaKernelDataPaOffset(): bigint {
    const { virtAddr, physAddr, xip } = this.placement;
    return this.#wrap(virtAddr - physAddr + (xip?.dataOffset ?? 0n));
  }

  /** `is_linear_mapping`: within the linear map; on RV32 everything, because the kernel lies in it. */
  isLinear(va: bigint): boolean {
    return this.#rule.isLinear(va);
  }

  /** `is_kernel_mapping`. */
  isKernel(va: bigint): boolean {
    return this.#rule.isKernel(va);
  }

  /** `kernel_mapping_va_to_pa`: physical address of a place in the kernel. */
  kernelVaToPa(va: bigint): bigint {
    const { virtAddr, xip } = this.placement;
    const inRom = xip !== undefined && va < virtAddr + xip.romSize;
    return this.#wrap(va - (inRom || xip === undefined ? this.vaKernelPaOffset : this.vaKernelDataPaOffset));
  }

  /** `__va_to_pa_nodebug`, and what the checked forms would have said. */
  physical(va: bigint): PhysicalAnswer {
    const { via, debugVirtualWarns, paSymbolBug } = this.#rule.toPa(va);
    const pa = via === 'linear' ? this.#wrap(va - this.#vaPaOffset) : this.kernelVaToPa(va);
    return { via, pa, warns: debugVirtualWarns, symbolBug: paSymbolBug };
  }

  /**
   * `__pa`.
   * @throws BootError `linear-offset` for an address of the linear map before its place is known
   */
  pa(va: bigint): bigint {
    const { via, pa } = this.physical(va);
    if (via === 'linear') this.#known(va);
    return pa;
  }

  /**
   * `__pa_symbol`: physical address of a symbol of the kernel.
   * @throws BootError `pa-symbol` if the address is not within the kernel
   */
  paSymbol(va: bigint): bigint {
    bugOn(this.physical(va).symbolBug, 'pa-symbol', 'no symbol of the kernel can stand there', {
      va,
      start: this.virtAddr,
      end: this.virtAddr + this.size,
    });
    return this.kernelVaToPa(va);
  }

  /**
   * `__va`: the address of the linear map for a physical address, on the machine's ring.
   * @throws BootError `linear-offset` before the place of the linear map is known
   */
  va(pa: bigint): bigint {
    this.#known(pa);
    return this.#wrap(pa + this.#vaPaOffset);
  }

  /** `lm_alias`: the linear twin of a place in the kernel. */
  lmAlias(va: bigint): bigint {
    return this.va(this.paSymbol(va));
  }

  #known(address: bigint): void {
    const unknown = this.placement.xlen === 64 && this.#vaPaOffset === 0n;
    bugOn(unknown, 'linear-offset', 'the linear map is used before its place is known', { address });
  }
}
