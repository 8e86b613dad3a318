/**
 * Moving the kernel to a random virtual address, and adjusting it to where it went.
 * Source: Linux 6.12 arch/riscv/mm/init.c (`setup_vm`, `relocate_kernel`), kernel/pi/.
 */
import { ArgumentError } from '@pagefold/core';
import { bugOn } from './errors.ts';

/** Where chance puts a kernel. */
export interface KaslrChoice {
  /** Places to choose from. */
  readonly positions: bigint;
  /** Bytes that the kernel is moved up. */
  readonly virtOffset: bigint;
}

/**
 * Where a seed moves the kernel: within the one GiB that the early tables can map, in steps of what they map it with.
 * @param kernelSize bytes from `_start` to `_end`
 * @param seed random number; 0 leaves the kernel where it is
 * @param pudSize `PUD_SIZE`
 * @param pmdSize `PMD_SIZE`
 * @throws ArgumentError `kaslr-size` if the kernel leaves no place to choose
 */
export function kaslrOffset(kernelSize: bigint, seed: bigint, pudSize: bigint, pmdSize: bigint): KaslrChoice {
  const positions = (pudSize - kernelSize) / pmdSize;
  if (positions <= 0n) {
    throw new ArgumentError('kaslr-size', 'the kernel is too large to be moved', { size: kernelSize, pudSize });
  }
  return { positions, virtOffset: (seed % positions) * pmdSize };
}

/** Is the kernel told to stay? A plain search for the letters, as code that runs so early does it. */
export function noKaslr(commandLine: string): boolean {
  return commandLine.includes('nokaslr');
}

/** Does the kernel, once moved, still lie below one entry of pud size? The early tables can map nothing else. */
export function fitsPud(virtAddr: bigint, size: bigint, pudSize: bigint): boolean {
  return pudSize - (virtAddr % pudSize) >= size;
}

/** One record of the relocation table: `R_RISCV_RELATIVE` is the only kind that counts. */
export interface Relocation {
  /** `r_offset`: linked address of the word. */
  readonly offset: bigint;
  /** `r_addend`: the address that it holds, as linked. */
  readonly addend: bigint;
  /** `r_info`. Not supplied: `R_RISCV_RELATIVE`. */
  readonly info?: bigint;
}

/** One word to be written. */
export interface RelocatedWord {
  /** Physical address. */
  readonly pa: bigint;
  readonly value: bigint;
}

const R_RISCV_RELATIVE = 3n;

/**
 * `relocate_kernel`: the words to write before the kernel can run where it went. Addresses below the kernel's link
 * address stay as they are: symbols of the vDSO are linked at 0.
 * @param linkAddr `KERNEL_LINK_ADDR`
 * @param virtAddr where the kernel will run
 * @param physAddr where it stands
 * @throws BootError `relocation` if a word lies below the kernel
 */
export function* relocateKernel(
  records: Iterable<Relocation>,
  linkAddr: bigint,
  virtAddr: bigint,
  physAddr: bigint,
): Generator<RelocatedWord> {
  const moved = virtAddr - linkAddr;
  for (const { offset, addend, info = R_RISCV_RELATIVE } of records) {
    if (info !== R_RISCV_RELATIVE) continue;
    const pa = offset - (linkAddr - physAddr);
    bugOn(pa < physAddr, 'relocation', 'a relocation lies outside the kernel', { offset, linkAddr });
    yield { pa, value: addend >= linkAddr ? BigInt.asUintN(64, addend + moved) : addend };
  }
}
