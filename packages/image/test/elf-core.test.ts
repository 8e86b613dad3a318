import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { phys, readWord } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bufferSource, ImageError, readElfCore, readElfLayout } from '../src/index.ts';
import { type BuiltSegment, buildElf, pattern } from './elf-builder.ts';
import { compareWithReference, failsWith, interestingGroups, onlyImageErrors } from './image-checks.ts';

const two: readonly BuiltSegment[] = [
  { physical: 0x8000_0000n, data: pattern(0x1000, 1) },
  { physical: 0x8000_2000n, data: pattern(0x800, 2), zeros: 0x800n },
];

function patched(at: number, ...values: number[]): Uint8Array {
  const bytes = buildElf(two);
  bytes.set(values, at);
  return bytes;
}

describe.each([32, 64] as const)('ELF%i cores', (bits) => {
  test('every segment stands at its physical address, with zero fill behind the file bytes', () => {
    const image = readElfCore(buildElf(two, { bits }), { name: 'guest.elf' });
    expect(image.kind).toBe('elf-core');
    expect(image.elf?.bits).toBe(bits);
    expect(image.elf?.machine).toBe(243);
    expect(image.segments).toEqual([
      { start: 0x8000_0000n, end: 0x8000_1000n, stored: 0x1000n, origin: 'guest.elf, segment 0' },
      { start: 0x8000_2000n, end: 0x8000_3000n, stored: 0x800n, origin: 'guest.elf, segment 1' },
    ]);
    compareWithReference(image.memory, two, interestingGroups(two));
  });

  test('more than 65534 program headers are counted in section 0', () => {
    const many = Array.from({ length: 70_000 }, (_, i) => ({
      physical: BigInt(i) * 16n,
      data: Uint8Array.of(i & 255, i >> 8, i >> 16, 1, 2, 3, 4, 5),
    }));
    const { memory, segments } = readElfCore(buildElf(many, { bits, extended: true }));
    expect(segments).toHaveLength(70_000);
    for (const i of [0, 1, 0xfffe, 0xffff, 0x1_0000, 69_999]) {
      expect(readWord(memory, phys(i * 16), 4)).toBe(BigInt(i) + 0x100_0000n);
      expect(memory.window(i * 16 + 8)).toBeUndefined();
    }
  });

  test('a file cut anywhere gives a typed error', () => {
    const bytes = buildElf(two, { bits, extended: true });
    for (let length = 0; length < 400; length++) {
      const rule = onlyImageErrors(() => readElfCore(bytes.slice(0, length)));
      expect(rule).toBe(length < 4 ? 'not-elf' : 'elf-truncated');
    }
    failsWith('elf-truncated', () => readElfCore(bytes.subarray(0, -1)));
  });

  test('damaged headers give typed errors or another image, never anything else', () => {
    const bytes = buildElf(two, { bits, extended: true });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(300), fc.constantFrom(0, 1, 4, 0x7f, 0x80, 0xff)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const damaged = bytes.slice();
          for (const [at, value] of changes) damaged[at] = value;
          onlyImageErrors(() => {
            const { memory, segments } = readElfCore(damaged);
            for (const { start } of segments) memory.window(Number((start + 7n) & ~7n));
          });
        },
      ),
      { numRuns: 2000 },
    );
  });
});

test('memory that QEMU left out (offset of all ones) is no memory', () => {
  const left: readonly BuiltSegment[] = [
    { physical: 0x1000n, data: pattern(16, 1) },
    { physical: 0x2000n, data: new Uint8Array(), zeros: 0x1000n, offset: (1n << 64n) - 1n },
    { physical: 0x4000n, data: new Uint8Array(), zeros: 0x1000n, offset: 0x7777_7777n },
  ];
  const { memory, elf } = readElfCore(buildElf(left));
  expect(elf?.unstored).toEqual([{ start: 0x2000n, end: 0x3000n }]);
  expect(memory.window(0x2000)).toBeUndefined();
  expect(readWord(memory, phys(0x4ff8))).toBe(0n);
});

test('zero fill of any size costs nothing', () => {
  const { memory } = readElfCore(buildElf([{ physical: 0n, data: pattern(8, 1), zeros: (1n << 56n) - 8n }]));
  expect(readWord(memory, phys(0))).not.toBe(0n);
  expect(readWord(memory, phys((1n << 56n) - 8n))).toBe(0n);
  expect(memory.cachedBytes).toBe(0);
});

test('notes are located, other program headers and empty segments ignored', () => {
  const bytes = buildElf([
    { physical: 0n, data: pattern(20, 1), type: 4 },
    { physical: 0x1000n, data: pattern(8, 2) },
    { physical: 0x1000n, data: pattern(8, 3), type: 2 },
    { physical: 0x1000n, data: new Uint8Array() },
  ]);
  const layout = readElfLayout(bufferSource(bytes));
  const start = 64 + 4 * 56;
  expect(layout.notes).toEqual([{ start, end: start + 20 }]);
  expect(layout.loads.map(({ index }) => index)).toEqual([1]);
});

describe('refused', () => {
  test('foreign files, with their first bytes', () => {
    const error = failsWith('not-elf', () => readElfCore(Uint8Array.of(0x4b, 0x44, 0x55, 0x4d, 0x50)));
    expect(error.values).toEqual({ bytes: '4b 44 55 4d 50' });
    failsWith('not-elf', () => readElfCore(new Uint8Array()));
  });

  test('other classes, byte orders, versions and types', () => {
    failsWith('elf-class', () => readElfCore(patched(4, 3)));
    failsWith('elf-big-endian', () => readElfCore(patched(5, 2)));
    failsWith('elf-version', () => readElfCore(patched(6, 2)));
    expect(failsWith('elf-type', () => readElfCore(patched(16, 2))).values).toEqual({ type: '0x2' });
  });

  test('contradicting headers', () => {
    failsWith('elf-header', () => readElfCore(patched(54, 55)));
    failsWith('elf-header', () => readElfCore(patched(56, 0xff, 0xff)));
    failsWith('elf-no-memory', () => readElfCore(buildElf([])));
    const many = buildElf(two, { extended: true });
    many.set([0xff, 0xff, 0xff, 0xff], 64 + 2 * 56 + 44);
    failsWith('elf-too-many-segments', () => readElfCore(many));
    // p_memsz of the first segment below its p_filesz
    failsWith('elf-segment-size', () => readElfCore(patched(64 + 40, 0xff, 0x0f)));
  });

  test('segments that overlap, naming both', () => {
    const overlapping = buildElf([
      { physical: 0x3000n, data: pattern(16, 1) },
      { physical: 0x1000n, data: pattern(8, 2), zeros: 0x1ff9n },
    ]);
    const error = failsWith('segment-overlap', () => readElfCore(overlapping, { name: 'a.elf' }));
    expect(error.values).toEqual({
      first: 'a.elf, segment 1',
      firstStart: '0x1000',
      firstEnd: '0x3001',
      second: 'a.elf, segment 0',
      secondStart: '0x3000',
      secondEnd: '0x3010',
    });
  });

  test('segments above 2^56', () => {
    const last = (1n << 56n) - 8n;
    expect(readElfCore(buildElf([{ physical: last, data: pattern(8, 1) }])).segments).toHaveLength(1);
    failsWith('segment-address', () => readElfCore(buildElf([{ physical: last, data: pattern(9, 1) }])));
    failsWith('segment-address', () => readElfCore(buildElf([{ physical: (1n << 64n) - 8n, data: pattern(8, 1) }])));
  });
});

test('page tables of a real kernel', () => {
  const file = gunzipSync(readFileSync(new URL('fixtures/riscv64-tables.elf.gz', import.meta.url)));
  const { memory, segments } = readElfCore(file);
  expect(segments.map(({ start, end }) => [start, end])).toEqual([
    [0x8100_2000n, 0x8100_3000n],
    [0x8100_4000n, 0x8100_6000n],
    [0x81fc_2000n, 0x81fc_4000n],
    [0x81fc_6000n, 0x81fc_a000n],
  ]);
  // The last entry of early_pg_dir leads to early_pud, both inside the image: pointer entries hold V alone.
  const root = 0x8100_5000;
  const entry = readWord(memory, phys(root + 511 * 8));
  expect(entry & 0x3ffn).toBe(1n);
  expect(memory.window(Number((entry >> 10n) << 12n))).toBeDefined();
  expect(() => memory.writable(root)).toThrow(expect.objectContaining({ name: 'ReadOnlyMemoryError' }));
  expect(() => memory.window(0x1000)).not.toThrow(ImageError);
});
