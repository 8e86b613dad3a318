/** Replays of the groups about layouts: where regions lie, how the mode is chosen, how addresses convert. */
import { regionNamed } from '@pagefold/core';
import {
  chooseMode,
  createSatpHart,
  createVaPa,
  findLayoutProfile,
  findModePolicy,
  fixmapAddress,
  fixmapSlots,
  kaslrPlace,
  RISCV_MODES,
  type RiscvMode,
  riscvLayout,
  shadowEntries,
  vmLayoutLines,
} from '../../src/index.ts';
import { type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

/** The layout that a record assumes. */
function layoutOf(record: Json, profile: string, highMemory?: bigint) {
  const mode = wordIn(record, 'mode', RISCV_MODES);
  const assume = record.assume as Json;
  knowsMembers(assume, ['struct_page_max_shift', 'start', 'end_symbol']);
  const pageOffset = findLayoutProfile(profile, mode).pageOffset[mode] ?? 0n;
  const dram = 0x8000_0000n;
  return riscvLayout({
    mode,
    profile,
    kasan: record.kasan === true,
    structPageBytes: 1n << BigInt(assume.struct_page_max_shift as number),
    kernelStart: numberIn(assume, 'start'),
    kernelEnd: numberIn(assume, 'end_symbol'),
    ...(highMemory === undefined ? {} : { memory: [{ start: dram, end: dram + highMemory - pageOffset }] }),
  });
}

/** `layouts`: every region and every number beside them. */
function layouts(record: unknown): void {
  const expected = record as Json;
  const { profile, mode, kasan, assume, kernel_in_linear_map, kernel_in_vmalloc, ...rest } = expected;
  const layout = layoutOf(expected, String(profile));
  const kernel = regionNamed(layout, 'kernel');
  sameMembers(
    {
      ...layout.facts,
      profile: layout.profile,
      mode: layout.name,
      kasan: regionNamed(layout, 'kasan_shadow') !== undefined,
    },
    { profile, mode, kasan, ...Object.fromEntries(Object.entries(rest).filter(([key]) => key !== 'regions')) },
  );
  sameMembers(
    { linear: kernel?.within?.includes('linear') ?? false, vmalloc: kernel?.within?.includes('vmalloc') ?? false },
    { linear: kernel_in_linear_map ?? false, vmalloc: kernel_in_vmalloc ?? false },
  );
  const regions = layout.regions.filter(({ name }) => name !== 'user');
  sameMembers(
    { regions: regions.map(({ name, start, end }) => ({ name, start, end, size: end - start })) },
    { regions: expected.regions },
  );
}

/** `boot_mode`: what is written to satp, and the mode in the end. */
function bootMode(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'rule', 'hw', 'cmdline', 'mmu_type', 'kernel_pa', 'satp_writes', 'mode']);
  const { mode, probes } = chooseMode({
    hart: createSatpHart(expected.hw as RiscvMode[]),
    policy: findModePolicy(String(expected.rule)),
    commandLine: String(expected.cmdline),
    cpus: [typeof expected.mmu_type === 'string' ? { mmuType: expected.mmu_type } : {}],
    kernelPa: numberIn(expected, 'kernel_pa'),
  });
  sameMembers({ mode, satp_writes: probes.map((probe) => probe.mode) }, expected, ['mode', 'satp_writes']);
}

/** `kaslr`: where a seed puts the kernel. */
function kaslr(record: unknown): void {
  const { id, kernel_size, seed, ...expected } = record as Json;
  const place = kaslrPlace(numberIn({ kernel_size }, 'kernel_size'), numberIn({ seed }, 'seed'));
  const { positions, virtOffset, virtAddr, fitsWindow } = place;
  sameMembers({ nr_pos: positions, virt_offset: virtOffset, virt_addr: virtAddr, fits_pud: fitsWindow }, expected);
}

/** `va_to_pa`: which offset an address takes, and what the debugging checks say of it. */
function vaToPa(record: unknown): void {
  const expected = record as Json;
  const from = [
    'page_offset',
    'kern_virt_size',
    'phys_ram_base',
    'kernel_virt_addr',
    'kernel_phys_addr',
    'kernel_size',
  ];
  const answers = ['via', 'pa', 'debug_virtual_warns', 'pa_symbol_bug'];
  knowsMembers(expected, ['id', 'rule', 'mode', 'va', ...from, ...answers]);
  const profile = findLayoutProfile(String(expected.rule), wordIn(expected, 'mode', RISCV_MODES));
  const mapping = createVaPa({
    rule: profile.vaToPa,
    pageOffset: numberIn(expected, 'page_offset'),
    kernVirtSize: numberIn(expected, 'kern_virt_size'),
    physRamBase: numberIn(expected, 'phys_ram_base'),
    kernelVirtAddr: numberIn(expected, 'kernel_virt_addr'),
    kernelPhysAddr: numberIn(expected, 'kernel_phys_addr'),
    kernelSize: numberIn(expected, 'kernel_size'),
  });
  const { via, pa, debugVirtualWarns, paSymbolBug } = mapping.toPa(numberIn(expected, 'va'));
  sameMembers({ via, pa, debug_virtual_warns: debugVirtualWarns, pa_symbol_bug: paSymbolBug }, expected, answers);
}

/** `fixmap`: number and address of a slot. */
function fixmap(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['rule', 'mode', 'fixaddr_top', 'slot', 'index', 'va']);
  const profile = findLayoutProfile(String(expected.rule), wordIn(expected, 'mode', RISCV_MODES));
  const index = fixmapSlots(profile)[String(expected.slot)] ?? -1;
  const va = fixmapAddress(numberIn(expected, 'fixaddr_top'), index);
  sameMembers({ index, va }, expected, ['index', 'va']);
}

/** `vm_layout_lines`: the kernel's own dump, letter by letter. */
function vmLayout(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['rule', 'mode', 'kasan', 'assume', 'high_memory', 'lines']);
  const layout = layoutOf(expected, String(expected.rule), numberIn(expected, 'high_memory'));
  sameMembers({ lines: vmLayoutLines(layout) }, expected, ['lines']);
}

/** `kasan_early`: which entries the early shadow fills whole, and where it must share a table. */
function kasanEarly(record: unknown): void {
  const { profile, mode, ...expected } = record as Json;
  const { shadow: placement } = findLayoutProfile(String(profile));
  const { shadow, root, partial } = shadowEntries(wordIn({ mode }, 'mode', RISCV_MODES), placement);
  const shared = partial.map(({ name, first, last, pointsTo }) => ({
    level: name,
    table_shared_with: 'kernel mapping',
    whole_entries: [first, last],
    points_to: pointsTo,
  }));
  sameMembers(
    {
      shadow_start: shadow.start,
      shadow_end: shadow.end,
      top_index_first: root.first,
      // The records count the entry that is shared, too.
      top_index_last: root.last + Number(partial.length > 0),
      top_entries_whole: root.last - root.first + 1,
      whole_entry_points_to: root.pointsTo,
      last_entry_partial: partial.length > 0,
      ...(partial.length === 0 ? {} : { partial: shared }),
    },
    expected,
  );
}

/** Replays by group. Each throws if a record does not hold. */
export const groups: Readonly<Record<string, (record: unknown, file: unknown) => void>> = {
  layouts,
  boot_mode: bootMode,
  kaslr,
  va_to_pa: vaToPa,
  fixmap,
  vm_layout_lines: vmLayout,
  kasan_early: kasanEarly,
};
