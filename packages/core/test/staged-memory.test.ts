import { describe, expect, it } from 'vitest';
import { phys } from '../src/address.ts';
import { protect, unmap } from '../src/edit.ts';
import { ReadOnlyMemoryError } from '../src/errors.ts';
import { mappedRanges } from '../src/leaves.ts';
import { map } from '../src/map.ts';
import { readWord } from '../src/memory.ts';
import { createPaging } from '../src/paging.ts';
import { createSpace } from '../src/space.ts';
import { StagedMemory, translateStaged } from '../src/staged-memory.ts';
import { Translator } from '../src/translator.ts';
import { translate } from '../src/walk.ts';
import { miniFormat, miniGeometry, SUBJECTS, type Subject } from './formats.ts';
import { BASE, type Bed, bed, Frames, thrownBy } from './model.ts';

const OUTER = SUBJECTS.find(({ name }) => name === 'concatenated root') as Subject;
const guest = createPaging(miniFormat, miniGeometry(3, { upper: 'zero' }));
const GUEST_RAM = 0x4000_0000n;

/** A host whose second stage maps a megabyte of guest memory, every other page elsewhere. */
function host(windowBytes = 0x1_0000): Bed {
  const made = bed(OUTER, windowBytes);
  for (let page = 0n; page < 16n; page++) {
    const pa = BASE + 0x20_0000n + (page % 2n === 0n ? page : 0x80n - page) * 0x1000n;
    const request = { va: GUEST_RAM + page * 0x1000n, pa, bytes: 0x1000n, attributes: { af: 1, ap1: 1 } };
    map(made.space, { ...request, allocator: made.frames });
  }
  return made;
}

describe('StagedMemory', () => {
  it('lets tables of a guest be made, walked, listed and changed through the stage behind', () => {
    for (const windowBytes of [16, 64, 0x1_0000]) {
      const { space: stage, memory: ram } = host(windowBytes);
      const memory = new StagedMemory(stage);
      const frames = new Frames(GUEST_RAM + 0xfc0n, GUEST_RAM + 0x8000n);
      const space = createSpace(memory, { paging: guest, address: GUEST_RAM });
      const attributes = { a: 1, w: 1 };
      map(space, { va: 0x7000n, pa: GUEST_RAM, bytes: 0x2_0000n, attributes, allocator: frames });
      expect(translate(space, 0x9123n)).toMatchObject({ mapped: true, pa: GUEST_RAM + 0x2123n });
      // The words are really where the stage puts them.
      expect(readWord(ram, phys(BASE + 0x20_0000n))).toBe(readWord(memory, phys(GUEST_RAM)));
      expect(readWord(ram, phys(BASE + 0x27_f038n))).toBe(readWord(memory, phys(GUEST_RAM + 0x1038n)));
      expect(readWord(memory, phys(GUEST_RAM + 0x1038n))).not.toBe(0n);
      expect(
        mappedRanges(space, { start: 0n, end: 1n << 21n }).reduce((sum, one) => sum + one.end - one.start, 0n),
      ).toBe(0x2_0000n);
      protect(space, { start: 0x8000n, end: 0x9000n }, { fields: { w: 0 } }, { allocator: frames });
      expect(translate(space, 0x8000n)).toMatchObject({ fields: { w: 0 } });
      expect(new Translator(space).translate(0x9123n)).toBe(GUEST_RAM + 0x2123n);
      unmap(space, { start: 0n, end: 1n << 21n });
      expect(translate(space, 0x9123n).mapped).toBe(false);
    }
  });

  it('tells which stage faulted, and where', () => {
    const { space: stage, frames: outer } = host();
    const memory = new StagedMemory(stage);
    const space = { ...createSpace(memory, { paging: guest, address: GUEST_RAM }), memory };
    const frames = new Frames(GUEST_RAM + 0x1000n, GUEST_RAM + 0x10_0000n);
    map(space, { va: 0n, pa: GUEST_RAM + 0x5000n, bytes: 0x1000n, attributes: { a: 1 }, allocator: frames });
    map(space, { va: 0x1000n, pa: 0x5000n, bytes: 0x1000n, attributes: { a: 1 } });
    expect(translateStaged(space, 0x123n)).toMatchObject({
      first: { pa: GUEST_RAM + 0x5123n },
      pa: BASE + 0x27_b123n,
      faulted: undefined,
    });
    expect(translateStaged(space, 0x1123n)).toMatchObject({
      first: { pa: 0x5123n },
      second: { mapped: false, va: 0x5123n, reason: 'invalid' },
      pa: undefined,
      faulted: 'second-on-page',
    });
    expect(translateStaged(space, 0x8000n)).toMatchObject({ second: undefined, faulted: 'first' });
    // Take the page away that holds the guest's lower tables.
    unmap(stage, { start: GUEST_RAM + 0x1000n, end: GUEST_RAM + 0x2000n }, { allocator: outer });
    expect(translateStaged(space, 0x123n).faulted).toBeUndefined();
    memory.flush();
    expect(translateStaged(space, 0x123n)).toMatchObject({
      first: { mapped: false, stage: 'memory', slot: GUEST_RAM + 0x1000n },
      second: { mapped: false, va: GUEST_RAM + 0x1000n },
      faulted: 'second-on-table',
    });
    expect(thrownBy(() => memory.writable(Number(GUEST_RAM) + 0x1000))).toMatchObject({
      rule: 'staged-fault',
      values: { address: '0x40001000', reason: 'invalid' },
    });
  });

  it('honours permissions of the stage if asked to', () => {
    const { space: stage, frames: outer } = host();
    protect(stage, { start: GUEST_RAM, end: GUEST_RAM + 0x1000n }, { fields: { ap2: 1 } }, { allocator: outer });
    const accesses = {
      read: { kind: 'read', privilege: 'user' },
      write: { kind: 'write', privilege: 'user' },
    } as const;
    const strict = new StagedMemory(stage, { accesses });
    const at = Number(GUEST_RAM);
    expect(strict.window(at)?.base).toBe(at);
    const error = thrownBy(() => strict.writable(at));
    expect(error).toBeInstanceOf(ReadOnlyMemoryError);
    expect(error.values.reason).toBe('permission');
    expect(strict.writable(at + 0x1000).base).toBe(at + 0x1000);
    expect(new StagedMemory(stage).writable(at).base).toBe(at);
  });

  it('has no memory where the stage leads to none', () => {
    const { space: stage, frames } = host();
    map(stage, { va: 0n, pa: 0x40_0000_0000n, bytes: 0x1000n, attributes: { af: 1 }, allocator: frames });
    const memory = new StagedMemory(stage);
    expect(memory.window(0x10)).toBeUndefined();
    expect(memory.faultAt(0x10n)).toBeUndefined();
    expect(thrownBy(() => memory.writable(0x10)).rule).toBe('no-memory');
    expect(memory.window(2 ** 41)).toBeUndefined();
    expect(memory.faultAt(1n << 41n)).toMatchObject({ stage: 'address' });
  });
});
