import { describe, expect, it } from 'vitest';
import {
  type ArmCpu,
  LINUX_MAIR,
  LINUX_REMAP,
  lpaeMemoryType,
  memoryTypes,
  memoryWord,
  pageProtections,
  shortMemoryType,
  USUAL_CPU,
  userProtection,
} from '../src/index.ts';

/** v7, several processors, TEX remap: page bits, table bits, section bits. Read out of a kernel that was built so. */
const SHORT_V7: Readonly<Record<string, readonly [bigint, bigint, bigint]>> = {
  DEVICE: [0x653n, 0x41n, 0x11452n],
  DEVICE_NONSHARED: [0x273n, 0x41n, 0x1452n],
  DEVICE_CACHED: [0x66fn, 0x41n, 0x1045en],
  DEVICE_WC: [0x667n, 0x41n, 0x10456n],
  UNCACHED: [0x243n, 0x41n, 0x52n],
  CACHECLEAN: [0n, 0n, 0x841en],
  MINICLEAN: [0n, 0n, 0x941an],
  LOW_VECTORS: [0x4dfn, 0x61n, 0n],
  HIGH_VECTORS: [0x5dfn, 0x61n, 0n],
  MEMORY_RWX: [0x45fn, 0x1n, 0x1140en],
  MEMORY_RW: [0x65fn, 0x1n, 0x1141en],
  MEMORY_RO: [0x6dfn, 0x1n, 0x1941en],
  ROM: [0n, 0n, 0x940en],
  RWX_NONCACHED: [0x447n, 0x1n, 0x10406n],
  RW_DTCM: [0x243n, 0x1n, 0x12n],
  RWX_ITCM: [0x43n, 0x1n, 0n],
  RW_SO: [0x243n, 0x1n, 0x10412n],
  DMA_READY: [0x65fn, 0x1n, 0n],
};

describe('the kernel’s memory types', () => {
  it('are those of a v7 kernel with short descriptors', () => {
    const found = Object.fromEntries(
      Object.entries(memoryTypes('short')).map(([name, { pte, table, section }]) => [name, [pte, table, section]]),
    );
    expect(found).toEqual(SHORT_V7);
  });

  it('have protections of pages to go with them', () => {
    const { user, kernel, kernelExec } = pageProtections('short');
    expect(user).toEqual({
      NONE: 0xe9fn,
      SHARED: 0x71fn,
      SHARED_EXEC: 0x51fn,
      COPY: 0x79fn,
      COPY_EXEC: 0x59fn,
      READONLY: 0x79fn,
      READONLY_EXEC: 0x59fn,
    });
    expect([kernel, kernelExec]).toEqual([0x65fn, 0x45fn]);
    expect([
      userProtection(false, false, false, false),
      userProtection(false, true, false, false),
      userProtection(true, true, false, true),
      userProtection(false, false, true, true),
    ]).toEqual(['NONE', 'COPY', 'SHARED', 'READONLY_EXEC']);
  });

  it('give a device section of long descriptors index 0 although its pages have index 4', () => {
    const { DEVICE } = memoryTypes('lpae');
    expect(DEVICE.section & 0x1cn).toBe(0n);
    expect(DEVICE.pte & 0x1cn).toBe(4n << 2n);
  });

  it('have neither domains nor bit 4 under long descriptors, and the access flag everywhere', () => {
    for (const { pte, table, section, domain } of Object.values(memoryTypes('lpae'))) {
      if (table !== 0n) expect([table, pte & 0x400n, domain <= 3]).toEqual([3n, 0x400n, true]);
      if (section !== 0n) expect(section & 0x403n).toBe(0x401n);
    }
    // Lowmem in blocks, as the capture of a running kernel has it.
    expect(memoryTypes('lpae').MEMORY_RW.section).toBe((1n << 54n) | 0x71dn);
  });

  it('set bit 4 before v6, and have neither XN nor the shared bit there', () => {
    const v5: ArmCpu = { arch: 5, tre: false, smp: false, policy: 'writeback' };
    const { MEMORY_RW, DEVICE, DEVICE_WC } = memoryTypes('short', v5);
    expect(MEMORY_RW.table).toBe(0x11n);
    expect([MEMORY_RW.section, DEVICE.section & 0x1_0000n, DEVICE_WC.section]).toEqual([0x41en, 0n, 0x456n]);
  });

  it('use TEX where v6 does not remap it', () => {
    const v6: ArmCpu = { arch: 6, tre: false, smp: false };
    const { DEVICE, DEVICE_NONSHARED, DEVICE_WC, HIGH_VECTORS } = memoryTypes('short', v6);
    expect(DEVICE.section & 0x700cn).toBe(0x4n);
    expect(DEVICE_NONSHARED.section & 0x700cn).toBe(0x2000n);
    expect(DEVICE_WC.section & 0x700cn).toBe(0x1000n);
    expect((HIGH_VECTORS.pte >> 2n) & 0xfn).toBe(15n);
  });

  it('put devices into domain 0 where supersections map them', () => {
    const { DEVICE, MEMORY_RW } = memoryTypes('short', { ...USUAL_CPU, io36: true });
    expect([DEVICE.domain, DEVICE.table, MEMORY_RW.domain, MEMORY_RW.section]).toEqual([0, 0x1n, 2, 0x1145en]);
  });
});

describe('memory types of the hardware', () => {
  it('are one word each where both caches agree', () => {
    const words = [0, 1, 2, 3, 4, 5, 6, 7].map((n) =>
      memoryWord(shortMemoryType({ tex: n >> 2, c: (n >> 1) & 1, b: n & 1, s: 0 }, LINUX_REMAP)),
    );
    expect(words).toEqual([
      'strongly-ordered',
      'uncached',
      'write-through',
      'write-back',
      'device',
      'strongly-ordered',
      'implementation defined',
      'normal',
    ]);
    expect([0, 1, 2, 3, 4, 7].map((index) => memoryWord(lpaeMemoryType(index, 3, LINUX_MAIR)))).toEqual([
      'strongly-ordered',
      'uncached',
      'write-through',
      'write-back',
      'device',
      'normal',
    ]);
    expect(memoryWord(shortMemoryType({ tex: 5, c: 1, b: 1, s: 0 }, undefined))).toBe('outer normal, inner write-back');
  });
});
