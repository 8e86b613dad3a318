/** Tables full of chance, for comparing readers: table pointers, leaves, entries with flipped bits, and plain noise. */
import fc from 'fast-check';
import { phys } from '../src/address.ts';
import { join } from '../src/compiled.ts';
import type { CompiledShape } from '../src/level-codec.ts';
import { writeWord } from '../src/memory.ts';
import type { Subject } from './formats.ts';
import { BASE, type Bed, bed } from './model.ts';

/** A generator whose numbers come from one seed. */
export function numbers(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** A seed for {@link numbers}, shrinking to nothing in particular. */
export const seeds: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0x7fff_ffff });

/** A number below a limit. */
export function bigBelow(random: (below: number) => number, limit: bigint): bigint {
  let value = 0n;
  for (let bits = limit; bits > 0n; bits >>= 16n) value = (value << 16n) | BigInt(random(0x1_0000));
  return value % limit;
}

/** A random address that a shape can hold: mostly small multiples of its size, sometimes anything. */
export function somePhysical(subject: Subject, compiled: CompiledShape, random: (below: number) => number): bigint {
  const { paging } = subject;
  const unit = BigInt(compiled.sharedAddress ? compiled.leafBytes : compiled.entryBytes);
  const count = (1n << BigInt(paging.geometry.paBits)) / unit;
  const pick = random(3);
  const at = pick === 0 ? count - 1n - BigInt(random(4)) : pick === 1 ? BigInt(random(8)) : bigBelow(random, count);
  const address = (at < 0n ? 0n : at % count) * unit;
  return paging.canHold(compiled, Number(address)) ? address : 0n;
}

/** A random entry for a level. `tables` are addresses of tables, by their level. */
export function someEntry(
  subject: Subject,
  level: number,
  tables: readonly (readonly bigint[])[],
  random: (below: number) => number,
): bigint {
  const { paging, looks } = subject;
  const codec = paging.codec(level);
  const bits = subject.format.entryBytes * 8;
  const noise = BigInt.asUintN(bits, join(random(2 ** 32), random(2 ** 32)));
  const pick = random(10);
  if (pick === 0) return 0n;
  if (pick === 1) return noise;
  let entry = 0n;
  const below = level > 0 ? (tables[level - 1] as readonly bigint[]) : [];
  const compiled = codec.leaves[random(codec.leaves.length)];
  if (below.length > 0 && (pick < 7 || compiled === undefined)) {
    entry = paging.encodeTable(level, below[random(below.length)] as bigint);
  } else if (compiled !== undefined) {
    const look = looks[random(3)] ?? {};
    entry = paging.encodeLeaf(level, somePhysical(subject, compiled, random), look, compiled.shape.name);
  }
  // Flipped bits: unnamed, reserved, contradicting.
  return pick > 7 ? entry ^ (1n << BigInt(random(bits))) : entry;
}

/** A bed whose tables hold random entries, and the addresses of the tables by level. */
export function randomBed(subject: Subject, seed: number, windowBytes: number): Bed {
  const random = numbers(seed);
  const { levels } = subject.paging.geometry;
  const made = bed(subject, windowBytes);
  const tables: bigint[][] = levels.map(({ level, tableBytes, alignBytes }) => {
    if (level === levels.length - 1) return [made.root];
    return Array.from({ length: 2 }, () =>
      made.frames.allocate({ level, va: 0n as never, bytes: tableBytes, alignBytes }),
    );
  });
  // One table that is not there.
  if (levels.length > 1) tables[0]?.push(BASE + 0x100_0000n);
  tables.forEach((ofLevel, level) => {
    const entries = levels[level]?.entries ?? 0;
    for (const table of ofLevel) {
      if (table >= BASE + 0x80_0000n) continue;
      // Large tables are mostly empty: their ends, and some entries in between. Small ones may say the same throughout.
      const spots = entries <= 16 ? entries : 24;
      const all = entries <= 16 && random(3) === 0 ? someEntry(subject, level, tables, random) : undefined;
      for (let i = 0; i < spots; i++) {
        const index = entries <= 16 ? i : i < 8 ? i : i < 16 ? entries - 1 - (i - 8) : random(entries);
        const at = table + BigInt(index * subject.format.entryBytes);
        const entry = all ?? someEntry(subject, level, tables, random);
        writeWord(made.memory, phys(at), entry, subject.format.entryBytes);
      }
    }
  });
  return made;
}

/** A virtual address: mostly one whose indices are near the ends of their tables, sometimes any at all. */
export function someAddress(subject: Subject, random: (below: number) => number): bigint {
  const { levels, ranges } = subject.paging.geometry;
  if (random(10) === 0) return join(random(2 ** 32), random(2 ** 32));
  const range = ranges[random(ranges.length)] ?? { start: 0, end: 1 };
  let va = 0n;
  for (const { shift, entries } of levels) {
    const pick = random(3);
    const index = pick === 0 ? random(8) : pick === 1 ? entries - 1 - random(8) : random(entries);
    va |= BigInt(Math.max(0, Math.min(index, entries - 1))) << BigInt(shift);
  }
  va = (va % (BigInt(range.end) - BigInt(range.start))) + BigInt(range.start);
  return va + BigInt(random(4096));
}
