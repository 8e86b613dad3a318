import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { phys, readWord } from '@pagefold/core';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { readElfCore } from '../src/index.ts';
import { openImage } from '../src/node/index.ts';
import { temporaryFile } from '../src/node/temporary-file.ts';
import { buildElf, pattern } from './elf-builder.ts';
import { compareWithReference, failsWith, interestingGroups, rejectsWith } from './image-checks.ts';

const folder = mkdtempSync(join(tmpdir(), 'pagefold-test-'));
const spill = join(folder, 'spill');
beforeEach(() => mkdirSync(spill, { recursive: true }));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Files that this process has open, where the system tells. */
function openFiles(): number {
  return existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0;
}

const segments = [
  { physical: 0x8000_0000n, data: pattern(0x1_8000, 1) },
  { physical: 0x9000_0000n, data: pattern(0x801, 2), zeros: 0x2000n, padding: 3 },
];
const elf = buildElf(segments);
const groups = interestingGroups(segments);

describe('one file', () => {
  test('an ELF core is read on demand', async () => {
    const image = await openImage(file('a.elf', elf));
    expect(image.kind).toBe('elf-core');
    expect(image.elf?.loads).toHaveLength(2);
    expect(image.parts).toMatchObject([{ kind: 'elf-core', storage: 'file' }]);
    expect(image.memory.cachedBytes).toBe(0);
    compareWithReference(image.memory, segments, groups);
    expect(image.memory.window(0x8000_0008)?.words).toHaveLength(0x4000);
    image.close();
  });

  test('closing releases the file; windows that were handed out stay valid', async () => {
    const path = file('a.elf', elf);
    const before = openFiles();
    const image = await openImage(path);
    const window = image.memory.window(0x8000_0000);
    const words = window?.words.slice();
    image.close();
    image.close();
    expect(openFiles()).toBe(before);
    failsWith('image-closed', () => image.memory.window(0x8000_0000));
    expect(window?.words).toEqual(words);
  });

  test('a raw file needs a base', async () => {
    const path = file('a.raw', pattern(0x1_2345, 1));
    expect((await rejectsWith('raw-needs-base', openImage(path))).values).toMatchObject({ origin: path });
    using image = await openImage({ path, base: 0x8000_0003n });
    expect(image.kind).toBe('raw');
    const raw = [{ physical: 0x8000_0003n, data: pattern(0x1_2345, 1) }];
    compareWithReference(image.memory, raw, interestingGroups(raw));
  });

  test('a file that shrinks gives a typed error', async () => {
    const path = file('shrinks.elf', elf);
    using image = await openImage(path);
    truncateSync(path, 0x1000);
    failsWith('file-changed', () => image.memory.window(0x8001_0000));
  });

  test('files that cannot be read', async () => {
    const error = await rejectsWith('file-unreadable', openImage(join(folder, 'missing')));
    expect(error.values).toMatchObject({ code: 'ENOENT' });
    expect(error.cause).toBeInstanceOf(Error);
    await rejectsWith('file-kind', openImage(folder));
    await rejectsWith('empty-image', openImage({ path: file('empty', new Uint8Array()), base: 0n }));
    await rejectsWith('elf-truncated', openImage(file('cut.elf', elf.subarray(0, 0x1000))));
    await rejectsWith('not-elf', openImage({ path: file('foreign', pattern(64, 1)), kind: 'elf-core' }));
    await rejectsWith('option-range', openImage(file('a.elf', elf), { inflateBytes: -1 }));
    await rejectsWith('empty-image', openImage([]));
  });
});

describe('several files', () => {
  test('are one memory', async () => {
    const inputs = [
      file('a.elf', elf),
      { path: file('b.raw', pattern(0x1000, 3)), base: 0x8001_8000n },
      { path: file('c.raw.gz', gzipSync(pattern(0x1001, 4))), base: 0x1000n },
    ];
    using image = await openImage(inputs);
    expect(image.kind).toBe('combined');
    expect(image.elf).toBeUndefined();
    expect(image.parts.map(({ storage }) => storage)).toEqual(['file', 'file', 'memory']);
    const all = [
      ...segments,
      { physical: 0x8001_8000n, data: pattern(0x1000, 3) },
      { physical: 0x1000n, data: pattern(0x1001, 4) },
    ];
    compareWithReference(image.memory, all, interestingGroups(all));
  });

  test('must not overlap; nothing stays open after a failure', async () => {
    const before = openFiles();
    const other = { path: file('b.raw', pattern(0x1000, 3)), base: 0x8000_1000n };
    const error = await rejectsWith('segment-overlap', openImage([file('a.elf', elf), other]));
    expect(error.message).toContain('a.elf, segment 0');
    expect(error.message).toContain('b.raw');
    await rejectsWith('file-unreadable', openImage([other, file('a.elf', elf), join(folder, 'missing')]));
    expect(openFiles()).toBe(before);
  });
});

describe('gzip files', () => {
  const options = { inflateBytes: 0x8000, temporaryDirectory: spill };

  test('up to the limit are inflated into memory', async () => {
    using image = await openImage(file('a.elf.gz', gzipSync(elf)), { inflateBytes: elf.length });
    expect(image.parts[0]?.storage).toBe('memory');
    compareWithReference(image.memory, segments, groups);
    // One window without a copy: the data of the first segment are aligned in the file.
    expect(image.memory.window(0x8000_0000)?.words).toHaveLength(0x6000);
  });

  test('beyond the limit go into a temporary file, which close removes', async () => {
    const before = openFiles();
    const image = await openImage(file('a.elf.gz', gzipSync(elf)), options);
    expect(image.parts[0]?.storage).toBe('temporary-file');
    compareWithReference(image.memory, segments, groups);
    image.close();
    expect(readdirSync(spill)).toEqual([]);
    expect(openFiles()).toBe(before);
  });

  test('several members, also of unequal length and with zeros behind', async () => {
    const cut = [0, 1, 70, 0x5000, 0xa000, elf.length];
    const members = cut.slice(1).map((end, i) => gzipSync(elf.subarray(cut[i], end)));
    const path = file('members.gz', Buffer.concat([...members, new Uint8Array(512)]));
    for (const inflateBytes of [0, 69, 0x8000, elf.length]) {
      using image = await openImage(path, { ...options, inflateBytes });
      compareWithReference(image.memory, segments, groups);
    }
  });

  test('members that meet the border of a read', async () => {
    const data = pattern(0x4_0000, 1);
    for (const short of [0, 1, 2, 3, 9, 10, 18, 19]) {
      // The first member is stored, so that its length can be chosen: the second one begins `short` before the border.
      let length = data.length - 100;
      while (gzipSync(data.subarray(0, length), { level: 0 }).length < data.length - short) length++;
      const head = gzipSync(data.subarray(0, length), { level: 0 });
      expect(head).toHaveLength(data.length - short);
      const path = file('border.gz', Buffer.concat([head, gzipSync(pattern(99, 2)), gzipSync(pattern(99, 3))]));
      using image = await openImage({ path, base: 0n });
      expect(image.segments[0]?.stored).toBe(BigInt(length + 198));
    }
  });

  test('zeros are left out of the temporary file, not out of the image', async () => {
    const path = file('zeros.gz', gzipSync(Buffer.concat([pattern(16, 1), new Uint8Array(0x20_0000)])));
    using image = await openImage({ path, base: 0n }, { ...options, inflateBytes: 0 });
    expect(image.segments[0]?.end).toBe(0x20_0010n);
    expect(readWord(image.memory, phys(0x20_0008))).toBe(0n);
    expect(readWord(image.memory, phys(8))).not.toBe(0n);
  });

  test('cut or damaged files, and too much', async () => {
    const bytes = gzipSync(elf);
    for (const length of [3, 10, 18, 100, bytes.length - 9, bytes.length - 1]) {
      await rejectsWith('gzip-corrupt', openImage(file('cut.gz', bytes.subarray(0, length)), options));
    }
    const damaged = Uint8Array.from(bytes);
    damaged[bytes.length - 6] = (damaged[bytes.length - 6] as number) ^ 1;
    await rejectsWith('gzip-corrupt', openImage(file('damaged.gz', damaged), options));
    await rejectsWith('gzip-corrupt', openImage(file('junk.gz', Buffer.concat([bytes, pattern(9, 1)])), options));
    await rejectsWith('gzip-limit', openImage(file('a.gz', bytes), { ...options, diskBytes: elf.length - 1 }));
    await rejectsWith('raw-needs-base', openImage(file('raw.gz', gzipSync(pattern(99, 1))), options));
    const nowhere = { ...options, temporaryDirectory: join(folder, 'missing') };
    await rejectsWith('file-unreadable', openImage(file('a.gz', bytes), nowhere));
    expect(readdirSync(spill)).toEqual([]);
  });

  test('a real capture: the same as from a buffer', async () => {
    const path = new URL('fixtures/riscv64-tables.elf.gz', import.meta.url).pathname;
    using inMemory = await openImage(path);
    using onDisk = await openImage(path, { ...options, inflateBytes: 0 });
    expect(inMemory.segments).toEqual(onDisk.segments);
    for (const { start, end } of inMemory.segments) {
      for (let at = start; at < end; at += 8n) {
        expect(readWord(onDisk.memory, phys(at))).toBe(readWord(inMemory.memory, phys(at)));
      }
    }
  });
});

describe('temporary files', () => {
  test('have no name where the system allows it', () => {
    const { fd, path, close } = temporaryFile(spill);
    writeSync(fd, pattern(4, 1), 0, 4, 0);
    const read = new Uint8Array(4);
    readSync(fd, read, 0, 4, 0);
    expect(read).toEqual(pattern(4, 1));
    if (process.platform !== 'win32') expect(path).toBeUndefined();
    close();
    close();
    expect(readdirSync(spill)).toEqual([]);
  });

  test('elsewhere go on close and on exit', () => {
    const refuse = (): void => {
      throw new Error('busy');
    };
    const { path, close } = temporaryFile(spill, refuse);
    expect(path === undefined ? false : existsSync(path)).toBe(true);
    const listeners = process.listenerCount('exit');
    const second = temporaryFile(spill, refuse);
    expect(process.listenerCount('exit')).toBe(listeners);
    process.listeners('exit').at(-1)?.call(process, 0);
    expect(readdirSync(spill)).toEqual([]);
    expect(process.listenerCount('exit')).toBe(listeners - 1);
    close();
    second.close();
  });
});

describe('large files', () => {
  const LENGTH = 0x1_0000_0000;
  const MIB = 0x10_0000;

  function sparse(name: string, head: Uint8Array, tail: Uint8Array): string {
    const path = join(folder, name);
    const fd = openSync(path, 'w');
    ftruncateSync(fd, LENGTH);
    writeSync(fd, head, 0, head.length, 0);
    writeSync(fd, tail, 0, tail.length, LENGTH - tail.length);
    closeSync(fd);
    return path;
  }

  test('a 4 GiB core is not loaded', async () => {
    const header = buildElf([{ physical: 0x8000_0000n, data: new Uint8Array() }]).slice();
    const bytes = BigInt(LENGTH - 0x1000);
    const view = new DataView(header.buffer);
    view.setBigUint64(64 + 8, 0x1000n, true);
    view.setBigUint64(64 + 32, bytes, true);
    view.setBigUint64(64 + 40, bytes, true);
    const path = sparse('big.elf', header, pattern(0x1000, 1));
    const before = process.memoryUsage();
    using image = await openImage(path, { cacheBytes: 16 * MIB });
    const end = 0x8000_0000 + Number(bytes);
    const expected = readElfCore(buildElf([{ physical: 0n, data: pattern(0x1000, 1) }])).memory;
    for (let at = 0; at < 0x1000; at += 8) {
      expect(readWord(image.memory, phys(end - 0x1000 + at))).toBe(readWord(expected, phys(at)));
    }
    for (let at = 0x8000_0000; at < end; at += MIB) image.memory.window(at);
    expect(image.memory.cachedBytes).toBeLessThanOrEqual(16 * MIB);
    const after = process.memoryUsage();
    expect(after.rss - before.rss).toBeLessThan(512 * MIB);
    expect(image.memory.window(end)).toBeUndefined();
    rmSync(path);
  });

  test('a 4 GiB raw file is not loaded', async () => {
    const path = sparse('big.raw', pattern(8, 1), pattern(8, 2));
    const before = process.memoryUsage().rss;
    using image = await openImage({ path, base: 0x4000_0000n });
    expect(image.memory.window(0x4000_0000)?.words[0]).toBe(new Uint32Array(pattern(8, 1).buffer)[0]);
    expect(image.memory.window(0x4000_0000 + LENGTH - 8)?.words.at(-1)).toBe(new Uint32Array(pattern(8, 2).buffer)[1]);
    expect(image.memory.cachedBytes).toBe(0x2_0000);
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * MIB);
    rmSync(path);
  });
});

test('a pipe is refused, not waited for', async () => {
  const path = join(folder, 'pipe');
  if (spawnSync('sh', ['-c', 'mkfifo "$0"', path]).status !== 0) return;
  await rejectsWith('file-kind', openImage(path));
});

test('the browser-safe entry uses nothing of Node', () => {
  const sources = new URL('../src/', import.meta.url);
  for (const name of readdirSync(sources).filter((entry) => entry.endsWith('.ts'))) {
    const text = readFileSync(new URL(name, sources), 'utf8');
    expect(text, name).not.toMatch(/from '(node:|\.\/node\/|(?!@pagefold\/core'|fflate'|fzstd'|\.\/))/);
    expect(text, name).not.toMatch(/\b(process|Buffer|require|setImmediate|__dirname)\b[.(]/);
  }
});
