/**
 * The dump of page tables as runs: notes of single entries go in, lines of maximal equal runs and markers come out.
 *
 * Kernels agree on the core of it (a run ends where protection or level changes, or at a marker) and differ in details;
 * those are the properties of a {@link NotePageStyle}. Facts: Linux 6.12 mm/ptdump.c and its `note_page` callbacks.
 */
import { ArgumentError } from './errors.ts';

/** In what kernels' dumps differ. */
export interface NotePageStyle {
  /**
   * Does the first note begin a run at its own address? Otherwise the first run begins at 0, because that dump always
   * starts its walk there.
   */
  readonly recordsFirst: boolean;
  /**
   * How many markers one note may pass: `one` (and only while a run ends); `change-plus-one` (one while a run ends, and
   * one more after every note); `all-passed` (while a run ends, as many as there are).
   */
  readonly markers: 'one' | 'change-plus-one' | 'all-passed';
  /** Are runs without protection bits printed too? */
  readonly printsUnmapped: boolean;
  /** Bits of the machine word, in which sizes wrap. Not supplied: 64. */
  readonly wordBits?: 32 | 64;
}

/** A name for the addresses from here on. */
export interface AddressMarker {
  readonly at: bigint;
  readonly name: string;
}

/** One entry, or a stretch of equal ones, as a walker reports it: from `addr` on. */
export interface PageNote {
  readonly addr: bigint;
  /** The walker's own number of the level; only compared and handed on. -1 in the closing note. */
  readonly level: number;
  /** The entry's bits that this level prints; 0 if nothing is mapped. */
  readonly prot: bigint;
  /** A further property that ends a run where it changes, such as a domain. Not supplied: none. */
  readonly group?: string;
  /** Kept from the first note of a run and printed with it, such as the physical address. Not supplied: none. */
  readonly detail?: bigint;
}

/** A finished run. */
export interface RunLine {
  /** First address and exclusive end; the end is 0 in the last line, as the closing note's address. */
  readonly range: readonly [start: bigint, end: bigint];
  /** Bytes, wrapped in the machine word, as a dump prints them: `4K`, `2M`. */
  readonly size: string;
  readonly level: number;
  readonly prot: bigint;
  readonly group?: string;
  readonly detail?: bigint;
}

/** A line of the dump. */
export type NotedLine = { readonly marker: string } | RunLine;

/** A count of pages with some property, such as writable and executable at once. */
export interface PageTally {
  readonly name: string;
  /** Does a run with this protection have it? Asked only for runs that map something. */
  test(prot: bigint, level: number): boolean;
}

/** What a tally found. */
export interface TallyResult {
  readonly name: string;
  /** Pages with the property. */
  readonly pages: bigint;
  /** Start of the first run that had it. */
  readonly first: bigint | undefined;
}

/** Options of {@link NotePage}. */
export interface NotePageOptions {
  readonly style: NotePageStyle;
  /** In rising order; the first is printed before everything else. */
  readonly markers: readonly AddressMarker[];
  /** What to count. Not supplied: nothing. */
  readonly tallies?: readonly PageTally[];
  /** Bytes of the pages that tallies count. Not supplied: 4096. */
  readonly pageBytes?: bigint;
}

const DUMP_UNITS = 'KMGTPE';

/**
 * A size as dumps print it: in KiB, or in the largest unit up to E that divides it (0 bytes thus read `0E`).
 * @param bytes a multiple of 1024; what is below is cut off
 */
export function dumpSize(bytes: bigint): string {
  let number = bytes >> 10n;
  let unit = 0;
  while (number % 1024n === 0n && unit < DUMP_UNITS.length - 1) {
    number >>= 10n;
    unit++;
  }
  return `${number}${DUMP_UNITS[unit]}`;
}

interface OpenRun {
  readonly start: bigint;
  readonly level: number;
  readonly prot: bigint;
  readonly group: string | undefined;
  readonly detail: bigint | undefined;
}

/** The state machine: feed it notes in walking order, then {@link finish} once. */
export class NotePage {
  readonly #style: NotePageStyle;
  readonly #markers: readonly AddressMarker[];
  readonly #pageBytes: bigint;
  readonly #lines: NotedLine[] = [];
  readonly #tallies: { readonly tally: PageTally; pages: bigint; first: bigint | undefined }[];
  #marker = 0;
  #run: OpenRun | undefined;
  #finished = false;

  /** @throws ArgumentError `marker-order` if the markers do not rise */
  constructor(options: NotePageOptions) {
    options.markers.forEach(({ at }, i) => {
      const before = options.markers[i - 1];
      if (before !== undefined && at < before.at) {
        throw new ArgumentError('marker-order', 'markers must be in rising order', { at, before: before.at });
      }
    });
    this.#style = options.style;
    this.#markers = options.markers;
    this.#pageBytes = options.pageBytes ?? 4096n;
    this.#tallies = (options.tallies ?? []).map((tally) => ({ tally, pages: 0n, first: undefined }));
  }

  /** What has been printed so far. */
  get lines(): readonly NotedLine[] {
    return this.#lines;
  }

  /** What has been counted so far. */
  get tallies(): readonly TallyResult[] {
    return this.#tallies.map(({ tally, pages, first }) => ({ name: tally.name, pages, first }));
  }

  /**
   * Takes one note.
   * @throws ArgumentError `dump-finished` after {@link finish}
   */
  note(note: PageNote): void {
    if (this.#finished) throw new ArgumentError('dump-finished', 'a finished dump takes no notes', { addr: note.addr });
    const run = this.#run;
    if (run === undefined) {
      this.#open(note, this.#style.recordsFirst ? note.addr : 0n);
      const first = this.#markers[0];
      if (first !== undefined) this.#lines.push({ marker: first.name });
    } else if (
      note.prot !== run.prot ||
      note.level !== run.level ||
      note.group !== run.group ||
      this.#passesMarker(note.addr)
    ) {
      this.#close(run, note.addr);
      this.#stepMarkers(note.addr);
      this.#open(note, note.addr);
    }
    if (this.#style.markers === 'change-plus-one') this.#stepMarker(note.addr);
  }

  /**
   * Ends the dump: the note at address 0, level -1 that closes the last run. Its line therefore ends at 0.
   * @returns all lines
   */
  finish(): readonly NotedLine[] {
    this.note({ addr: 0n, level: -1, prot: 0n });
    this.#finished = true;
    return this.#lines;
  }

  #open({ level, prot, group, detail }: PageNote, start: bigint): void {
    this.#run = { start, level, prot, group, detail };
  }

  #close({ start, level, prot, group, detail }: OpenRun, end: bigint): void {
    const bytes = BigInt.asUintN(this.#style.wordBits ?? 64, end - start);
    if (prot !== 0n) this.#count(start, bytes, prot, level);
    if (prot === 0n && !this.#style.printsUnmapped) return;
    this.#lines.push({
      range: [start, end],
      size: dumpSize(bytes),
      level,
      prot,
      ...(group === undefined ? {} : { group }),
      ...(detail === undefined ? {} : { detail }),
    });
  }

  #count(start: bigint, bytes: bigint, prot: bigint, level: number): void {
    for (const state of this.#tallies) {
      if (!state.tally.test(prot, level)) continue;
      state.pages += bytes / this.#pageBytes;
      state.first ??= start;
    }
  }

  #passesMarker(addr: bigint): boolean {
    const next = this.#markers[this.#marker + 1];
    return next !== undefined && addr >= next.at;
  }

  #stepMarker(addr: bigint): boolean {
    if (!this.#passesMarker(addr)) return false;
    this.#marker++;
    this.#lines.push({ marker: (this.#markers[this.#marker] as AddressMarker).name });
    return true;
  }

  #stepMarkers(addr: bigint): void {
    if (this.#style.markers !== 'all-passed') {
      this.#stepMarker(addr);
      return;
    }
    while (this.#stepMarker(addr));
  }
}
