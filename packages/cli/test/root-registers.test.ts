/** From roots to registers and back: every architecture makes the same roots of the registers that it names. */
import type { OptionValues, RootDescription } from '@pagefold/core';
import { describe, expect, test } from 'vitest';
import { architectureNamed } from '../src/index.ts';

function shape({ paging, address, ranges, fault }: RootDescription): unknown {
  const { name, paBits, vaBits } = paging.geometry;
  return { name, paBits, vaBits, features: [...paging.features].sort(), address, ranges, fault };
}

/** Options that must be said again: they are in no register. */
const MACHINE = ['features', 'cpu', 'el2'];

describe('registers of roots', () => {
  test.each<[string, OptionValues]>([
    ['riscv', { mode: 'sv32', 'root-pa': 0x3_8000_0000n }],
    ['riscv', { mode: 'sv39', 'root-pa': 0x8000_0000n }],
    ['riscv', { mode: 'sv57', 'root-pa': 0x8000_0000n, features: ['none'] }],
    ['riscv', { satp: 0x9000_1000_0008_1fcan }],
    ['arm64', { granule: '4K', 'va-bits': 39n, ttbr0: 0x8000_0000n }],
    ['arm64', { granule: '4K', 'va-bits': 48n, ttbr1: 0x8000_0000n }],
    ['arm64', { granule: '16K', 'va-bits': 47n, ttbr0: 0x8000_0000n, ttbr1: 0x8000_4000n }],
    ['arm64', { granule: '64K', 'va-bits': 42n, ttbr1: 0x8000_0000n }],
    ['arm64', { granule: '64K', 'va-bits': 52n, ttbr1: 0x8000_0000n }],
    ['arm64', { granule: '4K', 'va-bits': 52n, ttbr1: 0x8000_0000n }],
    ['arm64', { granule: '16K', 'va-bits': 36n, ttbr0: 0x8000_0000n, el2: true }],
    ['arm64', { tcr: 0x1_5001_f5b5_503_510n, ttbr0: 0x803e_9001n, ttbr1: 0x7a_0000_41f1_6001n }],
    ['arm', { ttbr0: 0x4020_406an }],
    ['arm', { ttbr0: 0x4020_400an, ttbr1: 0x4020_8000n, ttbcr: 1n }],
    ['arm', { ttbr0: 0x4020_4000n, ttbcr: 0x8000_0000n }],
    ['arm', { ttbr0: 0x4020_4000n, ttbr1: 0x4020_5000n, ttbcr: 0x8001_0001n }],
    ['x86-64', { cr3: 0x10de_4000n }],
    ['x86-64', { cr3: 0x10de_4000n, levels: '5', cpu: ['none'] }],
  ])('%s %o', (name, values) => {
    const arch = architectureNamed(name);
    const roots = arch.roots(values);
    const registers = arch.rootRegisters?.(roots, values) ?? {};
    const machine = Object.fromEntries(Object.entries(values).filter(([option]) => MACHINE.includes(option)));
    expect(arch.roots({ ...machine, ...registers }).map(shape)).toEqual(roots.map(shape));
    // Not only because what was given is repeated: without the register values it must come out, too.
    const anew = arch.rootRegisters?.(roots, machine) ?? {};
    if (name !== 'arm64' || values.tcr === undefined) {
      expect(arch.roots({ ...machine, ...anew }).map(shape)).toEqual(roots.map(shape));
    }
  });
});
