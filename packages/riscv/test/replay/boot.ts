/**
 * Replays of the groups about boot and about changing kernel mappings. Each group is a function that checks one record
 * and throws on a mismatch; nothing here depends on a test runner.
 */
import {
  BumpAllocator,
  createNames,
  createSpace,
  earlyPhase,
  mappedRanges,
  phys,
  readWord,
  SparseMemory,
} from '@pagefold/core';
import { same } from '../../../core/test/replay/same.ts';
import {
  bestMapSize,
  createKernelTables,
  createPgdMapping,
  type Kernel,
  KernelMap,
  kernelAddresses,
  type MappingTarget,
  ptdumpText,
  RISCV_MODES,
  type RiscvMode,
  riscvPaging,
  type SetMemoryCall,
  setMemory,
} from '../../src/index.ts';
import { bootedKernel } from '../boot-machine.ts';
import { type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

type Range = readonly [start: string, end: string];

function modeOf(record: Json): RiscvMode {
  return wordIn(record, 'mode', RISCV_MODES);
}

function namesOf(mode: RiscvMode): MappingTarget['names'] {
  return createNames(new SparseMemory(), riscvPaging(mode));
}

/** `best_map_size`. */
function bestMapSizeRecord(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, ['id', 'rule', 'mode', 'pa', 'va', 'size', 'debug_pagealloc', 'best']);
  const numbers = ['pa', 'va', 'size'].map((key) => numberIn(given, key)) as [bigint, bigint, bigint];
  const best = bestMapSize(namesOf(modeOf(given)), ...numbers, given.debug_pagealloc === true);
  sameMembers({ best }, given, ['best']);
}

/** `create_mapping`: the words and the number of tables that some calls leave. */
function createMappingRecord(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, ['id', 'rule', 'mode', 'root', 'next_free', 'ops', 'tables_allocated', 'words']);
  const names = namesOf(modeOf(given));
  const first = numberIn(given, 'next_free');
  const bump = new BumpAllocator(first, first + 0x100_0000n);
  const target: MappingTarget = { names, ptOps: earlyPhase(bump), pageTable: 1n, memoryTypes: 'none' };
  const root = phys(numberIn(given, 'root'));
  const bytes = names.paging.format.entryBytes;
  for (const op of given.ops as Json[]) {
    knowsMembers(op, ['va', 'pa', 'size', 'prot', 'ignored']);
    const before = bump.next;
    const [va, pa, size, prot] = ['va', 'pa', 'size', 'prot'].map((key) => numberIn(op, key)) as [
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    createPgdMapping(target, root, { va, pa, size, prot });
    if (op.ignored === true) same(bump.next, before, 'tables after an ignored call');
  }
  same(Number(bump.next - first) / 4096, given.tables_allocated, 'tables');
  const words: Record<string, bigint> = {};
  for (let at = root as bigint; at < bump.next; at += BigInt(bytes)) {
    if (at >= root + 4096n && at < first) at = first;
    const word = readWord(names.memory, phys(at), bytes);
    if (word !== 0n) words[`0x${at.toString(16).padStart(16, '0')}`] = word;
  }
  const expected = given.words as Json;
  const normal = Object.fromEntries(
    Object.entries(expected).map(([at, word]) => [`0x${BigInt(at).toString(16).padStart(16, '0')}`, word]),
  );
  same(Object.keys(words).sort(), Object.keys(normal).sort(), 'slots that are in use');
  sameMembers(words, normal);
}

/** `linear_map`: which leaves the linear map of a machine takes. */
function linearMapRecord(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, [
    'id',
    'rule',
    'mode',
    'page_offset',
    'dram_start',
    'phys_ram_base',
    'va_pa_offset',
    'ranges',
    'cap_end',
    'kept',
    'separate',
    'leaf_counts',
  ]);
  const [text, rodata] = (given.separate as Range[]).map(([start, end]) => ({
    start: BigInt(start),
    end: BigInt(end),
  }));
  if (text === undefined || rodata === undefined) throw new Error('text and rodata are expected');
  const kernel = bootedKernel({
    mode: modeOf(given),
    ram: given.ranges as Range[],
    loadAddress: text.start,
    symbols: {
      __init_data_begin: text.end - text.start,
      __start_rodata: rodata.start - text.start,
      _data: rodata.end - text.start,
    },
    config: { CONFIG_KFENCE: false },
  });
  const { kernelMap, physRamBase, memblock, addresses } = kernel;
  const counts: Record<string, bigint> = {};
  const space = createSpace(kernel.memory, { paging: kernel.paging, address: kernel.symbolPa('swapper_pg_dir') });
  const linear = { start: addresses.pageOffset, end: addresses.pageOffset + addresses.kernVirtSize };
  for (const { leafBytes, entries } of mappedRanges(space, linear)) {
    const key = `0x${leafBytes.toString(16)}`;
    counts[key] = (counts[key] ?? 0n) + BigInt(entries);
  }
  sameMembers(
    {
      page_offset: kernelMap.pageOffset,
      phys_ram_base: physRamBase,
      va_pa_offset: kernelMap.vaPaOffset,
      cap_end: physRamBase + addresses.kernVirtSize,
      kept: memblock.memory.map(({ start, end }) => [start, end]),
      dram_start: memblock.memory[0]?.start,
    },
    given,
    ['page_offset', 'phys_ram_base', 'va_pa_offset', 'cap_end', 'kept', 'dram_start'],
  );
  const expected = Object.fromEntries(
    Object.entries(given.leaf_counts as Record<string, number>).map(([size, count]) => [size, BigInt(count)]),
  );
  same(counts, expected, 'leaves by size');
}

/** `va_to_pa`: the kernel's own arithmetic, with what its checks would have said. */
function vaToPaRecord(record: unknown): void {
  const given = record as Json;
  const inputs = [
    'page_offset',
    'kern_virt_size',
    'phys_ram_base',
    'kernel_virt_addr',
    'kernel_phys_addr',
    'kernel_size',
    'va',
  ] as const;
  knowsMembers(given, ['id', 'rule', 'mode', ...inputs, 'via', 'pa', 'debug_virtual_warns', 'pa_symbol_bug']);
  const map = new KernelMap({
    xlen: 64,
    pageOffset: numberIn(given, 'page_offset'),
    kernVirtSize: numberIn(given, 'kern_virt_size'),
    virtAddr: numberIn(given, 'kernel_virt_addr'),
    virtOffset: 0n,
    physAddr: numberIn(given, 'kernel_phys_addr'),
    size: numberIn(given, 'kernel_size'),
  });
  map.vaPaOffset = numberIn(given, 'page_offset') - numberIn(given, 'phys_ram_base');
  const { via, pa, warns, symbolBug } = map.physical(numberIn(given, 'va'));
  sameMembers({ via, pa, debug_virtual_warns: warns, pa_symbol_bug: symbolBug }, given, [
    'via',
    'pa',
    'debug_virtual_warns',
    'pa_symbol_bug',
  ]);
}

/** Pages of KASAN by their physical address. */
function kasanPages(kernel: Kernel): Map<bigint, string> {
  const names = [...kernel.description.symbols.keys()].filter((name) => name.startsWith('kasan_early_shadow'));
  return new Map(names.map((name) => [kernel.symbolPa(name), name]));
}

/** Runs of entries of a table that point to tables of KASAN: first, last, whose. */
function sharedRuns(kernel: Kernel, table: bigint): { first: number; last: number; points: string }[] {
  const pages = kasanPages(kernel);
  const runs: { first: number; last: number; points: string }[] = [];
  for (let index = 0; index < 512; index++) {
    const word = readWord(kernel.memory, phys(table + BigInt(index) * 8n));
    const points = word === 0n ? undefined : pages.get((word >> 10n) << 12n);
    if (points === undefined) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.last === index - 1 && last.points === points) last.last = index;
    else runs.push({ first: index, last: index, points });
  }
  return runs;
}

/** `kasan_early`: the entries of both roots that lead to the shared tables, and of the tables below the last one. */
function kasanEarlyRecord(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, [
    'profile',
    'mode',
    'shadow_start',
    'shadow_end',
    'top_index_first',
    'top_index_last',
    'top_entries_whole',
    'whole_entry_points_to',
    'last_entry_partial',
    'partial',
  ]);
  const kernel = bootedKernel({ mode: modeOf(given), kasan: true });
  const { start, end } = kernel.addresses.shadow ?? { start: 0n, end: 0n };
  const partial = given.last_entry_partial === true;
  for (const label of ['early_pg_dir', 'swapper_pg_dir']) {
    const runs = sharedRuns(kernel, kernel.symbolPa(label));
    same(runs.length, 1, `${label}: runs of shared entries`);
    const [run] = runs;
    if (run === undefined) continue;
    sameMembers(
      {
        shadow_start: start,
        shadow_end: end,
        top_index_first: run.first,
        top_index_last: run.last + Number(partial),
        top_entries_whole: run.last - run.first + 1,
        whole_entry_points_to: run.points,
      },
      given,
      ['shadow_start', 'shadow_end', 'top_index_first', 'top_index_last', 'top_entries_whole', 'whole_entry_points_to'],
    );
    let table = kernel.symbolPa(label) as bigint;
    let index = run.last + 1;
    for (const level of (given.partial ?? []) as Json[]) {
      knowsMembers(level, ['level', 'table_shared_with', 'whole_entries', 'points_to']);
      const word = readWord(kernel.memory, phys(table + BigInt(index) * 8n));
      table = (word >> 10n) << 12n;
      const [below] = sharedRuns(kernel, table);
      same([below?.first, below?.last], level.whole_entries, `${label}: entries of ${String(level.level)}`);
      same(below?.points, level.points_to, `${label}: ${String(level.level)} points to`);
      index = (below?.last ?? 0) + 1;
    }
  }
}

/** `set_memory`: what becomes of one leaf of the linear map. */
function setMemoryRecord(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, ['id', 'rule', 'mode', 'leaf', 'call', 'start', 'numpages', 'new_tables', 'after']);
  const mode = modeOf(given);
  const leaf = given.leaf as Json;
  const memory = new SparseMemory();
  const paging = riscvPaging(mode);
  const addresses = kernelAddresses(mode);
  const kernelMap = new KernelMap({
    xlen: 64,
    pageOffset: addresses.pageOffset,
    kernVirtSize: addresses.kernVirtSize,
    virtAddr: addresses.kernelLink,
    virtOffset: 0n,
    physAddr: 0x8020_0000n,
    size: 0x200_0000n,
  });
  kernelMap.vaPaOffset = numberIn(leaf, 'va') - numberIn(leaf, 'pa');
  const allocator = new BumpAllocator(0x1000n, 0x100_0000n);
  const root = phys(allocator.next);
  allocator.allocate({ level: 0, va: 0n as never, bytes: 4096, alignBytes: 4096 });
  const names = createNames(memory, paging);
  const target: MappingTarget = { names, ptOps: earlyPhase(allocator), pageTable: 1n, memoryTypes: 'none' };
  const size = 1n << BigInt(12 + 9 * Number(leaf.level));
  const va = numberIn(leaf, 'va');
  createPgdMapping(target, root, { va, pa: numberIn(leaf, 'pa'), size, prot: numberIn(leaf, 'prot') });
  const before = allocator.next;
  const tables = createKernelTables({ paging, memory, root, kernelMap, allocator });
  const calls: readonly SetMemoryCall[] = ['ro', 'rw', 'rw_nx', 'x', 'nx', 'direct_map_invalid', 'direct_map_default'];
  const { splits } = setMemory(tables, wordIn(given, 'call', calls), numberIn(given, 'start'), Number(given.numpages));
  same(splits.length, given.new_tables, 'new tables');
  same(Number(allocator.next - before) / 4096, given.new_tables, 'tables from the allocator');
  same(leafRuns(tables, va, va + size), parsedRuns(given.after as Json[]), 'leaves');
}

interface Run {
  start: bigint;
  end: bigint;
  level: number;
  prot: bigint;
}

function parsedRuns(runs: readonly Json[]): Run[] {
  return runs.map((run) => ({
    start: numberIn(run, 'start'),
    end: numberIn(run, 'end'),
    level: Number(run.level),
    prot: numberIn(run, 'prot'),
  }));
}

/** Entries below one leaf, read word by word; neighbours of one level and protection joined. */
function leafRuns(tables: ReturnType<typeof createKernelTables>, start: bigint, end: bigint): Run[] {
  const { memory, root, paging } = tables;
  const runs: Run[] = [];
  const page = paging.geometry.levels;
  for (let va = start; va < end; ) {
    let table = root as bigint;
    let level = page.length - 1;
    let word = 0n;
    for (; ; level--) {
      const { shift } = page[level] as (typeof page)[number];
      word = readWord(memory, phys(table + ((va >> BigInt(shift)) & 511n) * 8n));
      if ((word & 0xfn) !== 1n || level === 0) break;
      table = (word >> 10n) << 12n;
    }
    const next = va + BigInt(page[level]?.entrySpan ?? 0);
    const prot = word & 0x3ffn;
    const last = runs.at(-1);
    if (last !== undefined && last.level === level && last.prot === prot) last.end = next;
    else runs.push({ start: va, end: next, level, prot });
    va = next;
  }
  return runs;
}

/** `ptdump_line`. */
function ptdumpLineRecord(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, ['id', 'mode', 'level', 'start', 'end', 'pte', 'line']);
  const bits = numberIn(given, 'pte');
  const mode = modeOf(given);
  const pa = mode === 'sv32' ? (bits >> 10n) << 12n : ((bits >> 10n) & ((1n << 44n) - 1n)) << 12n;
  const line = { start: numberIn(given, 'start'), end: numberIn(given, 'end'), pa, level: Number(given.level), bits };
  same(ptdumpText(riscvPaging(mode), line), given.line, 'line');
}

/** The groups that can be replayed, by key. */
export const groups: Readonly<Record<string, (record: unknown, file: unknown) => void>> = {
  best_map_size: bestMapSizeRecord,
  create_mapping: createMappingRecord,
  linear_map: linearMapRecord,
  va_to_pa: vaToPaRecord,
  kasan_early: kasanEarlyRecord,
  set_memory: setMemoryRecord,
  ptdump_line: ptdumpLineRecord,
};
