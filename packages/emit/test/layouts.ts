/** Layouts for the tests of pictures. */
import type { LayoutInput } from '../src/index.ts';

const T = 1n << 40n;

/** The 64-bit RISC-V kernel with Sv48, after Documentation/arch/riscv/vm-layout.rst. */
export const sv48Layout: LayoutInput = {
  name: 'sv48',
  title: 'Linux on RISC-V, Sv48',
  wordBits: 64,
  regions: [
    { name: 'user', start: 0n, end: 128n * T, purpose: 'user-space virtual memory, different per mm' },
    { name: 'fixmap', start: 0xffff_8d7f_fea0_0000n, end: 0xffff_8d7f_ff00_0000n, purpose: 'fixed addresses' },
    { name: 'pci io', start: 0xffff_8d7f_ff00_0000n, end: 0xffff_8d80_0000_0000n, purpose: 'PCI I/O ports' },
    { name: 'vmemmap', start: 0xffff_8d80_0000_0000n, end: 0xffff_8f80_0000_0000n, purpose: 'struct pages' },
    {
      name: 'vmalloc',
      start: 0xffff_8f80_0000_0000n,
      end: 0xffff_af80_0000_0000n,
      purpose: 'vmalloc and ioremap space',
    },
    {
      name: 'linear map',
      start: 0xffff_af80_0000_0000n,
      end: 0xffff_ef80_0000_0000n,
      purpose: 'direct mapping of all physical memory',
    },
    { name: 'kasan', start: 0xffff_ef80_0000_0000n, end: 0xffff_ff80_0000_0000n, purpose: 'KASAN shadow memory' },
    { name: 'modules & bpf', start: 0xffff_ffff_0000_0000n, end: 0xffff_ffff_8000_0000n, purpose: 'modules, <BPF>' },
    { name: 'kernel', start: 0xffff_ffff_8000_0000n, end: 1n << 64n, purpose: 'kernel image' },
  ],
};

/** A 32-bit layout that fills its word, with a region inside another and an empty one. */
export const nestedLayout: LayoutInput = {
  name: 'nested <32>',
  wordBits: 32,
  regions: [
    { name: 'kernel', start: 0xc000_0000n, end: 1n << 32n },
    { name: 'user', start: 0n, end: 0xbf00_0000n, purpose: 'user space' },
    { name: 'text of the kernel with a very long name that nobody would give', start: 0xc000_8000n, end: 0xc0a0_0000n },
    { name: 'nothing', start: 0xf000_0000n, end: 0xf000_0000n },
    {
      name: 'vectors',
      start: 0xffff_0000n,
      end: 0xffff_1000n,
      purpose: 'exception vectors, and further words which do not fit beside it at all',
    },
  ],
};
