/**
 * The slow, obviously right reading of a format: shape by shape, rule by rule, bit by bit, straight from the
 * description. It shares nothing with the compiled codecs of core but the description itself.
 */
import { featuresHold, type Kind, levelHolds, type MalformedRule, type Paging, type Shape } from '@pagefold/core';

/** What a word is, read slowly. */
export interface ReferenceEntry {
  readonly kind: Kind;
  /** Its shape; `undefined` if none fits. */
  readonly shape: Shape | undefined;
  /** Why it is malformed or empty. */
  readonly reasons: readonly string[];
  /** The address that the entry stores: of the next table, of the leaf, or for a shared run of the run. */
  readonly stored: bigint | undefined;
  /** Bytes that `stored` is a multiple of: the offset within them comes from the virtual address. */
  readonly storedBytes: bigint;
  /** Bytes of the whole leaf. */
  readonly leafBytes: bigint;
}

/** Where an address leads, followed slowly. */
export interface ReferenceOutcome {
  /** The physical address, if it is mapped. */
  readonly pa: bigint | undefined;
  /** What stopped the walk otherwise. */
  readonly stage: 'address' | 'entry' | 'memory' | undefined;
  readonly reasons: readonly string[];
  /** Level of the last entry. */
  readonly level: number | undefined;
  /** Its slot. */
  readonly slot: bigint | undefined;
  /** The last entry, if it could be read. */
  readonly entry: bigint | undefined;
}

interface LevelReading {
  readonly shapes: readonly Shape[];
  readonly rules: readonly MalformedRule[];
}

type Test = { readonly mask: bigint; readonly equals: bigint } | { readonly mask: bigint; readonly differs: bigint };

function all(tests: readonly Test[], word: bigint): boolean {
  return tests.every((test) =>
    'equals' in test ? (word & test.mask) === test.equals : (word & test.mask) !== test.differs,
  );
}

/** Reads entries and follows addresses straight from a description. */
export class Reference {
  readonly #paging: Paging;
  readonly #levels: readonly LevelReading[];

  constructor(paging: Paging) {
    const { format, features, geometry } = paging;
    this.#paging = paging;
    this.#levels = geometry.levels.map(({ level, entries }) => ({
      shapes: format.shapes.filter(
        (shape) =>
          featuresHold(shape.when, features) &&
          levelHolds(shape.levels, level, features) &&
          // A table too short for a run has none.
          (shape.kind !== 'leaf' || (shape.run?.entries ?? 1) <= entries),
      ),
      rules: format.rules.filter(
        (rule) => featuresHold(rule.when, features) && levelHolds(rule.levels, level, features),
      ),
    }));
  }

  /** All address bits in a word, from the lowest piece up. */
  #address(shape: Shape, word: bigint): bigint {
    if (shape.kind === 'empty') return 0n;
    let address = 0n;
    for (const { entryLo, addressLo, bits, when } of shape.address) {
      if (!featuresHold(when, this.#paging.features)) continue;
      address |= BigInt.asUintN(bits, word >> BigInt(entryLo)) << BigInt(addressLo);
    }
    return address;
  }

  /** Decodes a word at a level. */
  decode(level: number, word: bigint): ReferenceEntry {
    const { shapes, rules } = this.#levels[level] as LevelReading;
    const span = 1n << BigInt(this.#paging.geometry.levels[level]?.shift ?? 0);
    const shape = shapes.find(({ match }) => all(match, word));
    const nothing = { stored: undefined, storedBytes: span, leafBytes: span };
    if (shape === undefined) {
      return { kind: 'malformed', shape, reasons: [this.#paging.format.unmatched], ...nothing };
    }
    if (shape.kind === 'empty') return { kind: 'empty', shape, reasons: [shape.reason], ...nothing };
    const run = shape.kind === 'leaf' ? shape.run : undefined;
    const leafBytes = span * BigInt(run?.entries ?? 1);
    const storedBytes = run?.address === 'shared' ? leafBytes : span;
    const address = this.#address(shape, word);
    const broken = rules.filter((rule) => {
      const { kinds = ['table', 'leaf'], shapes: names, tests } = rule;
      if (!kinds.includes(shape.kind) || names?.includes(shape.name) === false) return false;
      if (tests === 'address-size') return address >> BigInt(this.#paging.geometry.paBits) !== 0n;
      if (tests === 'misaligned') return shape.kind === 'leaf' && address % storedBytes !== 0n;
      return all(tests, word);
    });
    if (broken.length > 0) {
      const reasons = [...new Set(broken.map(({ reason }) => reason))];
      return { kind: 'malformed', shape, reasons, ...nothing };
    }
    if (shape.kind === 'table') return { kind: 'table', shape, reasons: [], ...nothing, stored: address };
    return { kind: 'leaf', shape, reasons: [], stored: address - (address % storedBytes), storedBytes, leafBytes };
  }

  /**
   * Follows an address.
   * @param read the word at a physical address, or `undefined` where there is no memory
   * @param root physical address of the root table
   */
  walk(read: (address: bigint) => bigint | undefined, root: bigint, va: bigint): ReferenceOutcome {
    const { geometry, format } = this.#paging;
    const none = { pa: undefined, level: undefined, slot: undefined, entry: undefined };
    if (!this.canonical(va)) return { ...none, stage: 'address', reasons: [format.nonCanonical] };
    let table = root;
    for (let level = geometry.levels.length - 1; level >= 0; level--) {
      const { shift, indexBits } = geometry.levels[level] as (typeof geometry.levels)[number];
      const slot = table + BigInt.asUintN(indexBits, va >> BigInt(shift)) * BigInt(format.entryBytes);
      const entry = read(slot);
      if (entry === undefined) {
        return { pa: undefined, stage: 'memory', reasons: ['no_memory'], level, slot, entry: undefined };
      }
      const found = this.decode(level, entry);
      if (found.kind === 'table') {
        table = found.stored ?? 0n;
        continue;
      }
      const here = { level, slot, entry, reasons: found.reasons };
      if (found.kind !== 'leaf') return { pa: undefined, stage: 'entry', ...here };
      return { pa: (found.stored ?? 0n) + (va % found.storedBytes), stage: undefined, ...here };
    }
    return { ...none, stage: 'entry', reasons: ['table_at_level_0'] };
  }

  /** Are the bits above the translated ones what the geometry wants, tags left out of account? */
  canonical(va: bigint): boolean {
    const { vaBits, wordBits, upper, ignored } = this.#paging.geometry;
    if (va >> BigInt(wordBits) !== 0n) return false;
    if (vaBits === wordBits) return true;
    const bit = (at: number): bigint => (va >> BigInt(at)) & 1n;
    const [hi, lo] = ignored?.bits ?? [-1, wordBits];
    const tag = (at: number): boolean => at >= lo && at <= hi;
    const highest = tag(vaBits - 1) ? lo - 1 : vaBits - 1;
    const wanted = upper === 'sign' ? bit(highest) : upper === 'one' ? 1n : 0n;
    for (let at = vaBits; at < wordBits; at++) if (!tag(at) && bit(at) !== wanted) return false;
    return true;
  }
}
