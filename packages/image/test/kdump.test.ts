/** Crash dumps: kdump-compressed and flattened files. */
import { phys, readWord } from '@pagefold/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Image, readImage } from '../src/index.ts';
import { onlyImageErrors, rejectsWith } from './image-checks.ts';
import {
  type BuiltPage,
  buildFlattened,
  buildKdump,
  FLAGS,
  type Method,
  PAGES,
  type PageName,
} from './kdump-builder.ts';

const METHODS = Object.keys(FLAGS) as Method[];
const NAMES = Object.keys(PAGES) as PageName[];

/** A page as the memory has it; `undefined` where there is none. */
function pageAt({ memory }: Image, frame: number): Uint8Array | undefined {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < 4096; at += 8) {
    if (memory.window(frame * 4096 + at) === undefined) return undefined;
    view.setBigUint64(at, readWord(memory, phys(frame * 4096 + at)), true);
  }
  return bytes;
}

const pages = fc
  .uniqueArray(
    fc.record({
      frame: fc.oneof(fc.nat(40), fc.integer({ min: 500, max: 1060 })),
      page: fc.constantFrom(...NAMES),
      method: fc.constantFrom(...METHODS),
    }),
    { selector: ({ frame }) => frame, minLength: 1, maxLength: 40 },
  )
  .map((list): BuiltPage[] => list.sort((a, b) => a.frame - b.frame));

describe('a kdump-compressed dump', () => {
  it.each(METHODS.flatMap((method) => NAMES.map((page) => [method, page] as const)))(
    'holds pages that are stored as %s: %s',
    async (method, page) => {
      const image = await readImage(buildKdump([{ frame: 3, page, method }]));
      expect(image.kind).toBe('kdump');
      expect(image.segments).toMatchObject([{ start: 0x3000n, end: 0x4000n, stored: 0x1000n }]);
      expect(pageAt(image, 3)).toEqual(PAGES[page]);
      expect([image.memory.window(0x2ff8), image.memory.window(0x4000)]).toEqual([undefined, undefined]);
    },
  );

  it('holds just the pages that its second bitmap names', async () => {
    await fc.assert(
      fc.asyncProperty(
        pages,
        fc.constantFrom(32 as const, 64 as const),
        fc.constantFrom(1, 5, 6),
        fc.option(fc.tuple(fc.nat(1100), fc.nat(1100)), { nil: undefined }),
        async (built, bits, version, ends) => {
          const split =
            ends === undefined || version < 2 ? undefined : ([Math.min(...ends), Math.max(...ends)] as const);
          const bytes = buildKdump(built, { bits, version, ...(split === undefined ? {} : { split }) });
          const [first, end] = split ?? [0, 0x1_0000];
          const own = built.filter(({ frame }) => frame >= first && frame < end);
          if (own.length === 0) {
            await rejectsWith('empty-image', readImage(bytes));
            return;
          }
          const image = await readImage(bytes);
          for (const { frame, page } of built) {
            expect(pageAt(image, frame)).toEqual(own.some((one) => one.frame === frame) ? PAGES[page] : undefined);
          }
          const held = image.segments.reduce((sum, { start, end: last }) => sum + Number(last - start) / 4096, 0);
          expect(held).toBe(own.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is refused or read in part wherever it is cut', async () => {
    const whole = buildKdump(
      METHODS.map((method, frame) => ({ frame, page: 'text', method })),
      { frames: 64 },
    );
    await rejectsWith('kdump-header', readImage(whole.subarray(0, 500)));
    await rejectsWith('kdump-truncated', readImage(whole.subarray(0, 4 * 4096 - 1)));
    await rejectsWith('kdump-truncated', readImage(whole.subarray(0, 4 * 4096 + 24 * METHODS.length - 1)));
    const image = await readImage(whole.subarray(0, -1));
    expect(onlyImageErrors(() => image.memory.window(0))).toBe('kdump-truncated');
  });

  it('gives only typed errors when it is damaged', async () => {
    const whole = buildKdump(
      METHODS.flatMap((method, i) => NAMES.map((page, j) => ({ frame: i * 8 + j, page, method }))),
      { frames: 64 },
    );
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(damage, async (changes) => {
        const bytes = whole.slice();
        for (const [at, value] of changes) bytes[at] = value;
        const image = await readImage(bytes, { base: 0n }).catch((error: unknown) => {
          if ((error as Error).name === 'ImageError') return undefined;
          throw error;
        });
        if (image === undefined) return;
        for (let frame = 0; frame < 48; frame++) onlyImageErrors(() => image.memory.window(frame * 4096));
      }),
      { numRuns: 300 },
    );
  });

  it('names the method, the address and the place of a page that is damaged', async () => {
    const bytes = buildKdump([{ frame: 5, page: 'text', method: 'lzo' }], { frames: 64 });
    bytes[4 * 4096 + 24] = 0xff;
    bytes[4 * 4096 + 25] = 0xff;
    const image = await readImage(bytes, { name: 'vmcore' });
    const read = () => image.memory.window(0x5000);
    expect(read).toThrow(/the lzo data of a page .*: origin vmcore, address 0x5000, offset 0x4018/);
    expect(onlyImageErrors(read)).toBe('kdump-page');
  });
});

describe('a flattened file', () => {
  it('is what its records say, later ones before earlier ones', async () => {
    const record = fc.record({ at: fc.nat(300), bytes: fc.uint8Array({ maxLength: 60 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 20 }), async (records) => {
        const size = Math.max(0, ...records.map(({ at, bytes }) => (bytes.length === 0 ? 0 : at + bytes.length)));
        const expected = new Uint8Array(Math.ceil(size / 8) * 8);
        for (const { at, bytes } of records) if (bytes.length > 0) expected.set(bytes, at);
        // A last record makes it whole groups of eight bytes that are no other kind of dump.
        const all = [{ at: 0, bytes: new Uint8Array(expected.length) }, ...records];
        const flat = buildFlattened(all);
        if (expected.length === 0) {
          await rejectsWith('empty-image', readImage(flat, { base: 0n }));
          return;
        }
        const { memory } = await readImage(flat, { base: 0n });
        const view = new DataView(expected.buffer);
        for (let at = 0; at < expected.length; at += 8) {
          expect(readWord(memory, phys(at))).toBe(view.getBigUint64(at, true));
        }
      }),
    );
  });

  it('may hold a dump of any kind', async () => {
    const dump = buildKdump([{ frame: 9, page: 'table', method: 'zlib' }]);
    const flat = buildFlattened([
      { at: 4096, bytes: dump.subarray(4096) },
      { at: 0, bytes: dump.subarray(0, 4096) },
    ]);
    const image = await readImage(flat);
    expect([image.kind, pageAt(image, 9)]).toEqual(['kdump', PAGES.table]);
  });

  it('is refused if it is cut off or of another kind', async () => {
    const flat = buildFlattened([{ at: 0, bytes: Uint8Array.from({ length: 8 }, (_, i) => i) }]);
    for (let size = 16; size < flat.length; size += size < 32 || size > 4080 ? 1 : 500) {
      await rejectsWith('flat-truncated', readImage(flat.subarray(0, size), { base: 0n }));
    }
    const other = flat.slice();
    other[31] = 2;
    await rejectsWith('flat-header', readImage(other, { base: 0n }));
    const negative = flat.slice();
    negative[4096 + 8] = 0x80;
    await rejectsWith('flat-header', readImage(negative, { base: 0n }));
    expect((await readImage(flat, { kind: 'raw', base: 0n })).segments).toMatchObject([{ end: BigInt(flat.length) }]);
  });
});
