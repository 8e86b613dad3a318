/** Runs whose entries do not belong together: hardware may take any one of them for all. */
import { rangesMask } from './bits.ts';
import type { CheckReport } from './check-report.ts';
import { join } from './compiled.ts';
import type { MappedRange } from './leaves.ts';
import { type CompiledShape, LEAF, type LevelCodec } from './level-codec.ts';
import type { Memory } from './memory.ts';
import { addressBits } from './paging.ts';
import type { Root } from './space.ts';

/** An entry of a group. */
interface Member {
  readonly lo: number;
  readonly hi: number;
  readonly index: number;
}

/** Bits in which entries of a run may differ: the address, and what hardware writes into any one of them. */
function freeBits(compiled: CompiledShape): bigint {
  const marks = compiled.fields.filter(({ acrossRun }) => acrossRun !== undefined);
  return marks.reduce((bits, field) => bits | rangesMask(field.bits), addressBits(compiled) & ~compiled.fixedMask);
}

/** Checks the runs under one root, each once. */
export class RunCheck {
  readonly #memory: Memory;
  readonly #root: Root;
  readonly #report: CheckReport;
  readonly #examined = new Set<string>();

  constructor(memory: Memory, root: Root, report: CheckReport) {
    this.#memory = memory;
    this.#root = root;
    this.#report = report;
  }

  /**
   * Checks what the edges of a folded range tell: equal leaves that continue each other are complete runs unless they
   * begin or end within one.
   * @param range adjacent leaves
   * @param lastSlot physical address of the last entry
   */
  check(range: MappedRange, lastSlot: number): void {
    const span = Number((range.end - range.start) / BigInt(range.entries));
    const leaf = Number(range.leafBytes);
    if (leaf === span) return;
    const codec = this.#root.paging.codec(range.level);
    const compiled = codec.leaves.find(({ shape }) => shape.name === range.shape);
    if (compiled === undefined) return;
    const { entryBytes } = this.#root.paging.format;
    const start = Number(range.start);
    const end = Number(range.end);
    const before = start % leaf;
    if (before !== 0) this.#group(codec, compiled, start - before, Number(range.slot) - (before / span) * entryBytes);
    this.#misplaced(range, compiled);
    const after = end % leaf;
    if (after !== 0) this.#group(codec, compiled, end - after, lastSlot - (after / span - 1) * entryBytes);
  }

  /** Whole groups whose first entry does not point to a multiple of their size. */
  #misplaced(range: MappedRange, compiled: CompiledShape): void {
    const leaf = compiled.leafBytes;
    const start = Math.ceil(Number(range.start) / leaf) * leaf;
    const end = Math.floor(Number(range.end) / leaf) * leaf;
    const off = (Number(range.pa) + (start - Number(range.start))) % leaf;
    if (off === 0 || start >= end) return;
    this.#report.add('run-address', {
      root: this.#root,
      start,
      end,
      level: range.level,
      slot: Number(range.slot),
      entry: range.entry,
      message: 'the addresses in a run do not begin at a multiple of its size',
      values: { pa: range.pa, size: range.leafBytes },
    });
  }

  #word(slot: number): { lo: number; hi: number } | undefined {
    const window = this.#memory.window(slot);
    if (window === undefined) return undefined;
    const at = (slot - window.base) / 4;
    const wide = this.#root.paging.format.entryBytes === 8;
    return { lo: (window.words[at] as number) | 0, hi: wide ? (window.words[at + 1] as number) | 0 : 0 };
  }

  /** The entries of a group that have the shape. */
  #members(codec: LevelCodec, compiled: CompiledShape, slot: number): Member[] {
    const { entryBytes } = this.#root.paging.format;
    const code = LEAF | (compiled.index << 2);
    const members: Member[] = [];
    for (let index = 0; index < compiled.runEntries; index++) {
      const word = this.#word(slot + index * entryBytes);
      if (word !== undefined && codec.classify(word.lo, word.hi) === code) members.push({ ...word, index });
    }
    return members;
  }

  /** Looks at a group entry by entry. */
  #group(codec: LevelCodec, compiled: CompiledShape, va: number, slot: number): void {
    // Ranges end and begin in one group; the same table elsewhere is another matter.
    const key = `${slot} ${va}`;
    if (this.#examined.has(key)) return;
    this.#examined.add(key);
    const { runEntries, leafBytes, sharedAddress, entryBytes: span, address } = compiled;
    const members = this.#members(codec, compiled, slot);
    const [first] = members;
    if (first === undefined) return;
    const { entryBytes } = this.#root.paging.format;
    const at = {
      root: this.#root,
      start: va,
      end: va + leafBytes,
      level: codec.level.level,
      slot: slot + first.index * entryBytes,
      entry: BigInt.asUintN(entryBytes * 8, join(first.lo, first.hi)),
    };
    if (members.length < runEntries) {
      this.#report.add('run-incomplete', {
        ...at,
        message: `only ${members.length} of ${runEntries} entries of a run belong to it`,
        values: { entries: members.length, of: runEntries },
      });
    }
    const baseOf = ({ lo, hi, index }: Member): number => address.decode(lo, hi) - (sharedAddress ? 0 : index * span);
    const base = baseOf(first);
    if (base % leafBytes !== 0 || members.some((member) => baseOf(member) !== base)) {
      this.#report.add('run-address', { ...at, values: { size: leafBytes } });
    }
    const free = freeBits(compiled);
    const word = ({ lo, hi }: Member): bigint => BigInt.asUintN(entryBytes * 8, join(lo, hi)) & ~free;
    const differing = members.reduce((bits, member) => bits | (word(member) ^ word(first)), 0n);
    if (differing === 0n) return;
    const names = compiled.fields.filter(({ bits }) => (rangesMask(bits) & differing) !== 0n).map(({ name }) => name);
    const fields = names.join(' ');
    this.#report.add('run-attributes', {
      ...at,
      message: `the entries of a run differ in ${names.length === 0 ? 'unnamed bits' : names.join(', ')}`,
      values: fields === '' ? {} : { fields },
    });
  }
}
