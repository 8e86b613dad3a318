/** Kernels of other kinds: for RV32, executed in place, inside the vmalloc area. */
import { hex } from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import { bootKernel, createMachine, fixToVirt, KernelMap, kernelVmArea, setupVm } from '../src/index.ts';
import { capturedMachine, rootLines } from './boot-machine.ts';

const MIB = 2n ** 20n;

describe('RV32: the kernel lies in the linear map', () => {
  const symbols = ['early_pg_dir', 'trampoline_pg_dir', 'swapper_pg_dir', 'fixmap_pte'];
  const description = {
    arch: 'riscv32',
    commandLine: '',
    kernel: {
      loadAddress: '0x80400000',
      symbols: {
        _start: '0xc0000000',
        __init_data_begin: '0xc0800000',
        __start_rodata: '0xc0c00000',
        _data: '0xc1000000',
        _end: '0xc1234000',
        ...Object.fromEntries(symbols.map((name, i) => [name, hex(0xc120_0000n + BigInt(i) * 4096n)])),
      },
    },
    dtb: { address: '0x87f01000', size: '0x2000' },
    ram: [{ base: '0x80000000', size: '0x8000000' }],
  };

  it('maps kernel and device tree with top-level leaves at first', () => {
    const kernel = bootKernel(description, { stage: 'start_kernel' });
    expect(rootLines(kernel, 'early_pg_dir')).toEqual([
      `${hex(fixToVirt(kernel.addresses, 'FIX_FDT'))}-${hex(fixToVirt(kernel.addresses, 'FIX_FDT') + 4n * MIB)} 0x87c00000 level 1 0xe7`,
      '0xc0000000-0xc1400000 0x80400000 level 1 0xef',
    ]);
    expect(rootLines(kernel, 'trampoline_pg_dir')).toEqual(['0xc0000000-0xc0400000 0x80400000 level 1 0xef']);
  });

  it('maps all memory from the kernel on with pages in the end', () => {
    const kernel = bootKernel(description, { stage: 'after_setup_vm_final' });
    const found = rootLines(kernel, 'swapper_pg_dir').slice(1);
    expect(found).toEqual([
      '0xc0000000-0xc0800000 0x80400000 level 0 0xeb',
      '0xc0800000-0xc7c00000 0x80c00000 level 0 0xe7',
    ]);
    expect(kernel.satp >> 31n).toBe(1n);
    expect(kernel.kernelMap.vaPaOffset).toBe(0x3fc0_0000n);
  });
});

describe('a kernel that executes in place', () => {
  it('maps flash and RAM apart, in Sv39', () => {
    const { kernel, ...rest } = capturedMachine();
    const link = 0xffff_ffff_8000_0000n;
    const description = {
      ...rest,
      kernel: {
        ...kernel,
        loadAddress: '0x21000000',
        symbols: {
          ...kernel.symbols,
          _xiprom: hex(link),
          _exiprom: hex(link + 0x70_0000n),
          _sdata: hex(link + 0x80_0000n),
        },
      },
      config: {
        CONFIG_XIP_KERNEL: true,
        CONFIG_XIP_PHYS_ADDR: '0x21000000',
        CONFIG_PHYS_RAM_BASE: '0x80000000',
        CONFIG_KFENCE: false,
      },
    };
    const booted = bootKernel(description, { stage: 'after_setup_vm_final' });
    expect(booted.mode).toBe('sv39');
    expect(rootLines(booted, 'swapper_pg_dir').slice(-2)).toEqual([
      '0xffffffff80000000-0xffffffff80800000 0x21000000 level 1 0xef',
      '0xffffffff80800000-0xffffffff82000000 0x80000000 level 1 0xe7',
    ]);
    expect(rootLines(booted, 'trampoline_pg_dir')).toEqual([
      '0xffffffff80000000-0xffffffff80200000 0x21000000 level 1 0xef',
    ]);
    expect(booted.kernelMap.paSymbol(link + 0x90_0000n)).toBe(0x8010_0000n);
    expect(booted.kernelMap.paSymbol(link + 0x10_0000n)).toBe(0x2110_0000n);
  });
});

describe('a kernel inside the vmalloc area (the 2020 proposal)', () => {
  it('takes whole large pages of it; a kernel elsewhere takes none', () => {
    const booted = setupVm(createMachine(capturedMachine()));
    expect(kernelVmArea(booted)).toBe(undefined);
    const { placement } = booted.kernelMap;
    const virtAddr = booted.addresses.vmalloc.end - 0x8000_0000n;
    const kernelMap = new KernelMap({ ...placement, virtAddr });
    expect(kernelVmArea({ kernelMap, addresses: booted.addresses })).toEqual({
      start: virtAddr,
      end: virtAddr + 0x200_0000n,
    });
  });
});
