/** What all boots read alike: the description's shared members, boot arguments, and the memory that they set aside. */
import {
  BootError,
  commandOptions,
  describedNumber,
  describedSymbol,
  initrdOf,
  Memblock,
  memparse,
  readMachineDescription,
  scanReservedMemory,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';

const MIB = 1n << 20n;

function machine(change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    kernel: { loadAddress: '0x80200000', symbols: { _text: '0xffffffff80000000', _end: 0x8100_0000 } },
    ram: [{ base: '0x80000000', size: '0x40000000' }],
    ...change,
  };
}

function refusal(change: Record<string, unknown>, bits?: number): { rule: string; message: string } {
  try {
    readMachineDescription(machine(change), bits);
  } catch (error) {
    if (error instanceof BootError) return { rule: error.rule, message: error.message };
    throw error;
  }
  throw new Error('was not refused');
}

describe('reading a description', () => {
  it('takes numbers as text or JSON, ranges in several spellings, and leaves out what is not said', () => {
    const read = readMachineDescription(
      machine({
        commandLine: 'mem=1G',
        memreserve: [{ address: 4096, size: '8192' }],
        reservedMemory: [
          { node: 'secure', start: '0x90000000', end: '0x90100000', no_map: true },
          { size: '0x100000', alignment: 4096, reusable: true, alloc_ranges: [{ base: 0, size: 4096 }] },
        ],
        initrd: { start: 1, end: 1 },
        config: { KFENCE: true, CONFIG_HZ: 250, CMDLINE: null },
      }),
    );
    expect(read.loadAddress).toBe(0x8020_0000n);
    expect(describedSymbol(read, '_end')).toBe(0x8100_0000n);
    expect(read.memreserve).toEqual([{ start: 4096n, end: 12288n }]);
    expect(read.initrd).toEqual({ start: 1n, end: 1n });
    expect(read.config).toEqual(
      new Map<string, unknown>([
        ['CONFIG_KFENCE', true],
        ['CONFIG_HZ', 250],
        ['CONFIG_CMDLINE', false],
      ]),
    );
    expect(read.reservedMemory).toEqual([
      {
        node: 'secure',
        place: { start: 0x9000_0000n, end: 0x9010_0000n },
        noMap: true,
        reusable: false,
        size: MIB,
        alignment: 0n,
        within: [],
      },
      {
        node: 'reservedMemory[1]',
        place: undefined,
        noMap: false,
        reusable: true,
        size: MIB,
        alignment: 4096n,
        within: [{ start: 0n, end: 4096n }],
      },
    ]);
    const bare = readMachineDescription(machine());
    expect([bare.kernelVersion, bare.commandLine, bare.initrd]).toEqual([undefined, '', undefined]);
  });

  it('names the member that is wrong', () => {
    expect(refusal({ kernel: 5 }).message).toMatch(/kernel is no object/);
    expect(refusal({ ram: [] }).rule).toBe('description-ram');
    expect(refusal({ ram: 'all' }).message).toMatch(/ram is no list/);
    expect(refusal({ ram: [{ size: 4096 }] }).message).toMatch(/ram\[0\] has no address/);
    expect(refusal({ ram: [{ base: 0 }] })).toMatchObject({ rule: 'description-number' });
    expect(refusal({ ram: [{ base: -1, size: 1 }] }).message).toMatch(/ram\[0\]\.base is no number: -1/);
    expect(refusal({ memreserve: [{ start: 2, end: 1 }] }).rule).toBe('description-range');
    expect(refusal({ ram: [{ base: 0, size: '0x10000000001' }] }, 40).message).toMatch(/above 2\^40/);
    expect(refusal({ config: { HZ: [] } }).message).toMatch(/config\.HZ is no switch, number or text/);
    expect(() => readMachineDescription([])).toThrow(/it is no object/);
    expect(() => describedNumber(true, 'here')).toThrow('here is no number: true [description-number]');
    expect(() => describedSymbol({ symbols: new Map() }, '_start')).toThrow('[symbol]');
  });
});

describe('boot arguments', () => {
  it('are numbers with units', () => {
    expect(['12', '0x10k', '3M', '1g', '2T', 'none'].map(memparse)).toEqual([
      12n,
      0x4000n,
      3n * MIB,
      1n << 30n,
      2n << 40n,
      0n,
    ]);
  });

  it('of one name come in their order, whatever dashes it has', () => {
    expect(commandOptions('a-b=1 a_b=2 ab=3 a-b', 'a_b')).toEqual(['1', '2']);
  });

  it('say where the initrd is before the device tree does', () => {
    const initrd = { start: 1n, end: 2n };
    expect(initrdOf({ commandLine: 'quiet', initrd })).toBe(initrd);
    expect(initrdOf({ commandLine: 'initrd=0x1000', initrd })).toBe(initrd);
    expect(initrdOf({ commandLine: 'initrd=0x1000,4k', initrd })).toEqual({ start: 0x1000n, end: 0x2000n });
  });
});

describe('what a device tree sets aside', () => {
  const RAM = { start: 0x8000_0000n, end: 0x9000_0000n };

  function scan(reservedMemory: unknown[], memreserve: unknown[] = []) {
    const description = readMachineDescription(machine({ reservedMemory, memreserve }));
    const memblock = new Memblock({ memory: [RAM], reserved: [{ start: 0x8800_0000n, end: 0x8810_0000n }] });
    const warnings: string[] = [];
    const reusable = scanReservedMemory({ memblock, description, warnings });
    return { memblock, warnings, reusable };
  }

  it('is in use, or must not be mapped unless it is in use already', () => {
    const { memblock, warnings } = scan([
      { node: 'firmware', base: 0x8000_0000, size: 0x10_0000 },
      { node: 'secure', base: 0x8100_0000, size: 0x10_0000, no_map: true },
      { node: 'late', base: 0x8800_0000, size: 0x1000, no_map: true },
      { node: 'nothing', base: 0x8200_0000, size: 0 },
    ]);
    expect(memblock.reserved.map(({ start }) => start)).toEqual([0x8000_0000n, 0x8800_0000n]);
    expect(memblock.mappable.map(({ start }) => start)).toEqual([0x8000_0000n, 0x8110_0000n]);
    expect(warnings).toEqual(['late is in use already and stays mapped']);
  });

  it('ends its block at the first empty range', () => {
    const { memblock } = scan(
      [],
      [
        { base: 0x8000_0000, size: 4096 },
        { base: 0, size: 0 },
        { base: 8, size: 8 },
      ],
    );
    expect(memblock.reserved[0]).toEqual({ start: 0x8000_0000n, end: 0x8000_1000n });
    expect(memblock.reserved).toHaveLength(2);
  });

  it('finds places from the top of what is allowed, and says which areas may be used meanwhile', () => {
    const { memblock, warnings, reusable } = scan([
      { node: 'cma', size: 0x10_0000, alignment: 0x10_0000, reusable: true },
      { node: 'low', size: 0x1000, within: [{ base: 0x8000_0000, size: 0x10_0000 }], no_map: true },
      { node: 'huge', size: '0x100000000' },
    ]);
    expect(reusable).toEqual([{ start: 0x8ff0_0000n, end: 0x9000_0000n }]);
    expect(memblock.reserved.map(({ start }) => start)).toEqual([0x800f_f000n, 0x8800_0000n, 0x8ff0_0000n]);
    expect(warnings).toEqual(['no memory for huge']);
  });
});
