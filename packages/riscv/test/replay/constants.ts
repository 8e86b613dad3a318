/** Replays of the groups about Linux's constants: protections, T-Head types, swap entries, NAPOT runs. */
import { access, createSpace, phys, SparseMemory, virt, writeWord } from '@pagefold/core';
import {
  decodeSwapEntry,
  encodeSwapEntry,
  isNapot,
  LINUX_VERSIONS,
  type LinuxProtections,
  linuxProtections,
  type MemoryTypes,
  makeEntry,
  makeNapot,
  memoryTypeBits,
  memoryTypeOf,
  napotOrder,
  napotPfn,
  napotRun,
  PROTECTION_NAMES,
  type ProtectionName,
  readNapot,
  type Xlen,
} from '../../src/index.ts';
import { type Json, knowsMembers, numberIn, sameMembers, wordIn, xlenIn } from './compare.ts';
import { pagingOf } from './entries.ts';

const TYPES: readonly MemoryTypes[] = ['none', 'svpbmt', 'thead'];

/** A constant, or `pgprot_writecombine(NAME)` and its like. */
function protection(protections: LinuxProtections, text: string): bigint {
  const [, call, inner = text] = /^(\w+)\((\w+)\)$/.exec(text) ?? [];
  if (!PROTECTION_NAMES.includes(inner as ProtectionName)) throw new Error(`no replay for ${text}`);
  const bits = protections.values[inner as ProtectionName];
  if (call === undefined) return bits;
  if (call === 'pgprot_writecombine') return protections.writecombine(bits);
  if (call === 'pgprot_noncached') return protections.noncached(bits);
  throw new Error(`no replay for ${text}`);
}

/** The file's release, which the whole group shares. */
function versionOf(file: unknown) {
  return wordIn((file as { pgprot: Json }).pgprot, 'rule', LINUX_VERSIONS);
}

/** `pgprot.values`: one constant. */
export function protectionValue(record: unknown, file: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['name', 'bits', 'memory_type']);
  const memoryTypes = expected.memory_type === undefined ? 'none' : wordIn(expected, 'memory_type', TYPES);
  const protections = linuxProtections({ version: versionOf(file), memoryTypes });
  sameMembers({ bits: protection(protections, String(expected.name)) }, expected, ['bits']);
}

/** A kernel as the masks are labelled: `rv64_svpbmt`, `rv32`, `thead`. */
function kernelOf(label: string, file: unknown): LinuxProtections {
  const words = label.split('_');
  const xlen: Xlen = words.includes('rv32') ? 32 : 64;
  const memoryTypes = TYPES.find((types) => words.includes(types)) ?? 'none';
  return linuxProtections({ version: versionOf(file), xlen, memoryTypes });
}

/** `pgprot.masks`: one mask for several kernels, or the bits of one type. */
export function protectionMask(record: unknown, file: unknown): void {
  const { name, ...kernels } = record as Record<string, string>;
  for (const [label, value] of Object.entries(kernels)) {
    const [, types, type] = /^(thead|svpbmt)_(pma|nc|io)$/.exec(String(name)) ?? [];
    const { pfnMask, changeMask, memoryTypeMask } = kernelOf(label, file);
    const masks: Record<string, bigint> = {
      _PAGE_PFN_MASK: pfnMask,
      _PAGE_MTMASK: memoryTypeMask,
      _PAGE_CHG_MASK: changeMask,
    };
    if (type !== undefined) masks[String(name)] = memoryTypeBits(types as MemoryTypes, type as 'pma' | 'nc' | 'io');
    sameMembers({ [label]: masks[String(name)] }, { [label]: value });
  }
}

/** `pgprot.vm_flags_map`: the whole map, by name and by value. */
export function vmFlagsMap(record: unknown, file: unknown): void {
  const { vm_flags_map: names } = record as { vm_flags_map: ProtectionName[] };
  const { vmFlags, values, fromVmFlags } = linuxProtections({ version: versionOf(file) });
  sameMembers({ names: vmFlags }, { names });
  names.forEach((name, i) => {
    const flags = { read: (i & 1) !== 0, write: (i & 2) !== 0, exec: (i & 4) !== 0, shared: (i & 8) !== 0 };
    sameMembers({ [i]: fromVmFlags(flags) }, { [i]: values[name] });
  });
}

/** `thead`: the pte constructor, and the type read back. Changing the entry to the same protection changes nothing. */
export function thead(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'pfn', 'prot', 'pte', 'type']);
  const prot = numberIn(expected, 'prot');
  const pte = makeEntry('pte', numberIn(expected, 'pfn'), prot, 'thead');
  sameMembers({ pte, type: memoryTypeOf('thead', pte) }, expected, ['pte', 'type']);
  const { modify } = linuxProtections({ memoryTypes: 'thead' });
  sameMembers({ pte: modify(pte, prot) }, expected, ['pte']);
}

/** `swap`: both ways. */
export function swap(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'rule', 'xlen', 'type', 'offset', 'exclusive', 'pte']);
  const version = wordIn(expected, 'rule', LINUX_VERSIONS);
  const xlen = xlenIn(expected);
  const entry = {
    type: Number(expected.type),
    offset: numberIn(expected, 'offset'),
    exclusive: expected.exclusive === true,
  };
  sameMembers({ pte: encodeSwapEntry(entry, xlen, version) }, expected, ['pte']);
  const read: Json = { ...decodeSwapEntry(numberIn(expected, 'pte'), xlen, version) };
  sameMembers(read, expected, ['type', 'offset', 'exclusive']);
}

/** `napot`: the shared entry, read back, and translation through 16 of it. */
export function napot(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'order', 'first_pte', 'napot_pte', 'entries', 'va', 'pa']);
  const order = Number(expected.order);
  const first = numberIn(expected, 'first_pte');
  const entry = makeNapot(first, order);
  const run = napotRun(first, order);
  sameMembers({ napot_pte: entry, order: napotOrder(entry), entries: run.length }, expected, [
    'napot_pte',
    'order',
    'entries',
  ]);
  const paging = pagingOf('sv57', ['svnapot']);
  const start = paging.decode(0, first).address;
  sameMembers(
    { is: isNapot(entry), start: napotPfn(entry) * 4096n, read: readNapot(run) },
    { is: true, start, read: entry },
  );
  const va = numberIn(expected, 'va');
  const memory = new SparseMemory();
  const tables = paging.geometry.levels.map(({ level }) => 0x8000_0000n + BigInt(level) * 4096n);
  const slot = (level: number, address: bigint): bigint =>
    (tables[level] ?? 0n) + ((address >> BigInt(12 + 9 * level)) & 511n) * 8n;
  for (let level = 1; level < tables.length; level++) {
    writeWord(memory, phys(slot(level, va)), paging.encodeTable(level, tables[level - 1] ?? 0n));
  }
  const runStart = va - (va % 0x1_0000n);
  run.forEach((word, i) => {
    writeWord(memory, phys(slot(0, runStart + BigInt(i) * 4096n)), word);
  });
  const space = createSpace(memory, { paging, address: tables[4] ?? 0n });
  const result = access(space, virt(va), {
    kind: 'read',
    privilege: paging.decode(0, entry).fields.u === 1n ? 'user' : 'supervisor',
  });
  sameMembers({ pa: result.allowed ? result.pa : undefined }, expected, ['pa']);
}
