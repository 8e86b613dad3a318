/** Our side of the bench: the jobs that `reference.c` does too, on the same addresses and with the same checksums. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import {
  type AddressSpace,
  createSpace,
  type MappedRange,
  map,
  mappedRanges,
  type PhysAddr,
  phys,
  protect,
  SparseMemory,
  type TableAllocator,
  Translator,
  translate,
  UNMAPPED,
  unmap,
  type VirtRange,
} from '@pagefold/core';
import { readElfCore } from '@pagefold/image';
import { riscvPaging } from '@pagefold/riscv';

// These agree with reference.c.
const PAGES = 1 << 20;
const CALLS = 1 << 17;
const LOOKUPS = 4 << 20;
const VA = 0x40_0000_0000n;
const PA = 0x1_0000_0000n;
const ATTRIBUTES = 0xe7n;
const TABLES = 0x8000_0000;
const TABLE_BYTES = 2056 * 4096;
const SEED = 0x9e37_79b9;

/** What one run of a job took, and a way to its checksum (which is not timed). */
export interface Outcome {
  readonly nanoseconds: number;
  readonly check: () => string;
}

/** One job. */
export interface Job {
  /** Name of the job in reference.c; `undefined` if C has nothing to compare with. */
  readonly reference: string | undefined;
  readonly title: string;
  /** Operations in a run, and what one is called. */
  readonly operations: number;
  readonly unit: string;
  /** The speed that we want, relative to C. */
  readonly target?: number;
  /** A further program in C to show beside it, for information. */
  readonly also?: { readonly reference: string; readonly title: string };
  run(): Outcome;
}

const fixture = new URL('../fixtures/riscv64-sv48-6.12/', import.meta.url);

/** The inflated ELF core of the kernel's page tables. */
export function kernelTables(): Uint8Array {
  return gunzipSync(readFileSync(new URL('tables.elf.gz', fixture)));
}

/** The physical address of the kernel's root table. */
export function kernelRoot(): bigint {
  const facts = JSON.parse(readFileSync(new URL('registers.json', fixture), 'utf8')) as {
    roots: { kernel: { root_pa: string } };
  };
  return BigInt(facts.roots.kernel.root_pa);
}

/** Rotates and xors words, as `fold` in reference.c does. */
function fold(words: Uint32Array, from = 0n): bigint {
  let lo = Number(from & 0xffff_ffffn) | 0;
  let hi = Number(from >> 32n) | 0;
  for (let i = 0; i < words.length; i += 2) {
    const low = ((lo << 1) | (hi >>> 31)) ^ (words[i] as number);
    hi = ((hi << 1) | (lo >>> 31)) ^ (words[i + 1] as number);
    lo = low;
  }
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

function text(sum: bigint): string {
  return sum.toString(16).padStart(16, '0');
}

function foldMemory(memory: SparseMemory): string {
  let sum = 0n;
  for (let at = TABLES; at < TABLES + TABLE_BYTES; ) {
    const { base, words } = memory.writable(at);
    const end = Math.min(base + words.length * 4, TABLES + TABLE_BYTES);
    sum = fold(words.subarray((at - base) / 4, (end - base) / 4), sum);
    at = end;
  }
  return text(sum);
}

/** Hands out tables upwards, like the one in reference.c. */
class Bump implements TableAllocator {
  next = TABLES + 4096;

  allocate({ bytes }: { readonly bytes: number }): PhysAddr {
    const address = this.next;
    this.next += bytes;
    return phys(address);
  }

  free(): void {}
}

const paging = riscvPaging('sv48');

function spaceIn(memory: SparseMemory): AddressSpace {
  return createSpace(memory, { paging, address: BigInt(TABLES) });
}

function mapAll(space: AddressSpace, pages = PAGES): void {
  map(space, {
    va: VA,
    pa: PA,
    bytes: BigInt(pages) * 4096n,
    attributes: ATTRIBUTES,
    maxLeafBytes: 4096n,
    allocator: new Bump(),
  });
}

/** A memory with all pages mapped; what the memory costs the host is asked of it. */
export function mapped(): { readonly memory: SparseMemory; readonly space: AddressSpace; readonly tableBytes: number } {
  const memory = new SparseMemory();
  const space = spaceIn(memory);
  mapAll(space);
  return { memory, space, tableBytes: TABLE_BYTES - 3 * 4096 };
}

function time(work: () => void, check: () => string): Outcome {
  const started = performance.now();
  work();
  return { nanoseconds: (performance.now() - started) * 1e6, check };
}

function addresses(): BigUint64Array {
  const vas = new BigUint64Array(LOOKUPS);
  const words = new Uint32Array(vas.buffer);
  const base = Number(VA);
  let x = SEED;
  for (let i = 0; i < LOOKUPS; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    const va = base + (x & (PAGES - 1)) * 4096 + (x >>> 20);
    words[i * 2] = va;
    words[i * 2 + 1] = Math.floor(va / 2 ** 32);
  }
  return vas;
}

function lookupJobs(): Job[] {
  const vas = addresses();
  const pas = new BigUint64Array(LOOKUPS);
  const { space } = mapped();
  const batch = new Translator(space);
  const single = new Translator(space);
  const check = (): string => text(fold(new Uint32Array(pas.buffer)));
  const units = { operations: LOOKUPS, unit: 'address' };
  return [
    {
      ...units,
      reference: 'batch',
      title: 'translate 4 Mi random addresses, a batch',
      target: 1,
      also: { reference: 'batch-cached', title: 'C with a cache of last-level tables' },
      run: () => time(() => batch.translateAll(vas, pas), check),
    },
    {
      ...units,
      reference: 'call',
      title: 'the same, Translator.translate() each',
      target: 0.3,
      run: () =>
        time(() => {
          for (let i = 0; i < LOOKUPS; i++) pas[i] = single.translate(vas[i] as bigint) ?? UNMAPPED;
        }, check),
    },
    {
      reference: undefined,
      title: 'translate() with fields and fault, each',
      operations: CALLS,
      unit: 'address',
      run: () =>
        time(
          () => {
            for (let i = 0; i < CALLS; i++) {
              const result = translate(space, vas[i] as bigint);
              pas[i] = result.mapped ? result.pa : UNMAPPED;
            }
          },
          () => '',
        ),
    },
  ];
}

function mapJobs(): Job[] {
  const reused = new SparseMemory();
  return [
    {
      reference: 'map',
      title: 'map 1 Mi pages in one call, new memory',
      operations: PAGES,
      unit: 'page',
      target: 0.6,
      run() {
        let memory = new SparseMemory();
        return time(
          () => {
            memory = new SparseMemory();
            mapAll(spaceIn(memory));
          },
          () => foldMemory(memory),
        );
      },
    },
    {
      reference: 'remap',
      title: 'the same, memory used before',
      operations: PAGES,
      unit: 'page',
      run: () =>
        time(
          () => {
            reused.writable(TABLES).words.fill(0, 0, 1024);
            mapAll(spaceIn(reused));
          },
          () => foldMemory(reused),
        ),
    },
    {
      reference: 'page',
      title: 'map 128 Ki pages, one page a call',
      operations: CALLS,
      unit: 'page',
      run() {
        const memory = new SparseMemory();
        return time(
          () => {
            const space = spaceIn(memory);
            const allocator = new Bump();
            for (let i = 0; i < CALLS; i++) {
              const at = BigInt(i) * 4096n;
              map(space, { va: VA + at, pa: PA + at, bytes: 4096n, attributes: ATTRIBUTES, allocator });
            }
          },
          () => foldMemory(memory),
        );
      },
    },
  ];
}

/** A job that changes pages that were mapped before, which is not timed: all of them, so many a call. */
function editJob(
  reference: string,
  title: string,
  pages: number,
  step: number,
  edit: (space: AddressSpace, range: VirtRange) => void,
): Job {
  return {
    reference,
    title,
    operations: pages,
    unit: 'page',
    run() {
      const memory = new SparseMemory();
      const space = spaceIn(memory);
      mapAll(space, pages);
      return time(
        () => {
          for (let i = 0; i < pages; i += step) {
            const start = VA + BigInt(i) * 4096n;
            edit(space, { start, end: start + BigInt(step) * 4096n });
          }
        },
        () => foldMemory(memory),
      );
    },
  };
}

function editJobs(): Job[] {
  const remove = (space: AddressSpace, range: VirtRange): void => void unmap(space, range);
  const forbid = (space: AddressSpace, range: VirtRange): void => void protect(space, range, { clear: 4n });
  return [
    editJob('unmap-range', 'unmap 1 Mi pages in one call', PAGES, PAGES, remove),
    editJob('protect-range', 'protect 1 Mi pages in one call', PAGES, PAGES, forbid),
    editJob('unmap', 'unmap 128 Ki pages, one page a call', CALLS, 1, remove),
    editJob('protect', 'protect 128 Ki pages, one page a call', CALLS, 1, forbid),
  ];
}

function dumpJob(): Job {
  const { memory } = readElfCore(kernelTables());
  const space = createSpace(memory, { paging: riscvPaging('sv48', ['svnapot', 'svpbmt']), address: kernelRoot() });
  let found: readonly MappedRange[] = [];
  const check = (): string => {
    const rows = found.flatMap(({ start, end, pa, bits, leafBytes, entries }) => [
      start,
      end,
      pa,
      bits,
      leafBytes,
      BigInt(entries),
    ]);
    return text(fold(new Uint32Array(BigUint64Array.from(rows).buffer)));
  };
  return {
    reference: 'dump',
    title: 'fold the tables of a Linux 6.12 kernel',
    operations: 1,
    unit: 'dump',
    run: () =>
      time(() => {
        found = mappedRanges(space, { start: 0n, end: 1n << 64n });
      }, check),
  };
}

/** All jobs, in the order in which they are printed. */
export function allJobs(): readonly Job[] {
  return [...mapJobs(), ...editJobs(), ...lookupJobs(), dumpJob()];
}
