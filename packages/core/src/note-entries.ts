/**
 * The walk behind a kernel's dump of its own tables: every entry that leads no further is noted for {@link NotePage}.
 * Source: Linux 6.12 mm/ptdump.c.
 */
import type { PhysAddr } from './address.ts';
import { join } from './compiled.ts';
import { ArgumentError } from './errors.ts';
import { type Memory, readWord } from './memory.ts';
import { createSpace, type RootDescription } from './space.ts';
import { type Cursor, SKIP, traverse } from './traverse.ts';

/** What is known about a root besides its tables. */
export interface NoteEntriesOptions {
  /** Tables that all of KASAN's early shadow shares: noted once, as pages of the last level, and not looked into. */
  readonly sharedTables?: ReadonlySet<bigint>;
  /** Physical address of the shared table of pages, whose first entry says how such shadow is mapped. */
  readonly sharedPtes?: PhysAddr;
  /** First address. Not supplied: the start of the root's last range, which is a kernel's half. */
  readonly start?: bigint;
}

/**
 * Notes the entries of a root's last range in rising order: leaves, and words that map nothing.
 * @param note told of each: where it stands, the level and the word that count for it
 * @throws ArgumentError `no-root`; MemoryError if a table lies outside memory
 */
export function noteEntries(
  memory: Memory,
  description: RootDescription,
  options: NoteEntriesOptions,
  note: (va: bigint, level: number, word: bigint) => void,
): void {
  const [root] = createSpace(memory, description).roots;
  const range = root?.ranges.at(-1);
  if (root === undefined || range === undefined) throw new ArgumentError('no-root', 'a dump needs a root');
  const { sharedTables, sharedPtes } = options;
  const start = options.start === undefined ? range.start : Number(options.start);
  const entry = (cursor: Cursor): undefined => {
    note(BigInt(cursor.va), cursor.level, join(cursor.lo, cursor.hi));
  };
  traverse(
    memory,
    { root, start, end: range.end },
    {
      table(cursor) {
        const address = BigInt(cursor.below);
        if (sharedTables?.has(address) !== true && address !== sharedPtes) return undefined;
        const { entryBytes } = root.paging.format;
        note(BigInt(cursor.va), 0, sharedPtes === undefined ? 0n : readWord(memory, sharedPtes, entryBytes));
        return SKIP;
      },
      leaf: entry,
      hole: entry,
      malformed: entry,
    },
  );
}
