/** Beds of the mini format with something in them. */

import { type MapRequest, map } from '../src/map.ts';
import { eachTable } from '../src/table-links.ts';
import { named } from './formats.ts';
import { type Bed, bed } from './model.ts';

export const MINI = named('mini, both ends');
/** What is mapped where nothing else is said: accessed and writable. */
export const LOOK = { a: 1, w: 1 };
/** The lower half of a mini space. */
export const ALL = { start: 0n, end: 1n << 20n };

/** A request in a mini bed, with its allocator. */
export function ask(made: Bed, more: Partial<MapRequest> = {}): MapRequest {
  return { va: 0n, pa: 0n, bytes: 0x1000n, attributes: LOOK, allocator: made.frames, ...more };
}

/** A mini bed in which something is mapped one to one. */
export function mapped(va: bigint, bytes: bigint, more: Partial<MapRequest> = {}, windowBytes = 0x1_0000): Bed {
  const made = bed(MINI, windowBytes);
  map(made.space, ask(made, { va, pa: va, bytes, ...more }));
  return made;
}

/** Addresses of the tables of the lower half, the root first. */
export function tablesOf({ space }: Bed): bigint[] {
  const found: bigint[] = [];
  eachTable(space, ALL, ({ address }) => found.push(address));
  return found;
}
