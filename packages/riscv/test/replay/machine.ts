/** Replays of the groups about registers, user addresses, shadow memory and fences. */
import {
  type CachedEntry,
  COMPAT_TASK_SIZE,
  decodeSatp,
  encodeSatp,
  isCanonical,
  kasanShadow,
  LINUX_VERSIONS,
  linuxFlushRange,
  mustInvalidate,
  RISCV_MODES,
  type RiscvMode,
  shadowPlacement,
  type UserAddresses,
  userAddresses,
} from '../../src/index.ts';
import { type Json, knowsMembers, numberIn, sameMembers, wordIn, xlenIn } from './compare.ts';

/** `satp.encode`: both ways. */
export function satpEncode(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'mode', 'asid', 'root', 'satp']);
  const mode = wordIn(expected, 'mode', RISCV_MODES);
  const satp = encodeSatp(mode, numberIn(expected, 'root'), Number(expected.asid));
  sameMembers({ satp }, expected, ['satp']);
  const read: Json = { ...decodeSatp(numberIn(expected, 'satp'), mode === 'sv32' ? 32 : 64) };
  sameMembers(read, { ...expected, kind: 'translation' }, ['kind', 'mode', 'asid', 'root']);
}

/** `satp.decode_special`: values that name no usable mode. */
export function satpSpecial(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['xlen', 'satp', 'result']);
  const { kind } = decodeSatp(numberIn(expected, 'satp'), xlenIn(expected));
  sameMembers({ result: kind }, expected, ['result']);
}

const USER_NAMES: Readonly<Record<string, keyof UserAddresses>> = {
  task_size: 'taskSize',
  mmap_va_bits: 'mmapVaBits',
  default_map_window: 'defaultMapWindow',
  stack_top: 'stackTop',
  stack_top_max: 'stackTopMax',
  mmap_end: 'mmapEnd',
  task_unmapped_base: 'taskUnmappedBase',
  mmap_rnd_bits_max: 'mmapRndBitsMax',
  user_ptrs_per_pgd: 'userPtrsPerPgd',
};

/** `user_va`: the limits of a mode, or of 32-bit programs. */
export function userVa(record: unknown): void {
  const { mode: _, rule: __, ...expected } = record as Json;
  wordIn(record as Json, 'rule', ['v6.12']);
  const mode = wordIn(record as Json, 'mode', [...RISCV_MODES, 'compat32']);
  const limits = (): Json => {
    const all = userAddresses(mode as RiscvMode);
    return Object.fromEntries(Object.entries(USER_NAMES).map(([name, key]) => [name, all[key]]));
  };
  sameMembers(mode === 'compat32' ? { task_size: COMPAT_TASK_SIZE } : limits(), expected);
}

/** Profiles that were never a release, by the release they were written for. */
const PROPOSALS: Readonly<Record<string, string>> = { 'seed002-v5': 'v5.8' };

/** `kasan_shadow`: the offset of a profile, and a shadow address both ways. */
export function kasan(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'profile', 'mode', 'offset', 'addr', 'shadow']);
  const mode = wordIn(expected, 'mode', RISCV_MODES);
  const profile = String(expected.profile);
  const { shadow, start, end } = kasanShadow(mode, shadowPlacement(PROPOSALS[profile] ?? profile));
  const addr = numberIn(expected, 'addr');
  const at = shadow.shadowOf(addr);
  sameMembers({ offset: shadow.offset, shadow: at }, expected, ['offset', 'shadow']);
  sameMembers({ addr: shadow.addressOf(at) }, { addr: addr & -8n });
  // The shadow covers the kernel half, so the shadow of a kernel address lies in it.
  if (addr >> 63n === 1n && isCanonical(mode, addr) && (at < start || at >= end)) throw new Error('outside the shadow');
}

/** `sfence`: which cached entries may not survive. */
export function sfence(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'mode', 'rs1', 'rs2', 'entries', 'must_invalidate']);
  const mode = wordIn(expected, 'mode', RISCV_MODES);
  const fence = {
    va: expected.rs1 === null ? undefined : numberIn(expected, 'rs1'),
    asid: expected.rs2 === null ? undefined : Number(expected.rs2),
  };
  const entries = (expected.entries as Json[]).map((entry): CachedEntry => {
    knowsMembers(entry, ['asid', 'global', 'level', 'kind', 'va']);
    return {
      asid: Number(entry.asid),
      global: entry.global === true,
      level: Number(entry.level),
      leaf: wordIn(entry, 'kind', ['leaf', 'nonleaf']) === 'leaf',
      va: numberIn(entry, 'va'),
    };
  });
  const dropped = entries.flatMap((entry, i) => (mustInvalidate(mode, fence, entry) ? [i] : []));
  sameMembers({ must_invalidate: dropped }, expected, ['must_invalidate']);
}

/** `flush`: what Linux does for a range. */
export function flush(record: unknown): void {
  const given = record as Json;
  knowsMembers(given, ['id', 'rule', 'start', 'size', 'stride', 'asid', 'expect']);
  const asid = given.asid === null ? undefined : Number(given.asid);
  const { op, insn, fences } = linuxFlushRange(
    { start: numberIn(given, 'start'), size: numberIn(given, 'size'), stride: numberIn(given, 'stride'), asid },
    { version: wordIn(given, 'rule', LINUX_VERSIONS) },
  );
  const expected = given.expect as Json;
  sameMembers({ op, insn, count: fences.length, first: fences[0]?.va, last: fences.at(-1)?.va }, expected);
  if (op === 'page') sameMembers({ va: fences[0]?.va }, { va: given.start });
}
