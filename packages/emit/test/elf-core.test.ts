import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSpace, mappedRanges, phys, readWord, SparseMemory } from '@pagefold/core';
import { ImageMemory, readElfCore } from '@pagefold/image';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EmitError, elfCore, type MemoryPiece, readPieces, tablePages } from '../src/index.ts';
import { captureSpace, captureSpaces, oddSpace, smallSpace } from './spaces.ts';
import { runTool, toolMissing } from './tools.ts';

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);
}

function failsWith(rule: string, action: () => unknown): void {
  expect(action).toThrow(EmitError);
  try {
    action();
  } catch (error) {
    expect((error as EmitError).rule).toBe(rule);
  }
}

/** Comparing long arrays element by element, as `toEqual` does, takes seconds. */
function same(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}

/** Every byte of memory as the reader gives it back. */
function readBack(file: Uint8Array): MemoryPiece[] {
  const { memory, segments } = readElfCore(file);
  expect(memory).toBeInstanceOf(ImageMemory);
  return readPieces(
    memory,
    segments.map(({ start, end }) => ({ start: start & -8n, end: (end + 7n) & -8n })),
    { missing: 'skip' },
  );
}

const gaps = fc.array(fc.record({ gap: fc.nat(0x3000), length: fc.nat(0x300), seed: fc.nat(255) }), { maxLength: 12 });

describe.each([32, 64] as const)('ELF%i cores', (bits) => {
  test('random pieces come back byte by byte, whatever their order', () => {
    fc.assert(
      fc.property(gaps, fc.nat(0xffff), fc.constantFrom(8, 64, 4096), (list, machine, alignBytes) => {
        let next = 0x8000_0000;
        const pieces = list.map(({ gap, length, seed }) => {
          const address = next + gap * 8;
          next = address + length * 8;
          return { address: phys(address), bytes: pattern(length * 8, seed) };
        });
        const full = pieces.filter(({ bytes }) => bytes.length > 0);
        const file = elfCore([...pieces].reverse(), { machine, bits, alignBytes });
        expect(same(file, elfCore(pieces, { machine, bits, alignBytes }))).toBe(true);
        if (full.length === 0) return;
        const image = readElfCore(file);
        expect(image.elf?.machine).toBe(machine);
        expect(image.elf?.bits).toBe(bits);
        expect(image.elf?.loads.map(({ physical, virtual }) => [physical, virtual])).toEqual(
          full.map(({ address }) => [address, 0n]),
        );
        for (const { offset } of image.elf?.loads ?? []) expect(offset % alignBytes).toBe(0);
        for (const { address, bytes } of full) {
          const [back] = readPieces(image.memory, [{ start: address, end: address + BigInt(bytes.length) }]);
          expect(same(back?.bytes, bytes)).toBe(true);
        }
      }),
    );
  });

  test('notes stand in front of the memory, padded to four bytes', () => {
    const notes = [
      { name: 'CORE', type: 1, bytes: pattern(5, 1) },
      { name: 'PAGEFOLD', type: 0xffff_fffe, bytes: pattern(0, 2) },
    ];
    const file = elfCore([{ address: phys(0x1000), bytes: pattern(16, 3) }], { machine: 243, bits, notes });
    const [note] = readElfCore(file).elf?.notes ?? [];
    const view = new DataView(file.buffer, note?.start, (note?.end ?? 0) - (note?.start ?? 0));
    expect([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)]).toEqual([5, 5, 1]);
    expect(view.byteLength).toBe(12 + 8 + 8 + 12 + 12);
    expect(view.getUint32(36, true)).toBe(0xffff_fffe);
  });

  test('more than 65534 segments are counted in section 0', () => {
    const pieces = Array.from({ length: 65_536 }, (_, i) => ({ address: phys(i * 16), bytes: pattern(8, i) }));
    for (const count of [65_534, 65_535, 65_536]) {
      const image = readElfCore(elfCore(pieces.slice(0, count), { machine: 62, bits, alignBytes: 8 }));
      expect(image.segments).toHaveLength(count);
      expect(readWord(image.memory, phys((count - 1) * 16))).toBe(
        new DataView(pattern(8, count - 1).buffer).getBigUint64(0, true),
      );
    }
  });

  test.skipIf(toolMissing('readelf'))('readelf agrees', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pagefold-'));
    try {
      const file = join(folder, 'core');
      const pieces = [
        { address: phys(0x8000_0000), bytes: pattern(0x1000, 1) },
        { address: phys(0x9000_0000), bytes: pattern(0x2000, 2) },
      ];
      const notes = [{ name: 'CORE', type: 1, bytes: pattern(8, 1) }];
      writeFileSync(file, elfCore(pieces, { machine: 243, bits, notes }));
      const text = runTool('readelf', ['-hlW', file]);
      expect(text).toMatch(/CORE \(Core file\)/);
      expect(text).toMatch(/RISC-V/);
      const loads = [...text.matchAll(/^ +LOAD +(\S+) (\S+) (\S+) (\S+) (\S+) /gm)].map((row) =>
        row.slice(1).map(Number),
      );
      expect(loads.map(([, ...rest]) => rest)).toEqual([
        [0, 0x8000_0000, 0x1000, 0x1000],
        [0, 0x9000_0000, 0x2000, 0x2000],
      ]);
      expect(text).not.toMatch(/[Ww]arning|[Ee]rror/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('what cannot be written', () => {
  const piece = (address: bigint, length: number): MemoryPiece => ({ address, bytes: new Uint8Array(length) });

  test('is refused by name', () => {
    failsWith('piece-overlap', () => elfCore([piece(0x1000n, 9), piece(0x1008n, 8)], { machine: 1 }));
    failsWith('piece-address', () => elfCore([piece(0xffff_fff8n, 9)], { machine: 1, bits: 32 }));
    failsWith('piece-address', () => elfCore([piece((1n << 56n) - 8n, 9)], { machine: 1 }));
    failsWith('piece-address', () => elfCore([piece(-1n, 9)], { machine: 1 }));
    failsWith('option', () => elfCore([], { machine: 0x1_0000 }));
    failsWith('option', () => elfCore([], { machine: 1.5 }));
    failsWith('option', () => elfCore([], { machine: 1, alignBytes: 24 }));
    failsWith('option', () => elfCore([], { machine: 1, notes: [{ name: 'ä', type: 1, bytes: new Uint8Array() }] }));
    const memory = new SparseMemory([{ start: 0n, end: 0x1000n }]);
    failsWith('no-memory', () => readPieces(memory, [{ start: 0n, end: 0x1008n }]));
    failsWith('range-align', () => readPieces(memory, [{ start: 4n, end: 8n }]));
    failsWith('range-align', () => readPieces(memory, [{ start: 8n, end: 8n }]));
    failsWith('range-large', () => readPieces(memory, [{ start: 0n, end: 1n << 40n }]));
  });
});

describe('reading pieces', () => {
  test('holes split a range, touching ranges become one piece', () => {
    const memory = new SparseMemory([
      { start: 0x10n, end: 0x20n },
      { start: 0x28n, end: 0x1_0030n },
    ]);
    const pieces = readPieces(
      memory,
      [
        { start: 0x1_0000n, end: 0x1_0040n },
        { start: 0n, end: 0x1_0000n },
      ],
      {
        missing: 'skip',
      },
    );
    expect(pieces.map(({ address, bytes }) => [address, bytes.length])).toEqual([
      [0x10n, 0x10],
      [0x28n, 0x1_0008],
    ]);
  });
});

describe('tables as an ELF core', () => {
  test('the pages of a capture come back as the pages that it was made of', () => {
    const spaces = captureSpaces();
    const pages = tablePages(spaces);
    const back = readBack(elfCore(pages, { machine: 243 }));
    expect(back.map(({ address }) => address)).toEqual(pages.map(({ address }) => address));
    pages.forEach(({ bytes }, i) => {
      expect(same(back[i]?.bytes, bytes)).toBe(true);
    });
    expect(pages.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(234 * 4096);
  });

  test('what is mapped stays the same', () => {
    const all = { start: 0n, end: 1n << 64n };
    for (const space of [captureSpace('kernel'), captureSpace('user'), smallSpace(), oddSpace()]) {
      const { memory } = readElfCore(elfCore(tablePages(space), { machine: 0 }));
      const again = createSpace(
        memory,
        space.roots.map(({ paging, address, label }) => ({ paging, address: BigInt(address), label })),
      );
      expect(mappedRanges(again, all)).toEqual(mappedRanges(space, all));
    }
  });

  test('small tables bring their page along unless told not to', () => {
    expect(tablePages(oddSpace()).map(({ address, bytes }) => [address, bytes.length])).toEqual([
      [0x4000_4000n, 0x5000],
    ]);
    expect(tablePages(oddSpace(), { pageBytes: 8 }).map(({ address, bytes }) => [address, bytes.length])).toEqual([
      [0x4000_4000n, 0x4000],
      [0x4000_8400n, 0x400],
      [0x4000_8c00n, 0x400],
    ]);
  });
});
