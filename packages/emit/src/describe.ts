/**
 * Entries in words, for comments and tables: the range, what it means, and the fields that are set.
 */
import {
  type ExplainedEntry,
  explainEntry,
  hex,
  type Paging,
  rangesMask,
  sizeText,
  type VirtAddr,
} from '@pagefold/core';

/** Names of tables by physical address. */
export type TableNames = ReadonlyMap<bigint, string>;

/** Is the word nothing at all, so that nobody needs to hear of it? */
export function isBlank(entry: bigint): boolean {
  return entry === 0n;
}

/**
 * The fields of an entry that are set, without the address: `pbmt=IO d a g x r v`. Fields of one bit by name, others
 * with their value or its name.
 */
export function fieldsText(paging: Paging, level: number, explained: ExplainedEntry): string {
  const compiled = paging.codec(level).shapes.find(({ shape }) => shape.name === explained.shape);
  const addressMask = compiled?.address.mask ?? 0n;
  const words: string[] = [];
  for (const { name, bits, value, text } of explained.fields) {
    const field = compiled?.fields.find((candidate) => candidate.name === name);
    if (value === 0n || field === undefined || (rangesMask(field.bits) & addressMask) !== 0n) continue;
    words.push(/^\d+$/.test(bits) && text === undefined ? name : `${name}=${text ?? hex(value)}`);
  }
  return words.join(' ');
}

/** A range as text, its end exclusive; shows where nothing is translated. */
export function rangeText(va: VirtAddr | undefined, bytes: bigint, wordBits: number): string {
  if (va === undefined) return 'not translated';
  return `${hex(va, wordBits / 4)}-${hex(va + bytes, wordBits / 4)}`;
}

/** What an entry means: `leaf 2M at 0x80200000: d a g x r v`, `table kernel.PMD.0 at 0x81234000: v`. */
export function meaningText(paging: Paging, level: number, entry: bigint, names: TableNames = new Map()): string {
  const explained = explainEntry(paging, level, entry);
  const fields = fieldsText(paging, level, explained);
  const set = fields === '' ? '' : `: ${fields}`;
  const { kind, address, leafBytes, reasons } = explained;
  if (kind === 'leaf' && leafBytes !== undefined) {
    return `${explained.shape ?? 'leaf'} ${sizeText(leafBytes)} at ${hex(address ?? 0n)}${set}`;
  }
  if (kind === 'table') {
    const name = names.get(address ?? -1n);
    return `table${name === undefined ? '' : ` ${name}`} at ${hex(address ?? 0n)}${set}`;
  }
  return `${kind} (${reasons.map(({ reason }) => reason).join(', ')})`;
}

/** A whole comment for one entry: the range that it covers and what it means. */
export function entryText(
  paging: Paging,
  level: number,
  entry: bigint,
  va: VirtAddr | undefined,
  names?: TableNames,
): string {
  const { geometry } = paging;
  const span = BigInt(paging.codec(level).level.entrySpan);
  return `${rangeText(va, span, geometry.wordBits)} ${meaningText(paging, level, entry, names)}`;
}
