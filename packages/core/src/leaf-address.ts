/** What the leaf under a cursor maps. */
import type { CompiledShape } from './level-codec.ts';
import type { Cursor } from './traverse.ts';

/**
 * Physical address that the piece under a cursor translates to: that of the entry, and for a part of an entry so much
 * more. Entries of a run that store the run's own address stand for one part of it each.
 * @param compiled the shape of the entry, which is a leaf
 */
export function leafAddressAt(cursor: Cursor, compiled: CompiledShape): number {
  const address = compiled.address.decode(cursor.lo, cursor.hi) + (cursor.va - cursor.entryVa);
  return compiled.sharedAddress ? address + (cursor.index % compiled.runEntries) * cursor.span : address;
}
