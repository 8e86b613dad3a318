/** Machines and kernels for tests. */
import type { Capture } from '@pagefold/core';

const SYMBOLS = {
  __turn_mmu_on: '0xc0300000',
  _text: '0xc0208000',
  __init_begin: '0xc1400000',
  __init_end: '0xc1600000',
  _end: '0xc182c190',
  swapper_pg_dir: '0xc0204000',
  bm_pte: '0xc14ac000',
} as const;

/**
 * Debian's 6.12.107 armmp kernel on an emulated board with 2 GiB: what its early tables were made from.
 * @param symbols changes to the symbols; `undefined` takes one away
 * @param more members that replace those of the description
 */
export function debian(symbols: Partial<Record<string, string | undefined>> = {}, more: Capture = {}): Capture {
  const { config, ...rest } = more as { config?: object };
  const all = Object.entries({ ...SYMBOLS, ...symbols }).filter(([, value]) => value !== undefined);
  return {
    arch: 'arm',
    kernelVersion: '6.12.107+deb13-armmp',
    commandLine: 'console=ttyAMA0',
    kernel: { loadAddress: '0x40208000', symbols: Object.fromEntries(all) },
    dtb: { address: '0x480ec000', size: '0x100000' },
    ram: [{ base: '0x40000000', size: '0x80000000' }],
    initrd: { start: '0x48000000', end: '0x480ebdc5' },
    idRegisters: { ID_MMFR0: '0x10201105' },
    config: {
      CONFIG_VMSPLIT_3G: true,
      CONFIG_HIGHMEM: true,
      CONFIG_CMA_SIZE_MBYTES: 16,
      CONFIG_KASAN: false,
      CONFIG_STRICT_KERNEL_RWX: true,
      CONFIG_ARM_LPAE: false,
      ...config,
    },
    ...rest,
  };
}
