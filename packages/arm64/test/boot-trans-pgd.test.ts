import {
  BumpAllocator,
  createSpace,
  earlyPhase,
  hex,
  mappedRanges,
  phys,
  reachableTables,
  SparseMemory,
  translate,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  addressConfig,
  bootKernel,
  identityBitsFor,
  idmapPage,
  type KexecMachine,
  LINUX_BITS,
  type LinuxBuild,
  linuxProtections,
  markLinearTextAliasRo,
  planKexec,
  swapperTree,
  transPgdCopy,
} from '../src/index.ts';
import { machineWith, runningMachine } from './boot-machine.ts';

/** Bits of entries that hold addresses, whatever the level. */
const ADDRESS = ((1n << 50n) - 1n) & ~0xfffn;

describe('tables of hibernation and kexec (mm/trans_pgd.c)', () => {
  const machines = {
    '4K pages': runningMachine('arm64-4k-48-blocks-6.12'),
    '16K pages': runningMachine('arm64-16k-47-blocks-6.12'),
    '52 bits': machineWith({ build: { granule: '4K', vaBits: 52 } }),
    '64K pages, shorter root': machineWith({ build: { granule: '64K', vaBits: 52 }, wide: false }),
  };
  for (const [name, description] of Object.entries(machines)) {
    it(`copies the linear map, all writable: ${name}`, () => {
      const kernel = bootKernel(description, { stage: 'after_paging_init' });
      markLinearTextAliasRo(kernel);
      const tree = swapperTree(kernel, kernel.memblock);
      const start = (1n << 64n) - (1n << BigInt(kernel.decision.vaBits));
      const end = kernel.symbols.PAGE_END;
      const own = kernel.memblock.reserved.length;
      const copy = transPgdCopy(tree, { start, end, allocator: kernel.memblock, rootOffset: kernel.rootOffset });
      expect(kernel.memblock.reserved.length).toBeGreaterThanOrEqual(own);
      /** Runs with the protection that the copy shall have; equal neighbours are one. */
      const runs = (root: bigint): string[] => {
        const space = createSpace(kernel.memory, { paging: kernel.paging, address: root, label: 'x' });
        const found: { start: bigint; end: bigint; pa: bigint; rest: string }[] = [];
        for (const run of mappedRanges(space, { start, end })) {
          const rest = `${run.leafBytes} ${run.bits & ~LINUX_BITS.RDONLY & ~LINUX_BITS.WRITE & ~ADDRESS}`;
          const last = found.at(-1);
          const goesOn = last?.end === run.start && last.rest === rest && last.pa + (run.start - last.start) === run.pa;
          if (last !== undefined && goesOn) last.end = run.end;
          else found.push({ start: run.start, end: run.end, pa: run.pa, rest });
        }
        return found.map((run) => `${hex(run.start)} ${hex(run.end)} ${hex(run.pa)} ${run.rest}`);
      };
      expect(runs(copy.root)).toEqual(runs(tree.root));
      const space = createSpace(kernel.memory, { paging: kernel.paging, address: copy.root, label: 'copy' });
      const copied = mappedRanges(space, { start, end });
      expect(copied.every(({ bits }) => (bits & LINUX_BITS.RDONLY) === 0n)).toBe(true);
      // Nothing but the linear map, and not one table in common.
      const tables = reachableTables(kernel.memory, [
        { paging: kernel.paging, address: tree.root, label: 'live' },
        { paging: kernel.paging, address: copy.root, label: 'copy' },
      ]);
      expect(tables.filter(({ roots }) => roots.length > 1)).toEqual([]);
      expect(translate(space, kernel.place.imageStart)).not.toHaveProperty('pa');
    });
  }

  it('maps one page at its own address, as high as four levels reach', () => {
    for (const [build, page, bits] of [
      [{ granule: '4K', vaBits: 39 }, 0x1234_5678_9000n, 48],
      [{ granule: '64K', vaBits: 48, paBits: 52 }, 0xf_1234_5679_0000n, 52],
      [{ granule: '16K', vaBits: 52 }, 0xf_1234_5678_c000n, 52],
    ] as const) {
      const memory = new SparseMemory();
      const lpa2 = (build as LinuxBuild).granule === '16K';
      const made = idmapPage({
        build,
        addresses: addressConfig(build, lpa2),
        memory,
        phase: earlyPhase(new BumpAllocator(0x1000_0000n, 0x2000_0000n)),
        prot: linuxProtections({ lpa2 }).values.PAGE_KERNEL_ROX,
        page,
      });
      expect(made.t0sz).toBe(64 - bits);
      const space = createSpace(memory, { paging: made.paging, address: made.root, label: 'idmap' });
      expect(translate(space, page)).toMatchObject({ pa: phys(page) });
    }
    const high = {
      build: { granule: '4K', vaBits: 52 } as const,
      addresses: addressConfig({ granule: '4K', vaBits: 52 }, true),
      memory: new SparseMemory(),
      phase: earlyPhase(new BumpAllocator(0x1000_0000n, 0x2000_0000n)),
      prot: 0n,
      page: 1n << 50n,
    };
    expect(() => idmapPage(high)).toThrow(/idmap-levels/);
    expect(idmapPage({ ...high, beyond: 'extend' }).steps.map(({ level }) => level)).toEqual([3, 2, 1, 0, -1]);
  });
});

describe('the way from one kernel to the next', () => {
  const low = { start: 0x8000_0000n, end: 0x1_0000_0000n };
  const high = { start: 0x80_8000_0000n, end: 0x81_0000_0000n };
  const machine: KexecMachine = {
    build: { granule: '4K', vaBits: 39 },
    memory: [low],
    segments: [{ start: 0x8000_0000n, end: 0x8200_0000n }],
    relocationPage: 0x9000_0000n,
  };
  const obstacles = (given: KexecMachine, way: string): string[] =>
    planKexec(given)
      .ways.filter((each) => each.way === way)
      .flatMap((each) => each.obstacles.map(({ rule }) => rule));

  it('is the linear map, and low memory could also be mapped at its own addresses', () => {
    const plan = planKexec(machine);
    expect(plan.choice).toBe('linear-map');
    expect(plan.ways.map(({ way, works }) => [way, works])).toEqual([
      ['linear-map', true],
      ['identity-map', true],
      ['reserved-memory', false],
    ]);
  });

  it('cannot be an identity map of the kernel levels where memory lies above the virtual addresses', () => {
    const given = {
      ...machine,
      memory: [high],
      segments: [{ start: high.start, end: high.start + 0x200_0000n }],
      relocationPage: high.start + 0x1000_0000n,
    };
    expect(planKexec(given).choice).toBe('linear-map');
    expect(new Set(obstacles(given, 'identity-map'))).toEqual(new Set(['beyond-identity-map']));
    const bits = identityBitsFor(given);
    expect(bits).toBe(48);
    const longer = planKexec({ ...given, identityBits: bits }).ways.find(({ way }) => way === 'identity-map');
    expect(longer).toMatchObject({ works: true, levels: 4, t0sz: 16 });
  });

  it('ends where four levels end, or where the linear map does', () => {
    const top = { start: 1n << 50n, end: (1n << 50n) + 0x1000_0000n };
    const lpa2: KexecMachine = {
      build: { granule: '4K', vaBits: 52 },
      physicalBits: 52,
      memory: [top],
      segments: [top],
      relocationPage: top.start,
    };
    expect(obstacles(lpa2, 'linear-map')).toEqual(['idmap-levels']);
    expect(planKexec({ ...lpa2, reserved: top }).choice).toBe('reserved-memory');
    // 39 bits have a linear map of 256 GiB: what lies further up is given up at boot.
    const far = { ...machine, memory: [low, high], segments: [{ start: high.start, end: high.start + 0x1000n }] };
    expect(obstacles(far, 'linear-map')).toEqual(['beyond-linear-map']);
    expect(obstacles({ ...far, reserved: low }, 'reserved-memory')).toEqual(['not-reserved']);
    expect(planKexec(far).choice).toBeUndefined();
  });
});
