import {
  access,
  BumpAllocator,
  createPaging,
  createSpace,
  map,
  phys,
  SparseMemory,
  translate,
  unmap,
  walk,
  writeWord,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  arm64,
  arm64Stage1,
  arm64Stage2,
  bootDecision,
  capturedRoot,
  cpuOfIds,
  cpuOfWords,
  el1Roots,
  fullCpu,
  granuleSupport,
  kvmVtcr,
  linuxMair,
  linuxTcr,
  linuxTtbr,
  memoryTypeName,
  overriddenIds,
  parseOverrides,
  stage1Format,
  stage1Geometry,
  stage2GranuleSupport,
} from '../src/index.ts';

const TCR = linuxTcr({ granule: '4K', vaBits: 48 }, { physicalBits: 48 });
const HA = 1n << 39n;
const ROOT = 0x4000_0000n;

/** One page at virtual address 0, below the root of the lower half. */
function tree(leaf: bigint): SparseMemory {
  const memory = new SparseMemory();
  for (let level = 0n; level < 3n; level++) {
    writeWord(memory, phys(ROOT + level * 4096n), ROOT + (level + 1n) * 4096n + 3n);
  }
  writeWord(memory, phys(ROOT + 3n * 4096n), leaf);
  return memory;
}

describe('the access flag', () => {
  const old = 0x0060_0000_8000_0bc3n;
  const spaceOf = (tcr: bigint, cpu = fullCpu) => createSpace(tree(old), el1Roots({ tcr, ttbr0: ROOT }, cpu));
  const translated = (tcr: bigint, cpu = fullCpu) => translate(spaceOf(tcr, cpu), 0n);
  const accessed = (tcr: bigint, cpu = fullCpu) => access(spaceOf(tcr, cpu), 0n, { kind: 'read', privilege: 'user' });

  it('does not matter to translation where hardware sets it', () => {
    expect(translated(TCR | HA)).toMatchObject({ mapped: true, pa: 0x8000_0000n });
  });

  it('makes an old page fault where software does', () => {
    const fault = { allowed: false, type: 'access_flag', code: 0x0b, hardwareLevel: 3, reasons: ['access_flag'] };
    expect(accessed(TCR)).toMatchObject(fault);
    expect(accessed(TCR | HA, cpuOfWords(['none']))).toMatchObject(fault);
    // It is mapped all the same: the page is there, and what edits tables must see it.
    expect(translated(TCR)).toMatchObject({ mapped: true, pa: 0x8000_0000n });
  });

  it('comes after the address size, and is set by an access', () => {
    const high = createSpace(tree(old | (1n << 47n)), el1Roots({ tcr: TCR & ~(7n << 32n), ttbr0: ROOT }));
    expect(translate(high, 0n)).toMatchObject({ type: 'address_size', reasons: ['address_size'] });
    const space = createSpace(tree(old), el1Roots({ tcr: TCR | HA, ttbr0: ROOT }));
    const result = access(space, 0n, { kind: 'read', privilege: 'user' });
    expect(result.allowed && result.updates.map(({ entry }) => entry)).toEqual([old | (1n << 10n)]);
  });
});

describe('E0PD', () => {
  // The same page at the bottom of both halves: for EL0 to read, and for EL1.
  const page = 0x0060_0000_8000_0fc3n;
  const spaceOf = (bits: bigint) => createSpace(tree(page), el1Roots({ tcr: TCR | bits, ttbr0: ROOT, ttbr1: ROOT }));
  const read = (bits: bigint, half: 0 | 1, privilege: 'user' | 'supervisor') =>
    access(spaceOf(bits), half === 0 ? 0n : 0xffff_0000_0000_0000n, { kind: 'read', privilege });
  const fault = { type: 'translation', code: 0x04, hardwareLevel: 0, reasons: ['e0pd'], slot: undefined };

  it('shuts EL0 out of one half before any lookup, and nobody else', () => {
    for (const closed of [0, 1] as const) {
      const bit = 1n << BigInt(55 + closed);
      for (const half of [0, 1] as const) {
        expect(read(0n, half, 'user').allowed).toBe(true);
        expect(read(bit, half, 'supervisor').allowed).toBe(true);
        if (half === closed) expect(read(bit, half, 'user')).toMatchObject(fault);
        else expect(read(bit, half, 'user').allowed).toBe(true);
      }
    }
    expect(walk(spaceOf(1n << 55n), 0n, { kind: 'execute', privilege: 'user' }).steps).toEqual([]);
  });

  it('comes with the register of a captured root', () => {
    const registers = { TCR_EL1: `0x${(TCR | (1n << 56n)).toString(16)}` };
    const roots = { kernel: { reg: 'TTBR1_EL1', ttbr: '0x40000000' } };
    const root = capturedRoot({ arch: 'arm64', registers, roots }, 'kernel', fullCpu, {});
    expect(root.closedTo).toEqual({ privilege: 'user', reason: 'e0pd' });
  });
});

describe('FEAT_HAFT', () => {
  const leaf = 0x0060_0000_8000_0fc3n;
  const geometry = stage1Geometry({ granule: '4K', inputBits: 48, half: 'low' });
  const updatesWith = (...features: string[]) => {
    const paging = createPaging(arm64Stage1['4K'], geometry, { features });
    const result = access(createSpace(tree(leaf), { paging, address: ROOT }), 0n, { kind: 'read', privilege: 'user' });
    return result.allowed && result.updates.map(({ level, entry }) => [level, (entry >> 10n) & 1n]);
  };

  it('marks table descriptors on the way where hardware sets access flags', () => {
    expect(updatesWith('ha', 'haft')).toEqual([
      [3, 1n],
      [2, 1n],
      [1, 1n],
    ]);
    expect(updatesWith('haft')).toEqual([]);
    expect(updatesWith('ha')).toEqual([]);
  });

  it('gives bit 10 of table descriptors a name', () => {
    const fieldsWith = (features: string[], stage = arm64Stage1) =>
      createPaging(stage['4K'], geometry, { features }).decode(1, 0x4000_0403n).fields;
    expect(fieldsWith(['haft']).af).toBe(1n);
    expect(fieldsWith(['haft'], arm64Stage2).af).toBe(1n);
    expect(Object.keys(fieldsWith(['ha']))).not.toContain('af');
  });
});

describe('processors', () => {
  it('are what their identification registers say', () => {
    const max = { mmfr0: 0x222_0010_1126n, mmfr1: 0x110_1021_1122n, mmfr2: 0x1021_0110_1001_1011n };
    expect(cpuOfIds(max)).toEqual({ ...fullCpu, lpa2: false });
    expect(cpuOfIds({ mmfr0: 0x1124n })).toEqual({
      paBits: 44,
      lpa: false,
      lva: false,
      lpa2: false,
      ttst: false,
      hafdbs: 0,
      xnx: false,
      fwb: false,
    });
  });

  it('have granules by three different rules', () => {
    const support = (granule: '4K' | '16K' | '64K', mmfr0: bigint) => granuleSupport(granule, { mmfr0 });
    expect([0n, 1n << 28n, 15n << 28n].map((mmfr0) => support('4K', mmfr0))).toEqual(['yes', 'lpa2', 'none']);
    expect([0n, 1n << 20n, 2n << 20n].map((mmfr0) => support('16K', mmfr0))).toEqual(['none', 'yes', 'lpa2']);
    expect([0n, 15n << 24n].map((mmfr0) => support('64K', mmfr0))).toEqual(['yes', 'none']);
    const stage2 = [0n, 1n << 40n, 2n << 40n, 3n << 40n].map((mmfr0) => stage2GranuleSupport('4K', { mmfr0 }));
    expect(stage2).toEqual(['yes', 'none', 'yes', 'lpa2']);
  });

  it('can be described in words', () => {
    expect(cpuOfWords(['lpa2', 'hafdbs'])).toMatchObject({ paBits: 52, lpa2: true, hafdbs: 2, lva: false });
    expect(cpuOfWords(['pa40', 'haf'])).toMatchObject({ paBits: 40, hafdbs: 1 });
    expect(() => cpuOfWords(['sve'])).toThrow(/cpu-word/);
  });
});

describe('the choice of 52 bits', () => {
  const lpa2 = { mmfr0: (1n << 28n) | (2n << 20n) | 6n };
  const lva = { mmfr0: 6n, mmfr2: 1n << 16n };

  it('needs LPA2 with small pages, and large virtual addresses with 64K', () => {
    expect(bootDecision({ granule: '4K', vaBits: 52 }, lpa2)).toEqual({ vaBits: 52, lpa2: true, paBits: 52 });
    expect(bootDecision({ granule: '4K', vaBits: 52 }, lva)).toEqual({ vaBits: 48, lpa2: false, paBits: 48 });
    expect(bootDecision({ granule: '16K', vaBits: 52 }, { mmfr0: (1n << 20n) | 5n }).vaBits).toBe(47);
    expect(bootDecision({ granule: '64K', vaBits: 52, paBits: 52 }, lva)).toEqual({
      vaBits: 52,
      lpa2: false,
      paBits: 52,
    });
    expect(bootDecision({ granule: '4K', vaBits: 39 }, { mmfr0: 2n })).toEqual({ vaBits: 39, lpa2: false, paBits: 40 });
    expect(() => bootDecision({ granule: '16K', vaBits: 47 }, {})).toThrow(/no-granule/);
  });

  it('can be refused on the command line', () => {
    for (const words of ['console=ttyAMA0 arm64.nolva', 'id_aa64mmfr2.varange=0', 'id-aa64mmfr2.varange=0']) {
      const overrides = parseOverrides(words);
      expect(bootDecision({ granule: '4K', vaBits: 52 }, lpa2, overrides).vaBits).toBe(48);
      expect(bootDecision({ granule: '64K', vaBits: 52 }, lva, overrides).vaBits).toBe(48);
    }
    expect(parseOverrides('id_aa64mmfr2.varange=1').nolva).toBe(false);
    const seen = overriddenIds({ granule: '16K', vaBits: 52 }, { ...lpa2, mmfr1: 3n }, { nolva: true });
    expect(seen).toMatchObject({ mmfr0: (1n << 28n) | (1n << 20n) | 5n, mmfr1: 3n });
  });

  it('changes TCR step by step', () => {
    const build = { granule: '4K', vaBits: 52 } as const;
    const at = (stage: 'boot' | 'running', actualBits: number) =>
      linuxTcr(build, { stage, actualBits, physicalBits: 52 });
    expect([at('boot', 52) >> 59n, (at('boot', 52) >> 16n) & 63n, (at('boot', 52) >> 32n) & 7n]).toEqual([0n, 16n, 5n]);
    expect([at('running', 52) >> 59n, (at('running', 52) >> 16n) & 63n, (at('running', 52) >> 32n) & 7n]).toEqual([
      1n,
      12n,
      6n,
    ]);
    expect(at('running', 48)).toBe(at('boot', 52));
    expect(() => linuxTtbr({ root: 0x20n }, 52)).toThrow(/ttbr-root/);
    expect(linuxTtbr({ root: 0x20n }, 48)).toBe(0x20n);
    expect(() => linuxTcr(build, { physicalBits: 30 })).toThrow(/physical-size/);
    expect(kvmVtcr({ granule: '4K', physicalBits: 44 })).toBe(0x8024_3558n);
  });
});

describe('memory types', () => {
  it('have names', () => {
    const names = [0x00, 0x04, 0x0c, 0x44, 0xff, 0xf0, 0x40, 0xaa, 0xa0, 0xf4, 0x02, 0xf3].map(memoryTypeName);
    expect(names).toEqual([
      'device',
      'device',
      'device',
      'uncached',
      'normal',
      'normal',
      'uncached',
      'normal write-through',
      'normal write-through',
      'normal outer write-back inner uncached',
      'reserved 2',
      'normal outer write-back inner write-through',
    ]);
    expect(linuxMair(true)).toBe(0x4_0044_f0ffn);
  });

  it('are found in any MAIR', () => {
    const other = stage1Format('4K', 0x00_00_00_00_aa_04_44_ffn).common;
    expect(other?.fromCommon({ memory: 'device' }, new Set(['ha'])).fields.attrIndx).toBe(2);
    expect(other?.fromCommon({ memory: 'normal write-through' }, new Set(['ha'])).fields.attrIndx).toBe(3);
    expect(arm64Stage1['4K'].common?.fromCommon({ memory: 'wood' }, new Set(['ha'])).lost).toEqual(['memory']);
  });
});

const capture = {
  arch: 'arm64',
  regime: { t0sz: 16, t1sz: 16, granule0: 4096, granule1: 4096, ds_lpa2: false, ips: 5, tbi0: 1, tbi1: 0, ha: 0 },
  registers: { TCR_EL1: `0x${(TCR | HA).toString(16)}`, SCTLR_EL1: '0x80000', MAIR_EL1: '0x40044ffff' },
  roots: {
    user: { reg: 'TTBR0_EL1', ttbr: '0x12000040000001', root_pa: '0x40000000', tsz: 16, start_level: 0 },
    idmap: { root_pa: '0x40000000', upper: false, tsz: 25, start_level: 1, ha: 1 },
    kernel: { reg: 'TTBR1_EL1', ttbr: '0x40000000' },
    off: { reg: 'TTBR0_EL1', ttbr: '0x0', tsz: 16, start_level: null },
    contrary: { root_pa: '0x40000000', tsz: 16, start_level: 1 },
    nowhere: { reg: 'TTBR0_EL1' },
    hyp: { reg: 'TTBR0_EL2', ttbr: '0x40000000', el: 2, tsz: 16 },
    guest: { ttbr: '0x1000040000000', stage: 2, tsz: 24, start_level: 1, granule0: 4096, ps: 4 },
  },
};

describe('roots of a facts file', () => {
  const root = (label: string, given = {}) => capturedRoot(capture, label, fullCpu, given);

  it('go before what is said about the machine', () => {
    expect(root('user').paging.features.has('ha')).toBe(false);
    expect(root('user').paging.geometry).toMatchObject({ ignored: { bits: [63, 56] }, upper: 'zero', vaBits: 48 });
    expect(root('idmap').paging.geometry).toMatchObject({ vaBits: 39 });
    expect(root('idmap').paging.features.has('ha')).toBe(true);
    expect(root('kernel').paging.geometry).toMatchObject({ upper: 'one', ignored: undefined });
    expect(root('kernel').control).toEqual({ wxn: true, epan: false });
    expect(root('hyp').paging.features.has('el2')).toBe(true);
    expect(root('guest').paging.geometry).toMatchObject({ vaBits: 40, paBits: 44 });
    expect(root('guest').paging.geometry.root.entries).toBe(1024);
  });

  it('are replaced by registers that are given', () => {
    expect(root('user', { tcr: TCR | HA }).paging.features.has('ha')).toBe(true);
    expect(root('user', { ttbr0: 0x5000_0000n }).address).toBe(0x5000_0000n);
  });

  it('are read with the sizes that are given', () => {
    expect(root('user', { granule: '16K', vaBits: 47n }).paging.geometry.name).toBe('16K-47-low');
    expect(root('kernel', { vaBits: 39n }).paging.geometry.name).toBe('4K-39-high');
    expect(() => root('user', { vaBits: 99n })).toThrow(/input-size/);
  });

  it('do not take options that are about other roots', () => {
    expect(() => root('user', { ttbr1: 0x5000n })).toThrow(/register-conflict/);
    expect(() => root('kernel', { ttbr0: 0x5000n })).toThrow(/register-conflict/);
    expect(() => root('user', { vttbr: 0x5000n })).toThrow(/stage-conflict/);
    expect(() => root('guest', { tcr: TCR })).toThrow(/stage-conflict/);
    expect(() => root('user', { el2: true })).toThrow(/el2-conflict/);
    expect(root('hyp', { el2: true }).label).toBe('hyp');
  });

  it('are not guessed where nothing says granule and size', () => {
    const bare = { roots: { only: { root_pa: '0x1000' }, guest: { stage: 2, root_pa: '0x1000' } } };
    expect(() => capturedRoot(bare, 'only', fullCpu)).toThrow('neither registers.TCR_EL1 nor granule0, t0sz');
    expect(() => capturedRoot(bare, 'guest', fullCpu)).toThrow(
      'neither registers.VTCR_EL2 nor granule0, t0sz, start_level',
    );
    expect(capturedRoot(bare, 'only', fullCpu, { granule: '4K', vaBits: 48n }).address).toBe(0x1000n);
    expect(capturedRoot(bare, 'only', fullCpu, { tcr: TCR }).address).toBe(0x1000n);
  });

  it('are refused with a reason', () => {
    expect(() => root('off')).toThrow(/mmu-off/);
    expect(() => root('contrary')).toThrow(/start-level/);
    expect(() => root('nowhere')).toThrow(/capture-root/);
    expect(() => root('other')).toThrow(/capture-root/);
  });

  it('of EL2 with host extensions have two ranges', () => {
    const vhe = {
      ...capture,
      regime: {},
      registers: { HCR_EL2: '0x400000000', TCR_EL2: capture.registers.TCR_EL1 },
      roots: { kernel: { reg: 'TTBR1_EL2', root_pa: '0x40000000', el: 2 } },
    };
    expect(capturedRoot(vhe, 'kernel', fullCpu).paging.geometry.upper).toBe('one');
    expect(capturedRoot(vhe, 'kernel', fullCpu).paging.features.has('el2')).toBe(false);
  });
});

describe('options of tools', () => {
  it('name roots by registers', () => {
    expect(arm64.roots({ tcr: TCR, ttbr0: ROOT, ttbr1: ROOT }).map(({ label }) => label)).toEqual([
      'TTBR0_EL1',
      'TTBR1_EL1',
    ]);
    expect(arm64.roots({ tcr: 0x8084_3510n, ttbr0: ROOT, el2: true })[0]?.label).toBe('TTBR0_EL2');
    expect(arm64.roots({ vtcr: 0x8024_3558n, vttbr: ROOT })[0]?.paging.geometry.root.tableBytes).toBe(8192);
    expect(arm64.roots({ granule: '16K', 'va-bits': 47n, ttbr1: ROOT })[0]?.paging.geometry.name).toBe('16K-47-high');
  });

  it('refuse what makes no sense', () => {
    expect(() => arm64.roots({})).toThrow(/no-root/);
    expect(() => arm64.roots({ tcr: TCR })).toThrow(/no-root/);
    expect(() => arm64.roots({ vtcr: 1n })).toThrow(/no-root/);
    expect(() => arm64.roots({ tcr: TCR, vtcr: 1n, vttbr: 1n })).toThrow(/stage-conflict/);
    expect(() => arm64.roots({ tcr: TCR, ttbr0: ROOT, granule: '4K' })).toThrow(/size-conflict/);
    expect(() => arm64.roots({ tcr: TCR, ttbr1: ROOT, el2: true })).toThrow(/el2-ttbr1/);
    expect(() => arm64.paging({})).toThrow(/no-granule/);
    expect(() => arm64.roots({ tcr: TCR, ttbr0: -1n })).toThrow('ttbr0 -0x1 [option-kind]');
    expect(() => arm64.roots({ tcr: TCR, ttbr0: ROOT, vaBits: 48n })).toThrow('option vaBits [unknown-option]');
    expect(() => arm64.paging({ granule: '8K', 'va-bits': 48n })).toThrow('granule 8K [option-word]');
    expect(() => arm64.paging({ granule: '4K', 'va-bits': 70n })).toThrow(/input-size/);
    expect(() => arm64.roots({ granule: '4K', 'va-bits': 99n, ttbr0: ROOT })).toThrow(
      'granule 4K, vaBits 99 [input-size]',
    );
    // A real register with such a size is what the hardware faults on.
    expect(arm64.roots({ tcr: 0x3fn, ttbr0: ROOT })[0]?.fault).toBe('input_size_register');
  });

  it('give a paging without a root', () => {
    expect(arm64.paging({ tcr: TCR }).geometry.name).toBe('4K-48-low');
    expect(arm64.paging({ tcr: TCR, ttbr1: 0n }).geometry.name).toBe('4K-48-high');
    expect(arm64.paging({ tcr: TCR }, 0xffff_8000_8000_0000n).geometry.name).toBe('4K-48-high');
    expect(arm64.paging({ tcr: TCR, ttbr0: 0n, ttbr1: 0n }, 0x1000n).geometry.name).toBe('4K-48-low');
    expect(arm64.paging({ granule: '4K', 'va-bits': 39n }, 0xffff_ffff_0000_0000n).geometry.name).toBe('4K-39-high');
    expect(arm64.paging({ vtcr: 0x8024_3558n }).geometry.name).toBe('4K-stage2-40');
    expect(arm64.paging({ granule: '4K', 'va-bits': 52n }).features.has('lpa2')).toBe(true);
    expect(arm64.pickRegister?.('tcr', 0n, {})?.name).toBe('tcr_el1');
  });
});

describe('a contiguous group that is broken', () => {
  it('keeps what hardware wrote into one entry for all', () => {
    const memory = new SparseMemory([{ start: 0n, end: 0x10_0000n }]);
    const paging = createPaging(arm64Stage1['4K'], stage1Geometry({ granule: '4K', inputBits: 48, half: 'low' }), {
      features: ['ha', 'hd'],
    });
    const space = createSpace(memory, { paging, address: 0x1000n });
    const allocator = new BumpAllocator(0x2000n, 0x10_0000n);
    // Writable, clean and not accessed yet: DBM and AP[2].
    const attributes = { dbm: 1, ap2: 1, af: 0 };
    map(space, { va: 0n, pa: 0x1_0000n, bytes: 0x1_0000n, attributes, allocator });
    expect(access(space, 0x5123n, { kind: 'write', privilege: 'supervisor' }, { apply: true }).allowed).toBe(true);
    unmap(space, { start: 0xf000n, end: 0x1_0000n });
    const found = [0n, 0x5000n, 0xe000n].map((va) => translate(space, va));
    for (const one of found) expect(one).toMatchObject({ shape: 'page', fields: { af: 1, ap2: 0, dbm: 1 } });
  });
});
