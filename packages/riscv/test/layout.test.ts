/** Layouts of RISC-V kernels: the numbers of every profile, what the checks find in them, and running kernels. */
import {
  checkLayout,
  checkLayouts,
  checkShadowOffsets,
  type Finding,
  hex,
  type Layout,
  regionNamed,
  regionsAt,
  sizeText,
} from '@pagefold/core';
import { describe, expect, it } from 'vitest';
import {
  findLayoutProfile,
  fixmapAddress,
  fixmapIndex,
  fixmapSlots,
  kaslrPlace,
  layoutProfiles,
  newestProfile,
  type RiscvMode,
  riscvLayout,
  riscvLayoutRules,
  riscvLayouts,
  vaPaOfLayout,
  vmLayoutLines,
} from '../src/index.ts';

const starts = (layout: Layout, ...names: string[]): string[] =>
  names.map((name) => hex(regionNamed(layout, name)?.start ?? -1n));

const ruled = (layout: Layout) => ({ layout, rules: riscvLayoutRules(layout) });

const heard = (findings: readonly Finding[], ...severities: string[]): string[] =>
  findings
    .filter(({ severity }) => severities.includes(severity))
    .map(({ severity, rule, layout, regions }) => `${severity} ${layout} ${rule} ${regions.join('+')}`);

const CHAIN = ['fixmap', 'pci_io', 'vmemmap', 'vmalloc', 'linear'] as const;

describe('profiles', () => {
  it.each([
    ['5.9', 'v5.9-v5.12 MAXPHYSMEM_128GB'],
    ['5.10', 'v5.9-v5.12 MAXPHYSMEM_128GB'],
    ['v5.10.223', 'v5.9-v5.12 MAXPHYSMEM_128GB'],
    ['5.13', 'v5.13'],
    ['5.15', 'v5.14-v5.16'],
    ['5.15.109', 'v5.14-v5.16'],
    ['5.15.110', 'v5.15.y'],
    ['5.15.y', 'v5.15.y'],
    ['5.16.20', 'v5.14-v5.16'],
    ['v5.17', 'v5.17'],
    ['6.1', 'v5.18-v6.3'],
    ['v6.1', 'v5.18-v6.3'],
    ['6.1.26', 'v5.18-v6.3'],
    ['6.1.27', 'v6.1.y-v6.3'],
    ['6.1.192', 'v6.1.y-v6.3'],
    ['6.1.y', 'v6.1.y-v6.3'],
    ['6.2.13', 'v5.18-v6.3'],
    ['6.2.16', 'v6.1.y-v6.3'],
    ['6.3', 'v6.1.y-v6.3'],
    ['6.4', 'v6.4-v6.10'],
    ['6.6.30', 'v6.4-v6.10'],
    ['v6.11-rc1', 'v6.11+'],
    ['6.12.107', 'v6.11+'],
    ['6.12.107+deb13-riscv64', 'v6.11+'],
    ['7.1', 'v6.11+'],
    ['seed002-v5', 'seed002-v5'],
    ['V6.11+', 'v6.11+'],
    ['v5.9-v5.12 MAXPHYSMEM_2GB', 'v5.9-v5.12 MAXPHYSMEM_2GB'],
  ])('%s is %s', (text, name) => {
    expect(findLayoutProfile(text).name).toBe(name);
  });

  it('depend on the mode where builds differ', () => {
    expect(findLayoutProfile('5.10', 'sv32').name).toBe('v5.9-v5.12 MAXPHYSMEM_1GB');
    expect(findLayoutProfile('5.10', 'sv39').name).toBe('v5.9-v5.12 MAXPHYSMEM_128GB');
    expect(() => findLayoutProfile('5.10', 'sv48')).toThrow(/no layout with sv48/);
    expect(() => findLayoutProfile('v5.13', 'sv57')).toThrow('v5.13 has no sv57, only sv39, sv32');
  });

  it.each(['4.20', '5.8', '', 'newest', 'v', '6', '6.1.2.3'])('%j is none', (text) => {
    expect(() => findLayoutProfile(text)).toThrow(expect.objectContaining({ rule: 'layout-profile' }));
  });

  it('have names that are different and found by themselves', () => {
    for (const profile of layoutProfiles) expect(findLayoutProfile(profile.name)).toBe(profile);
  });
});

describe('regions', () => {
  it('of v6.11 and later, as the document in the kernel tree lists them', () => {
    const table = (mode: RiscvMode) => {
      const layout = riscvLayout({ mode, kasan: true });
      return [...CHAIN, 'kasan_shadow', 'kernel'].map((name) => {
        const { start, end } = regionNamed(layout, name) ?? { start: 0n, end: 0n };
        return `${name} ${hex(start)} ${sizeText(end - start)}`;
      });
    };
    expect(table('sv39')).toEqual([
      'fixmap 0xffffffc4fea00000 6M',
      'pci_io 0xffffffc4ff000000 16M',
      'vmemmap 0xffffffc500000000 4G',
      'vmalloc 0xffffffc600000000 64G',
      'linear 0xffffffd600000000 128G',
      'kasan_shadow 0xfffffff700000000 32G',
      'kernel 0xffffffff80000000 2G',
    ]);
    expect(table('sv48')).toEqual([
      'fixmap 0xffff8d7ffea00000 6M',
      'pci_io 0xffff8d7fff000000 16M',
      'vmemmap 0xffff8d8000000000 2T',
      'vmalloc 0xffff8f8000000000 32T',
      'linear 0xffffaf8000000000 64T',
      'kasan_shadow 0xffffef8000000000 16892G',
      'kernel 0xffffffff80000000 2G',
    ]);
    expect(table('sv57')).toEqual([
      'fixmap 0xff1bfffffea00000 6M',
      'pci_io 0xff1bffffff000000 16M',
      'vmemmap 0xff1c000000000000 1P',
      'vmalloc 0xff20000000000000 16P',
      'linear 0xff60000000000000 32P',
      'kasan_shadow 0xffdf000000000000 8650748G',
      'kernel 0xffffffff80000000 2G',
    ]);
  });

  it.each([
    [
      'v5.18-v6.3',
      'sv57',
      '0xff1bfffffee00000 0xff1bffffff000000 0xff1c000000000000 0xff20000000000000 0xff60000000000000',
    ],
    [
      '6.1.192',
      'sv39',
      '0xffffffc6fea00000 0xffffffc6ff000000 0xffffffc700000000 0xffffffc800000000 0xffffffd800000000',
    ],
    [
      '5.15.110',
      'sv39',
      '0xffffffcefea00000 0xffffffceff000000 0xffffffcf00000000 0xffffffd000000000 0xffffffe000000000',
    ],
    ['5.10', 'sv32', '0x9dc00000 0x9e000000 0x9f000000 0xa0000000 0xc0000000'],
    ['6.12', 'sv32', '0x9d800000 0x9e000000 0x9f000000 0xa0000000 0xc0000000'],
  ] as const)('of %s in %s', (profile, mode, expected) => {
    expect(starts(riscvLayout({ mode, profile }), ...CHAIN).join(' ')).toBe(expected);
  });

  it('of RV32 follow struct page, and programs end where the fixmap begins', () => {
    const small = riscvLayout({ mode: 'sv32' });
    const large = riscvLayout({ mode: 'sv32', structPageBytes: 36n });
    expect(starts(large, 'fixmap', 'pci_io', 'vmemmap')).toEqual(['0x9c800000', '0x9d000000', '0x9e000000']);
    expect(small.facts.task_size).toBe(0x9d80_0000n);
    expect(regionNamed(large, 'user')?.end).toBe(0x9c80_0000n);
    expect(riscvLayout({ mode: 'sv32', profile: '5.10', structPageBytes: 64n }).facts.task_size).toBe(0x9cc0_0000n);
    expect(regionNamed(small, 'modules')).toMatchObject({
      start: 0xa000_0000n,
      end: 0xc000_0000n,
      within: ['vmalloc'],
    });
    expect(regionNamed(small, 'bpf_jit')).toMatchObject({ start: 0xb800_0000n, end: 0xc000_0000n });
    expect(regionNamed(small, 'linear')?.end).toBe(1n << 32n);
    expect(regionNamed(small, 'kernel')).toMatchObject({ start: 0xc000_0000n, within: ['linear'] });
  });

  it.each([
    [1n, 0n],
    [2n, 1n],
    [56n, 6n],
    [64n, 6n],
    [65n, 7n],
  ])('keep 2^n bytes for a struct page of %d', (structPageBytes, shift) => {
    expect(riscvLayout({ mode: 'sv39', structPageBytes }).facts.struct_page_max_shift).toBe(shift);
  });

  it('move with the kernel', () => {
    const { virtAddr } = kaslrPlace(0x1e6_b000n, 0x1234_5678_9abc_def0n);
    const layout = riscvLayout({ mode: 'sv48', kernelStart: virtAddr, kernelEnd: virtAddr + 0x1e6_b000n });
    const modules = regionNamed(layout, 'modules');
    expect(modules?.end).toBe(virtAddr);
    expect(modules?.start).toBe(virtAddr + 0x1e6_b000n - (2n << 30n));
    expect(regionNamed(layout, 'bpf_jit')?.end).toBe(virtAddr);
    expect(heard(checkLayout(layout, riscvLayoutRules(layout)), 'error', 'warning')).toEqual([]);
    expect(layout.facts.kernel_link_addr).toBe(0xffff_ffff_8000_0000n);
  });

  it('carry the limits of programs where they are known', () => {
    expect(riscvLayout({ mode: 'sv57' }).facts).toMatchObject({
      task_size: 0x100_0000_0000_0000n,
      mmap_va_bits: 48n,
      default_map_window: 0x8000_0000_0000n,
      task_unmapped_base: 0x2a_aaaa_b000n,
      mmap_rnd_bits_max: 33n,
    });
    expect(riscvLayout({ mode: 'sv39', profile: '5.10' }).facts.mmap_va_bits).toBeUndefined();
  });

  it('are refused for inputs that make no sense', () => {
    const rule = (word: string) => expect.objectContaining({ rule: word });
    expect(() => riscvLayout({ mode: 'sv32', kasan: true })).toThrow(rule('kasan-mode'));
    expect(() => riscvLayout({ mode: 'sv40' as RiscvMode })).toThrow(rule('layout-mode'));
    expect(() => riscvLayout({ mode: 'sv39', structPageBytes: 0n })).toThrow(rule('layout-struct-page'));
    expect(() => riscvLayout({ mode: 'sv39', kernelStart: 2n, kernelEnd: 1n })).toThrow(rule('layout-kernel'));
    expect(() => riscvLayout({ mode: 'sv32', kernelEnd: (1n << 32n) + 1n })).toThrow(rule('layout-kernel'));
    for (const mode of ['sv32', 'sv39', 'sv48', 'sv57'] as const) {
      expect(() => riscvLayout({ mode, kernelStart: 1n })).toThrow(rule('layout-kernel'));
    }
    expect(() => riscvLayout({ mode: 'sv39', memory: [{ start: 4n, end: 4n }] })).toThrow(rule('layout-memory'));
    expect(() => riscvLayout({ mode: 'sv57', profile: layoutProfiles[0] ?? newestProfile })).toThrow(
      rule('layout-profile'),
    );
    expect(() => vaPaOfLayout(riscvLayout({ mode: 'sv39' }))).toThrow(rule('layout-memory'));
  });
});

describe('checks', () => {
  it('find no error in any release, and what the releases knew or did not know', () => {
    const said = layoutProfiles
      .filter(({ releases }) => releases.length > 0)
      .flatMap((profile) =>
        [false, true].flatMap((kasan) => {
          const modes = (Object.keys(profile.pageOffset) as RiscvMode[]).filter((mode) => !kasan || mode !== 'sv32');
          const findings = checkLayouts(modes.map((mode) => ruled(riscvLayout({ mode, profile, kasan }))));
          return heard(findings, 'error', 'warning').map((text) => `${profile.name}: ${text}`);
        }),
      );
    // Sv57's linear map and the shadow overlap where no memory is.
    const overlap = 'warning sv57 overlap linear+kasan_shadow';
    // v5.13 let the linear map reach the top, where the kernel is.
    const reached = ['modules', 'kernel', 'bpf_jit'].map((name) => `v5.13: warning sv39 overlap linear+${name}`);
    expect(said).toEqual([
      ...reached,
      ...reached,
      ...['v5.18-v6.3', 'v6.1.y-v6.3', 'v6.4-v6.10', 'v6.11+'].map((name) => `${name}: ${overlap}`),
    ]);
  });

  it('tell the 4 GiB between linear map and shadow, and which root entry is shared', () => {
    const info = (mode: RiscvMode) =>
      checkLayout(riscvLayout({ mode, kasan: true }), ruled(riscvLayout({ mode, kasan: true })).rules);
    const gap = info('sv39').find(({ rule, regions }) => rule === 'gap' && regions[0] === 'linear');
    expect(gap).toMatchObject({ severity: 'info', regions: ['linear', 'kasan_shadow'] });
    expect(gap?.values).toMatchObject({ start: 0xffff_fff6_0000_0000n, bytes: 4n << 30n });
    expect(heard(info('sv39'), 'info').filter((text) => text.includes('shared-entry'))).toEqual([]);
    expect(heard(info('sv48'), 'info')).toContain('info sv48 shared-entry kasan_shadow+modules+bpf_jit+kernel');
    const spare = info('sv48').find(({ rule }) => rule === 'shadow-spare');
    expect(spare?.values).toMatchObject({ bytes: 508n << 30n });
  });

  it('find v5.13 broken once there is memory enough, and later kernels leave that memory out', () => {
    const memory = [{ start: 0x8000_0000n, end: 0x8000_0000n + (126n << 30n) }];
    const run = (profile: string) =>
      heard(checkLayouts([ruled(riscvLayout({ mode: 'sv39', profile, memory }))]), 'error', 'warning');
    expect(run('5.13')).toContain('error sv39 overlap linear+modules');
    expect(run('5.14')).toEqual(['warning sv39 too-small linear']);
    expect(run('5.10')).toEqual([]);
    expect(run('6.12')).toEqual([]);
  });

  it('find that Sv57 with more than 31.75 PiB would run into the shadow', () => {
    const sized = (bytes: bigint) =>
      checkLayouts([ruled(riscvLayout({ mode: 'sv57', kasan: true, memory: [{ start: 0n, end: bytes }] }))]);
    const limit = 0xffdf_0000_0000_0000n - 0xff60_0000_0000_0000n;
    expect(heard(sized(limit), 'error')).toEqual([]);
    expect(heard(sized(limit + 4096n), 'error')).toEqual(['error sv57 overlap linear+kasan_shadow']);
  });

  it('find what review said of the 2020 proposal: on RV32 the kernel would stand among programs', () => {
    const layout = riscvLayout({ mode: 'sv32', profile: 'seed002-v5' });
    expect(starts(layout, 'kernel')).toEqual(['0x40000000']);
    expect(regionsAt(layout, 0x4000_0000n).map(({ name }) => name)).toEqual(['user', 'kernel']);
    expect(heard(checkLayouts([ruled(layout)]), 'error')).toContain('error sv32 overlap user+kernel');
    expect(heard(checkLayouts([ruled(riscvLayout({ mode: 'sv39', profile: 'seed002-v5' }))]), 'error')).toEqual([]);
  });

  it('accept one shadow offset for all modes since v5.17, and refuse the old place for more than one', () => {
    const now = (['sv39', 'sv48', 'sv57'] as const).map((mode) => ruled(riscvLayout({ mode, kasan: true })));
    expect(checkShadowOffsets(now).map(({ severity, values }) => [severity, values.offset])).toEqual([
      ['info', 0xdfff_ffff_0000_0000n],
    ]);
    // The rule up to v5.16 put it at the bottom of the kernel half, which lies elsewhere in each mode.
    const bottom = (mode: 'sv39' | 'sv48' | 'sv57', low: bigint, bytes: bigint) => {
      const layout = riscvLayout({ mode });
      const purpose = 'the old place';
      const region = { name: 'kasan_shadow', start: low, end: low + bytes, purpose };
      return ruled({ ...layout, regions: [...layout.regions, region] });
    };
    const set = [
      bottom('sv48', 0xffff_8000_0000_0000n, 1n << 44n),
      bottom('sv39', 0xffff_ffc0_0000_0000n, 1n << 35n),
      bottom('sv57', 0xff00_0000_0000_0000n, 1n << 53n),
    ];
    expect(set.map(({ rules }) => hex(rules.shadow?.offset ?? 0n))).toEqual([
      '0xdfff900000000000',
      '0xdfffffc800000000',
      '0xdf20000000000000',
    ]);
    const [narrow, wide] = checkShadowOffsets(set);
    expect(narrow).toMatchObject({ severity: 'error', layout: 'sv39', rule: 'one-shadow-offset' });
    expect(narrow?.message).toContain('where sv39 has no addresses');
    expect(wide).toMatchObject({ severity: 'error', layout: 'sv57', regions: ['kasan_shadow', 'linear'] });
  });

  it('find kernels in bad places', () => {
    const at = (kernelStart: bigint, kernelEnd: bigint) =>
      heard(checkLayouts([ruled(riscvLayout({ mode: 'sv39', kernelStart, kernelEnd }))]), 'error');
    expect(at(0xffff_ffff_8010_0000n, 0xffff_ffff_8200_0000n)).toEqual(['error sv39 aligned kernel']);
    expect(at(0xffff_ffff_bf00_0000n, 0xffff_ffff_c100_0000n)).toEqual(['error sv39 unbroken kernel']);
  });

  it('need a mode to go by', () => {
    expect(() => riscvLayoutRules({ ...riscvLayout({ mode: 'sv39' }), name: 'own' })).toThrow(/sv32, sv39, sv48, sv57/);
  });
});

describe('running kernels', () => {
  // Numbers read from the memory of 6.12.107 kernels on an emulator.
  const kernel = { virtAddr: 0xffff_ffff_8000_0000n, physAddr: 0x8020_0000n, size: 0x1e6_b000n };
  const captures = [
    {
      mode: 'sv39',
      memory: [
        { start: 0x8000_0000n, end: 0xa000_0000n },
        { start: 0xb020_0000n, end: 0x1_0000_0000n },
      ],
      page_offset: 0xffff_ffd6_0000_0000n,
      va_pa_offset: 0xffff_ffd5_8000_0000n,
      high_memory: 0xffff_ffd6_8000_0000n,
      modules: [0xffff_ffff_01e6_b000n, 0xffff_ffff_01ec_7000n],
    },
    {
      mode: 'sv48',
      memory: [{ start: 0x8000_0000n, end: 0x1_8000_0000n }],
      page_offset: 0xffff_af80_0000_0000n,
      va_pa_offset: 0xffff_af7f_8000_0000n,
      high_memory: 0xffff_af81_0000_0000n,
      modules: [],
    },
  ] as const;

  it.each(captures)('$mode lies where its layout says', (capture) => {
    const { mode, memory, modules, ...facts } = capture;
    const kernelEnd = kernel.virtAddr + kernel.size;
    const layout = riscvLayout({ mode, profile: '6.12.107+deb13-riscv64', memory, kernelEnd });
    expect(layout.facts).toMatchObject({
      ...facts,
      virt_addr: kernel.virtAddr,
      phys_addr: kernel.physAddr,
      va_kernel_pa_offset: 0xffff_fffe_ffe0_0000n,
      phys_ram_base: 0x8000_0000n,
      vmemmap_start_pfn: 0x8_0000n,
    });
    for (const module of modules) {
      expect(regionsAt(layout, module).map(({ name }) => name)).toEqual(['modules']);
    }
    const mapping = vaPaOfLayout(layout);
    expect(mapping.toPa(kernel.virtAddr + 0x1db_9000n)).toMatchObject({ via: 'kernel', pa: 0x81fb_9000n });
    expect(mapping.linearAlias(kernel.virtAddr)).toBe(capture.page_offset + 0x20_0000n);
    expect(() => mapping.linearAlias(capture.page_offset)).toThrow(expect.objectContaining({ rule: 'va-symbol' }));
  });

  it('Sv48, early: device tree in the fixmap, initial RAM disk in the linear map', () => {
    const layout = riscvLayout({ mode: 'sv48', memory: [{ start: 0x8000_0000n, end: 0x1_8000_0000n }] });
    const top = regionNamed(layout, 'fixmap')?.end ?? 0n;
    const slot = fixmapSlots(newestProfile).FIX_FDT ?? 0;
    const dtb = 0xbfe0_0000n;
    expect(fixmapAddress(top, slot) + (dtb & 0x1f_ffffn)).toBe(0xffff_8d7f_fec0_0000n);
    expect(fixmapIndex(top, 0xffff_8d7f_fec0_0fffn)).toBe(slot);
    expect(vaPaOfLayout(layout).toVa(0x8820_0000n)).toBe(0xffff_af80_0820_0000n);
  });
});

describe('lines', () => {
  it('leave out modules and kernel on RV32, and print small addresses in 8 digits', () => {
    expect(vmLayoutLines(riscvLayout({ mode: 'sv32', memory: [{ start: 0x8000_0000n, end: 0xa000_0000n }] }))).toEqual([
      '      fixmap : 0x9d800000 - 0x9e000000   (8192 kB)',
      '      pci io : 0x9e000000 - 0x9f000000   (  16 MB)',
      '     vmemmap : 0x9f000000 - 0xa0000000   (  16 MB)',
      '     vmalloc : 0xa0000000 - 0xc0000000   ( 512 MB)',
      '      lowmem : 0xc0000000 - 0xdfc00000   ( 508 MB)',
    ]);
  });

  it('come with their header from the provider', () => {
    const [layout] = riscvLayouts.create({ mode: 'sv57', kasan: true });
    const lines = layout === undefined ? [] : riscvLayouts.lines(layout);
    expect(lines[0]).toBe('Virtual kernel memory layout:');
    expect(lines[7]).toBe('       kasan : 0xffdf000000000000 - 0xffffffff00000000   (8447 TB)');
  });
});
