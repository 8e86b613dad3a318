/**
 * The one builder of tables: fills a range of a tree, descending where no leaf fits. What may be a leaf, what may be
 * contiguous, and what may be overwritten is data, so that the early builder and the main one are two sets of rules.
 *
 * Contiguous groups follow one rule in both: a group is marked if the range covers it wholly and virtual and physical
 * address are equal modulo its size. Source: Linux 6.12 arch/arm64/kernel/pi/map_range.c, arch/arm64/mm/mmu.c.
 */
import { BootError, type MemoryWindow, type PhysAddr } from '@pagefold/core';
import { LINUX_BITS } from '../entry-bits.ts';
import { contiguousEntries, hardwareLevel } from '../granule.ts';
import { linuxAddressBits } from '../linux-addresses.ts';
import { unsafeChange } from '../linux-changes.ts';
import { type PageTree, reachTable, slotAt, tableBelow } from './page-tree.ts';

/** By which rules a range is filled. Levels count from the pages. */
export interface TreeRules {
  /** Levels that may hold blocks. */
  readonly blocks: readonly number[];
  /** Levels whose groups may be marked contiguous. */
  readonly contiguous: readonly number[];
  /** Attributes of pointers to new tables. */
  readonly tableBits: bigint;
  /** Live entries: overwritten whatever they are, or only where that needs no break-before-make. */
  readonly overwrite: 'anything' | 'safe';
}

/** A range, cut to one table: whole pages. */
interface Piece {
  readonly va: bigint;
  /** Exclusive. */
  readonly end: bigint;
  readonly pa: bigint;
}

/** Up to here the bits of an address go into an entry as they are; above, they may move. */
const HIGH_ADDRESS = 1n << 48n;

/** A live entry may only be replaced by what the kernel allows. */
function checkChange(tree: PageTree, at: number, lo: number, hi: number, word: bigint): void {
  const before = (BigInt(hi) << 32n) | BigInt(lo);
  const why = unsafeChange(before, word, tree.addresses);
  if (why === undefined) return;
  throw new BootError('unsafe-change', `a live entry must not change like that (${why})`, {
    slot: BigInt(at),
    before,
    after: word,
  });
}

/** Writes `count` words that rise by `step`; neither carries into moved address bits. */
function fill(tree: PageTree, from: PhysAddr, count: number, word: bigint, step: number, safe: boolean): void {
  const stepLo = step % 0x1_0000_0000;
  const stepHi = Math.floor(step / 0x1_0000_0000);
  let lo = Number(word & 0xffff_ffffn);
  let hi = Number(word >> 32n);
  let window: MemoryWindow | undefined;
  for (let i = 0, at = Number(from); i < count; i++, at += 8) {
    if (window === undefined || at >= window.base + window.words.length * 4) window = tree.memory.writable(at);
    const { words } = window;
    const index = (at - window.base) / 4;
    const oldLo = words[index] as number;
    const oldHi = words[index + 1] as number;
    if (safe && (oldLo & 1) !== 0) checkChange(tree, at, oldLo, oldHi, (BigInt(hi) << 32n) | BigInt(lo));
    words[index] = lo;
    words[index + 1] = hi;
    lo += stepLo;
    const carry = lo > 0xffff_ffff ? 1 : 0;
    lo -= carry * 0x1_0000_0000;
    hi += stepHi + carry;
  }
}

/** The leaves of a piece, all with the same attributes. */
function putLeaves(
  tree: PageTree,
  rules: TreeRules,
  level: number,
  table: PhysAddr,
  { va, end, pa }: Piece,
  prot: bigint,
): void {
  const { shift, entrySpan } = tree.paging.codec(level).level;
  // Without a protection a range is taken away: what remains is the bare address, which the hardware refuses.
  const type = prot === 0n ? 0n : level === 0 ? LINUX_BITS.TYPE_MASK : LINUX_BITS.VALID;
  for (let from = va; from < end; ) {
    const at = pa + (from - va);
    const boundary = from + (HIGH_ADDRESS - (at % HIGH_ADDRESS));
    const to = boundary < end ? boundary : end;
    const word = linuxAddressBits(at, tree.addresses) | prot | type;
    const { address } = slotAt(tree, table, level, from);
    fill(tree, address, Number((to - from) >> BigInt(shift)), word, entrySpan, rules.overwrite === 'safe');
    from = to;
  }
}

/** Bytes of a contiguous group at a level, if the rules mark them there. */
function groupBytes({ paging, addresses }: PageTree, { contiguous }: TreeRules, level: number): bigint | undefined {
  const entries = contiguousEntries(addresses.granule, hardwareLevel(level));
  if (entries === undefined || !contiguous.includes(level)) return undefined;
  return BigInt(entries * paging.codec(level).level.entrySpan);
}

/** Cuts a piece where its attributes change: into the part before whole groups, whole groups, and the rest. */
function* grouped(piece: Piece, group: bigint | undefined): Generator<Piece & { readonly marked: boolean }> {
  const { va, end, pa } = piece;
  const first = group === undefined ? end : (va + group - 1n) & -group;
  const last = group === undefined ? end : end & -group;
  if (group === undefined || (va - pa) % group !== 0n || first >= last) {
    yield { ...piece, marked: false };
    return;
  }
  if (va < first) yield { va, end: first, pa, marked: false };
  yield { va: first, end: last, pa: pa + (first - va), marked: true };
  if (last < end) yield { va: last, end, pa: pa + (last - va), marked: false };
}

function fillTable(tree: PageTree, rules: TreeRules, level: number, table: PhysAddr, piece: Piece, prot: bigint): void {
  const reached = level === tree.paging.geometry.root.level ? table : reachTable(tree, table, level);
  for (const part of grouped(piece, groupBytes(tree, rules, level))) {
    const own = part.marked ? prot | LINUX_BITS.CONT : prot;
    if (level === 0) putLeaves(tree, rules, level, reached, part, own);
    else fillSlots(tree, rules, level, reached, part, own);
  }
  tree.phase.release(level);
}

/** Slot by slot: runs of blocks, and what is below the others. */
function fillSlots(tree: PageTree, rules: TreeRules, level: number, table: PhysAddr, piece: Piece, prot: bigint): void {
  const span = BigInt(tree.paging.codec(level).level.entrySpan);
  const { va, end } = piece;
  const blocks = rules.blocks.includes(level) && (va - piece.pa) % span === 0n;
  for (let from = va; from < end; ) {
    const pa = piece.pa + (from - va);
    const whole = end & -span;
    if (blocks && from % span === 0n && from < whole) {
      putLeaves(tree, rules, level, table, { va: from, end: whole, pa }, prot);
      from = whole;
      continue;
    }
    const edge = (from & -span) + span;
    const next = edge < end ? edge : end;
    const below = tableBelow(tree, slotAt(tree, table, level, from), level, from, rules.tableBits);
    fillTable(tree, rules, level - 1, below, { va: from, end: next, pa }, prot);
    from = next;
  }
}

/** What is to be mapped: whole pages. */
export interface TreeMapping {
  readonly va: bigint;
  /** Exclusive. */
  readonly end: bigint;
  readonly pa: bigint;
  /** Attributes; the type bits are set as the level needs. 0 takes the range away. */
  readonly prot: bigint;
}

/**
 * Fills a range of a tree.
 * @throws BootError `leaf-in-the-way`, `unsafe-change`; what the phase and its allocator throw. The range up to there is
 *   filled then, as the kernel would have left it.
 */
export function fillTree(tree: PageTree, rules: TreeRules, { va, end, pa, prot }: TreeMapping): void {
  if (va >= end) return;
  const { root } = tree.paging.geometry;
  const bits = prot & ~LINUX_BITS.TYPE_MASK;
  fillTable(tree, rules, root.level, tree.root, { va, end, pa }, bits);
}
