/**
 * Edits done slowly: every entry under a range is read from the description alone, one by one, and what an edit has to do
 * is written down: new words, invalidations, or the error. For ranges that cut no leaf and tables that are linked once.
 */
import { phys } from '../src/address.ts';
import type { Change } from '../src/change.ts';
import type { FieldValues } from '../src/format.ts';
import { readWord } from '../src/memory.ts';
import { addressBits } from '../src/paging.ts';
import type { VirtRange } from '../src/space.ts';
import type { Subject } from './formats.ts';
import { type Bed, type RefEntry, refDecode } from './model.ts';

/** An entry that is no table, and where it stands. */
export interface Found extends RefEntry {
  readonly va: bigint;
  readonly span: bigint;
  readonly level: number;
  readonly slot: bigint;
  readonly word: bigint;
}

/** All entries under a range but tables, in rising order. */
export function entriesUnder({ subject, memory, root }: Bed, range: VirtRange): Found[] {
  const { geometry, format } = subject;
  const found: Found[] = [];
  const visit = (table: bigint, level: number, from: bigint): void => {
    const { shift, indexBits } = geometry.levels[level] as { shift: number; indexBits: number };
    const span = 1n << BigInt(shift);
    const entries = 1n << BigInt(indexBits);
    for (let i = 0n; i < entries; i++) {
      const va = from + i * span;
      if (va >= range.end || va + span <= range.start) continue;
      const slot = table + i * BigInt(format.entryBytes);
      const word = readWord(memory, phys(slot), format.entryBytes);
      const entry = refDecode(subject, level, word, Number(i));
      if (entry.kind === 'table') visit(entry.address, level - 1, va);
      else found.push({ ...entry, va, span, level, slot, word });
    }
  };
  const top = geometry.levels.length - 1;
  const { shift, indexBits } = geometry.levels[top] as { shift: number; indexBits: number };
  const bytes = 1n << BigInt(shift + indexBits);
  visit(root, top, range.start - (range.start % bytes));
  return found;
}

/** A leaf's word with fields set anew; nothing if it has no such field, or would be something else then. */
function withFields(subject: Subject, leaf: Found, values: FieldValues): bigint | undefined {
  const compiled = subject.paging.codec(leaf.level).shapes.find(({ shape }) => shape.name === leaf.shape);
  if (compiled === undefined) return undefined;
  // What lies where smaller leaves have address bits goes, unless it says what the entry is.
  let word = leaf.word & ~(addressBits(compiled) & ~compiled.address.mask & ~compiled.fixedMask);
  for (const [name, value] of Object.entries(values)) {
    const field = compiled.fields.find((one) => one.name === name);
    if (field === undefined) return undefined;
    let rest = BigInt(value);
    for (const [hi, lo] of [...field.bits].reverse()) {
      for (let bit = BigInt(lo); bit <= BigInt(hi); bit++, rest >>= 1n) {
        word = (word & ~(1n << bit)) | ((rest & 1n) << bit);
      }
    }
  }
  const { kind, shape } = refDecode(subject, leaf.level, word, 0);
  return kind === 'leaf' && shape === leaf.shape ? word : undefined;
}

/** What an edit has to come to. */
export interface Expected {
  /** The name of the error; nothing is written then. */
  readonly error: string | undefined;
  readonly words: ReadonlyMap<bigint, bigint>;
  readonly change: Omit<Change, 'allocated' | 'detached'>;
}

/**
 * What unmapping or changing fields has to come to.
 * @param values the fields' values; not supplied: unmap
 * @param readOnly is a slot one that cannot be written?
 */
export function slowEdit(
  { subject }: Bed,
  entries: readonly Found[],
  refuseHoles: boolean,
  values?: FieldValues,
  readOnly: (slot: bigint) => boolean = () => false,
): Expected {
  const words = new Map<bigint, bigint>();
  const invalidate: { -readonly [K in keyof Change['invalidate'][number]]: Change['invalidate'][number][K] }[] = [];
  const cause = values === undefined ? 'removed' : 'changed';
  const fail = (error: string): Expected => ({ error, words: new Map(), change: { invalidate: [], entries: 0 } });
  for (const found of entries) {
    const { kind, va, span, level, slot, word } = found;
    if (kind === 'malformed') return fail('MalformedEntryError');
    if (kind === 'empty') {
      if (refuseHoles) return fail('NotMappedError');
      continue;
    }
    if (readOnly(slot)) return fail('ReadOnlyMemoryError');
    const next = values === undefined ? 0n : withFields(subject, found, values);
    if (next === undefined) return fail('AttributeError');
    if (next === word) continue;
    words.set(slot, next);
    const last = invalidate.at(-1);
    if (last?.end === va && last.level === level) last.end = va + span;
    else invalidate.push({ start: va as never, end: va + span, cause, level, strideBytes: span, tables: false });
  }
  return { error: undefined, words, change: { invalidate, entries: words.size } };
}
