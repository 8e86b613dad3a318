/** Address spaces for the tests: a small Sv39 tree, the shipped kernel capture, and formats that no machine has. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import {
  type AddressSpace,
  createPaging,
  createSpace,
  type Format,
  map,
  type Paging,
  phys,
  SparseMemory,
  type TableAllocator,
  writeWord,
} from '@pagefold/core';
import { readElfCore } from '@pagefold/image';
import { riscvPaging } from '@pagefold/riscv';

/** Hands out consecutive tables. */
export function bump(start: bigint): TableAllocator {
  let next = start;
  return {
    allocate({ bytes, alignBytes }) {
      const address = (next + BigInt(alignBytes) - 1n) & -BigInt(alignBytes);
      next = address + BigInt(bytes);
      return phys(address);
    },
    free() {},
  };
}

/** Leaf attributes of RISC-V by letters. */
export function rwx(letters: string): Record<string, number> {
  return Object.fromEntries(['v', ...letters].map((letter) => [letter, 1]));
}

/** An Sv39 kernel of a few mappings: an image, a linear map, a user page, a malformed and a software entry. */
export function smallSpace(): AddressSpace {
  const memory = new SparseMemory([{ start: 0x8000_0000n, end: 0x8800_0000n }]);
  const paging = riscvPaging('sv39', ['svnapot', 'svpbmt']);
  const space = createSpace(memory, { paging, address: 0x8000_1000n, label: 'kernel' });
  const allocator = bump(0x8000_2000n);
  const put = (va: bigint, pa: bigint, bytes: bigint, letters: string, maxLeafBytes?: bigint): void => {
    map(space, {
      va,
      pa,
      bytes,
      attributes: rwx(letters),
      allocator,
      ...(maxLeafBytes === undefined ? {} : { maxLeafBytes }),
    });
  };
  put(0xffff_ffff_8000_0000n, 0x8020_0000n, 0x60_0000n, 'rxad');
  put(0xffff_ffff_8060_0000n, 0x8080_0000n, 0x3000n, 'rwad');
  put(0xffff_ffc0_0000_0000n, 0x8000_0000n, 0x8000_0000n, 'rwadg');
  put(0x1_0000n, 0x8100_0000n, 0x2_0000n, 'rwxuad', 0x1000n);
  put(0x40_0000n, 0x8200_0000n, 0x80_0000n, 'ruad', 0x1000n);
  writeWord(memory, phys(0x8000_1000n + 8n * 300n), 0x5n); // writable, not readable
  writeWord(memory, phys(0x8000_1000n + 8n * 301n), 0xabc0n); // empty to the hardware
  return space;
}

/** A shipped capture of a running kernel: the kernel's own root or that of the user process. */
export function captureSpace(root: 'kernel' | 'user'): AddressSpace {
  const folder = new URL('../../../tools/fixtures/riscv64-sv48-6.12/', import.meta.url);
  const facts = JSON.parse(readFileSync(new URL('registers.json', folder), 'utf8')) as {
    roots: Record<string, { root_pa: string }>;
  };
  const image = readElfCore(gunzipSync(readFileSync(new URL('tables.elf.gz', folder))));
  return createSpace(image.memory, {
    paging: riscvPaging('sv48', ['svnapot', 'svpbmt']),
    address: BigInt(facts.roots[root]?.root_pa ?? '0'),
    label: root,
  });
}

/** Both roots of the capture over one memory. */
export function captureSpaces(): AddressSpace[] {
  const kernel = captureSpace('kernel');
  const user = captureSpace('user');
  return [kernel, createSpace(kernel.memory, { paging: roots(user), address: address(user), label: 'user' })];
}

function roots(space: AddressSpace): Paging {
  const [root] = space.roots;
  if (root === undefined) throw new Error('no root');
  return root.paging;
}

function address(space: AddressSpace): bigint {
  return BigInt(space.roots[0]?.address ?? 0);
}

/** 32-bit entries, a scattered address, tables smaller than a page; says nothing in the common vocabulary. */
export const oddFormat: Format = {
  name: 'odd32',
  title: 'scattered 32-bit entries <for tests> & "nothing else"',
  entryBytes: 4,
  shapes: [
    { name: 'empty', kind: 'empty', reason: 'zero', match: [{ mask: 3n, equals: 0n }], fields: [] },
    {
      name: 'table',
      kind: 'table',
      levels: [1],
      match: [{ mask: 3n, equals: 1n }],
      address: [{ entryLo: 10, addressLo: 10, bits: 22 }],
      fields: [{ name: 'base', bits: [[31, 10]], meaning: 'where the next table is' }],
    },
    {
      name: 'leaf',
      kind: 'leaf',
      match: [{ mask: 3n, equals: 2n }],
      address: [
        { entryLo: 12, addressLo: 12, bits: 20 },
        { entryLo: 8, addressLo: 32, bits: 4 },
      ],
      fields: [
        {
          name: 'frame',
          bits: [
            [11, 8],
            [31, 12],
          ],
          meaning: 'page frame, scattered & <odd>',
        },
        {
          name: 'permission',
          bits: [
            [5, 4],
            [2, 2],
          ],
          meaning: 'who may',
          values: { 7: 'some' },
        },
        { name: 'present', bits: [[1, 0]], meaning: 'used' },
      ],
    },
  ],
};

/** The odd format with two levels: a root of 4096 entries, tables of 1 KiB. */
export const oddPaging: Paging = createPaging(oddFormat, {
  name: 'odd',
  levels: [
    { shift: 12, indexBits: 8 },
    { shift: 20, indexBits: 12 },
  ],
  vaBits: 32,
  paBits: 36,
  wordBits: 32,
});

/** Two small tables that share a page with something else, and one that two entries share. */
export function oddSpace(label = 'root'): AddressSpace {
  const memory = new SparseMemory([{ start: 0x4000_0000n, end: 0x4010_0000n }]);
  const space = createSpace(memory, { paging: oddPaging, address: 0x4000_4000n, label });
  const word = (at: bigint, value: bigint): void => writeWord(memory, phys(at), value, 4);
  word(0x4000_4000n, 0x4000_8401n);
  word(0x4000_4004n, 0x4000_8c01n);
  word(0x4000_4008n, 0x4000_8c01n);
  word(0x4000_400cn, 0x3n);
  word(0x4000_8400n, 0x1234_5a36n);
  word(0x4000_8c00n + 4n * 255n, 0xffff_f002n);
  word(0x4000_8000n, 0xdead_beefn);
  return space;
}
