import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { phys, ReadOnlyMemoryError, readWord, writeWord } from '@pagefold/core';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { toHostWords } from '../src/byte-source.ts';
import { combineImages, ImageMemory, readElfCore, readImage, readRaw } from '../src/index.ts';
import { openImage } from '../src/node/index.ts';
import { type BuiltSegment, buildElf, pattern } from './elf-builder.ts';
import { compareWithReference, failsWith, interestingGroups, rejectsWith } from './image-checks.ts';

const folder = mkdtempSync(join(tmpdir(), 'pagefold-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Segments one behind the other: often abutting, often unaligned, in memory and in the file. */
const layouts: fc.Arbitrary<readonly BuiltSegment[]> = fc
  .record({
    origin: fc.constantFrom(0n, 0x8000_0000n, 0xffff_fff0n, (1n << 53n) - 13n, (1n << 56n) - 0x4_0000n),
    parts: fc.array(
      fc.record({
        gap: fc.oneof(fc.constant(0), fc.nat(20), fc.constant(0x1000)),
        length: fc.oneof(fc.nat(20), fc.nat(20), fc.constantFrom(0x1000, 0x2004, 9001)),
        zeros: fc.oneof(fc.constant(0), fc.nat(20), fc.constant(0x3001)),
        padding: fc.oneof(fc.constant(0), fc.nat(7)),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    order: fc.boolean(),
  })
  .map(({ origin, parts, order }) => {
    let at = origin;
    const segments = parts.map(({ gap, length, zeros, padding }, seed) => {
      const physical = at + BigInt(gap);
      at = physical + BigInt(length + zeros);
      return { physical, data: pattern(length, seed), zeros: BigInt(zeros), padding };
    });
    return order ? segments : segments.reverse();
  })
  .filter((segments) => segments.some(({ data, zeros }) => data.length > 0 || zeros > 0n));

describe('random layouts against the byte-by-byte reference', () => {
  test('from a buffer, at every alignment of the buffer', () => {
    fc.assert(
      fc.property(layouts, fc.nat(7), (segments, shift) => {
        const file = buildElf(segments);
        const shifted = new Uint8Array(new ArrayBuffer(file.length + shift), shift);
        shifted.set(file);
        const { memory } = readElfCore(shifted, { windowBytes: 0x1000, cacheBytes: 0x2000 });
        compareWithReference(memory, segments, interestingGroups(segments));
        expect(memory.cachedBytes).toBeLessThanOrEqual(0x2000);
      }),
      { numRuns: 300 },
    );
  });

  test('from a file, read on demand, the same as from a buffer', async () => {
    await fc.assert(
      fc.asyncProperty(layouts, async (segments) => {
        const path = join(folder, 'layout.elf');
        const bytes = buildElf(segments);
        writeFileSync(path, bytes);
        using image = await openImage(path, { windowBytes: 0x1000, cacheBytes: 0x2000 });
        const groups = interestingGroups(segments);
        compareWithReference(image.memory, segments, groups);
        const { memory } = readElfCore(bytes);
        for (const group of groups) {
          if (memory.window(Number(group)) === undefined) continue;
          expect(readWord(image.memory, phys(group))).toBe(readWord(memory, phys(group)));
        }
        expect(image.memory.cachedBytes).toBeLessThanOrEqual(0x2000);
      }),
      { numRuns: 150 },
    );
  });

  test('from several raw buffers combined', () => {
    fc.assert(
      fc.property(layouts, (segments) => {
        const stored = segments.filter(({ data }) => data.length > 0).map((segment) => ({ ...segment, zeros: 0n }));
        fc.pre(stored.length > 0);
        const { memory } = combineImages(stored.map(({ data, physical }) => readRaw(data, physical)));
        compareWithReference(memory, stored, interestingGroups(stored));
      }),
      { numRuns: 300 },
    );
  });
});

describe('windows', () => {
  test('aligned bytes are one window without a copy', () => {
    const bytes = pattern(0x3_0000, 1);
    const { memory } = readRaw(bytes, 0x1000n);
    const window = memory.window(0x2_0000);
    expect(window).toMatchObject({ base: 0x1000 });
    expect(window?.words.buffer).toBe(bytes.buffer);
    expect(window?.words).toHaveLength(0xc000);
    expect(memory.cachedBytes).toBe(0);
  });

  test('segments that continue each other in memory and in the file are one window', () => {
    const segments = [
      { physical: 0x1000n, data: pattern(0x1002, 1) },
      { physical: 0x2002n, data: pattern(0xffe, 2) },
    ];
    const { memory } = readElfCore(buildElf(segments));
    expect(memory.window(0x2000)?.words).toHaveLength(0x800);
    compareWithReference(memory, segments, interestingGroups(segments));
  });

  test('unaligned bytes are copied by windows; those used last are kept', () => {
    const bytes = new Uint8Array(new ArrayBuffer(0x4001), 1);
    bytes.set(pattern(0x4000, 1));
    const { memory } = readRaw(bytes, 0n, { windowBytes: 0x1000, cacheBytes: 0x2000 });
    const first = memory.window(0);
    const second = memory.window(0x1000);
    expect(memory.window(0)).toBe(first);
    memory.window(0x2000);
    expect(memory.cachedBytes).toBe(0x2000);
    expect(memory.window(0)).toBe(first);
    const again = memory.window(0x1000);
    expect(again).not.toBe(second);
    expect(again).toEqual(second);
  });

  test('there is no memory where there is none', () => {
    const { memory } = readRaw(pattern(16, 1), 0x1004n);
    for (const address of [-8, 0, 0xff8, 0x1000, 0x1004, 0x1010, 0x1018, 2 ** 56, Number.NaN]) {
      expect(memory.window(address)).toBeUndefined();
    }
    expect(memory.window(0x1008)?.words).toHaveLength(2);
  });

  test('nothing can be written', () => {
    const bytes = pattern(16, 1);
    const { memory } = readRaw(bytes, 0n);
    expect(() => writeWord(memory, phys(0), 1n)).toThrow(ReadOnlyMemoryError);
    expect(() => memory.writable(0x999)).toThrow(ReadOnlyMemoryError);
    expect(bytes).toEqual(pattern(16, 1));
  });

  test('options are checked', () => {
    for (const windowBytes of [0, 0xff8, 0x1001, 0x100_0008, Number.NaN]) {
      failsWith('option-range', () => new ImageMemory([], { windowBytes }));
    }
    failsWith('option-range', () => new ImageMemory([], { windowBytes: 0x2000, cacheBytes: 0x1000 }));
    failsWith('option-range', () => new ImageMemory([], { cacheBytes: Number.POSITIVE_INFINITY }));
  });
});

test('a big-endian host gets its words swapped', () => {
  const words = Uint32Array.of(0x1122_3344, 0xfedc_ba98, 0xff);
  toHostWords(words, false);
  expect([...words]).toEqual([0x4433_2211, 0x98ba_dcfe, 0xff00_0000]);
  toHostWords(words, true);
  expect(words[0]).toBe(0x4433_2211);
});

describe('kinds of sources', () => {
  test('raw bytes need a base, ELF cores refuse one', async () => {
    const elf = buildElf([{ physical: 0x1000n, data: pattern(8, 1) }]);
    await expect(readImage(pattern(8, 1), { base: 0x1000 as unknown as bigint })).rejects.toThrow(
      /bigints, such as 0x1000n: base 0x1000 \[not-bigint\]/,
    );
    expect((await rejectsWith('raw-needs-base', readImage(pattern(3, 1)))).values).toMatchObject({ bytes: '12 31 50' });
    expect((await readImage(pattern(8, 1), { base: 0x10n })).segments[0]?.start).toBe(0x10n);
    expect((await readImage(elf)).kind).toBe('elf-core');
    await rejectsWith('base-not-raw', readImage(elf, { base: 0n }));
    expect((await readImage(elf, { base: 0n, kind: 'raw' })).kind).toBe('raw');
    await rejectsWith('not-elf', readImage(pattern(8, 1), { kind: 'elf-core' }));
    await rejectsWith('empty-image', readImage(new Uint8Array(), { base: 0n }));
    await rejectsWith('empty-image', readImage(new Uint8Array()));
  });

  test('raw bytes must lie below 2^56', () => {
    failsWith('segment-address', () => readRaw(pattern(8, 1), (1n << 56n) - 7n));
    failsWith('segment-address', () => readRaw(pattern(8, 1), -8n));
  });

  test('combined images must not overlap', () => {
    const low = readRaw(pattern(16, 1), 0x1000n, { name: 'low' });
    const high = readRaw(pattern(16, 2), 0x100fn, { name: 'high' });
    const error = failsWith('segment-overlap', () => combineImages([high, low]));
    expect(error.message).toContain('first low');
    expect(error.message).toContain('second high');
    failsWith('empty-image', () => combineImages([]));
    const both = combineImages([low, readElfCore(buildElf([{ physical: 0x2000n, data: pattern(8, 1) }]))]);
    expect(both.kind).toBe('combined');
    expect(both.segments.map(({ start }) => start)).toEqual([0x1000n, 0x2000n]);
  });

  test('a discarded memory says so', () => {
    const image = readRaw(pattern(16, 1), 0n);
    image.memory.discard();
    failsWith('image-closed', () => image.memory.window(0));
    failsWith('image-closed', () => combineImages([image]));
  });
});
