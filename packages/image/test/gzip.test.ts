import { gzipSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { gunzip, isGzip, readImage } from '../src/index.ts';
import { buildElf, pattern } from './elf-builder.ts';
import { rejectsWith } from './image-checks.ts';

afterEach(() => vi.unstubAllGlobals());

/** Equality that does not look at every byte as a value of its own. */
function same(actual: Uint8Array, expected: Uint8Array): void {
  expect(Buffer.compare(actual, expected)).toBe(0);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A stream as the standard wants it, and as browsers have it: one member, and an error for anything behind it. */
class StrictStream extends TransformStream<Uint8Array, Uint8Array> {
  constructor() {
    const taken: Uint8Array[] = [];
    super({
      transform: (chunk) => {
        taken.push(chunk.slice());
      },
      flush: (controller) => {
        const input = concat(...taken);
        const deflated = input.subarray(10);
        const { buffer, engine } = inflateRawSync(deflated, { info: true }) as unknown as {
          buffer: Uint8Array;
          engine: { bytesWritten: number };
        };
        const rest = deflated.length - engine.bytesWritten - 8;
        if (rest !== 0) throw new TypeError('junk found after end of compressed data');
        if (buffer.length > 0) controller.enqueue(buffer);
      },
    });
  }
}

const members = [pattern(1000, 1), new Uint8Array(300_000), new Uint8Array(), pattern(70_000, 2)];

describe.each([
  ['of this host', undefined],
  ['that takes one member only', StrictStream],
])('with a stream %s', (_, stream) => {
  test('one member and several', async () => {
    if (stream !== undefined) vi.stubGlobal('DecompressionStream', stream);
    for (const member of members) same(await gunzip(gzipSync(member)), member);
    const all = concat(...members);
    same(await gunzip(concat(...members.map((member) => gzipSync(member)))), all);
  });

  test('a member that holds gzip headers of its own', async () => {
    if (stream !== undefined) vi.stubGlobal('DecompressionStream', stream);
    const inner = gzipSync(pattern(100, 1));
    const outer = gzipSync(concat(inner, inner, inner), { level: 0 });
    const end = gzipSync(pattern(5, 3));
    expect(await gunzip(concat(outer, end, outer))).toEqual(
      concat(inner, inner, inner, pattern(5, 3), inner, inner, inner),
    );
  });

  test('data cut anywhere', async () => {
    if (stream !== undefined) vi.stubGlobal('DecompressionStream', stream);
    const bytes = gzipSync(pattern(40, 1));
    for (let length = 0; length < bytes.length; length++) {
      // The test's strict stream does not look at the trailer.
      if (stream !== undefined && length >= bytes.length - 8) continue;
      await rejectsWith('gzip-corrupt', gunzip(bytes.subarray(0, length)));
    }
  });

  test('the limit', async () => {
    if (stream !== undefined) vi.stubGlobal('DecompressionStream', stream);
    const bytes = concat(gzipSync(new Uint8Array(1000)), gzipSync(new Uint8Array(1000)));
    expect(await gunzip(bytes, 2000)).toHaveLength(2000);
    expect((await rejectsWith('gzip-limit', gunzip(bytes, 1999))).values).toHaveProperty('limit');
    await rejectsWith('gzip-limit', gunzip(gzipSync(new Uint8Array(50_000_000)), 1_000_000));
  });
});

test('damage gives a typed error or other bytes', async () => {
  const bytes = gzipSync(pattern(3000, 1));
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] as number) ^ change;
      const outcome = await gunzip(damaged).catch((error: unknown) => error);
      // Some header bytes (time, system) carry nothing; everything else is covered by the check sum.
      if (outcome instanceof Uint8Array) expect(outcome).toEqual(pattern(3000, 1));
      else expect(outcome).toMatchObject({ rule: 'gzip-corrupt' });
    }),
    { numRuns: 200 },
  );
});

test('something behind the last member', async () => {
  const error = await rejectsWith('gzip-corrupt', gunzip(concat(gzipSync(pattern(40, 1)), pattern(40, 2))));
  expect(error.cause).toBeDefined();
  await rejectsWith('gzip-corrupt', gunzip(pattern(40, 2)));
});

test('a host without the stream', async () => {
  vi.stubGlobal('DecompressionStream', undefined);
  await rejectsWith('gzip-unsupported', gunzip(gzipSync(pattern(40, 1))));
});

test('images are looked at behind the gzip', async () => {
  const elf = buildElf([{ physical: 0x1000n, data: pattern(8, 1) }]);
  expect((await readImage(gzipSync(elf))).kind).toBe('elf-core');
  const raw = gzipSync(pattern(100, 1));
  await rejectsWith('raw-needs-base', readImage(raw));
  expect((await readImage(raw, { base: 0n })).segments[0]?.stored).toBe(100n);
  expect((await readImage(raw, { base: 0n, kind: 'raw' })).segments[0]?.stored).toBe(BigInt(raw.length));
  await rejectsWith('gzip-limit', readImage(raw, { base: 0n, inflateBytes: 99 }));
  expect(isGzip(raw)).toBe(true);
});
