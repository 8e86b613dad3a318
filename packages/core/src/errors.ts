/**
 * Typed errors. Each names the rule that was broken and carries the values, in hex, both in its message and in
 * `values`. Faults of the modelled hardware are values, never exceptions.
 */
import { hex } from './number-text.ts';

/** What an error carries: numbers are shown in hex. */
export type ErrorValues = Readonly<Record<string, bigint | number | string>>;

function show(values: ErrorValues): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    const whole = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
    shown[name] = whole ? hex(value) : String(value);
  }
  return shown;
}

/** Base of every error that Pagefold throws on purpose. */
export class PagefoldError extends Error {
  /** The rule that was broken, a short kebab-case word that stays the same between releases. */
  readonly rule: string;
  /** The values involved; numbers as hex text. */
  readonly values: Readonly<Record<string, string>>;

  constructor(rule: string, message: string, values: ErrorValues = {}) {
    const shown = show(values);
    const list = Object.entries(shown)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
    super(list === '' ? `${message} [${rule}]` : `${message}: ${list} [${rule}]`);
    this.name = new.target.name;
    this.rule = rule;
    this.values = shown;
  }
}

/** An argument is unusable: unaligned, out of range, of the wrong kind. */
export class ArgumentError extends PagefoldError {}

/** A format or geometry contradicts itself. */
export class FormatError extends PagefoldError {}

/** Attributes that the format cannot express, or that would not decode to what was asked for. */
export class AttributeError extends PagefoldError {}

/** Something that is mapped already stands where a mapping should go. */
export class OverlapError extends PagefoldError {}

/** A hole stands where the operation needs a mapping. */
export class NotMappedError extends PagefoldError {}

/** A range ends inside a leaf (or a run) that the operation may not split. */
export class PartialLeafError extends PagefoldError {}

/** An entry on the way is malformed: the operation will neither follow nor overwrite it. */
export class MalformedEntryError extends PagefoldError {}

/** A table allocator has nothing left, or cannot serve this request. */
export class OutOfTablesError extends PagefoldError {}

/** No memory at an address, or an access crosses its edge. */
export class MemoryError extends PagefoldError {}

/** A write to memory that can only be read. */
export class ReadOnlyMemoryError extends MemoryError {}

/** The modelled kernel would have stopped here (`BUG_ON`), or what its boot starts from is unusable. */
export class BootError extends PagefoldError {}
