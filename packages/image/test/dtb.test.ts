import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { machineFromDtb, parseDtb } from '../src/index.ts';
import { buildDtb, type TreeNode, text } from './dtb-builder.ts';
import { failsWith, onlyImageErrors } from './image-checks.ts';

function fixture(name: string): Uint8Array {
  return Uint8Array.from(gunzipSync(readFileSync(new URL(`fixtures/${name}`, import.meta.url))));
}

/** A tree with one property of the root. */
function property(value: Uint8Array | string | readonly number[]) {
  return parseDtb(buildDtb({ properties: { p: value } })).root;
}

describe('reading', () => {
  const tree = parseDtb(
    buildDtb({
      properties: {
        '#address-cells': [2],
        '#size-cells': [2],
        compatible: Uint8Array.from([...text('a'), ...text('b')]),
      },
      children: [
        { name: 'soc', children: [{ name: 'uart@10', properties: { phandle: [7], reg: [0x10, 1] } }] },
        { name: 'memory@80000000', properties: { reg: [1, 2, 3, 4], empty: [] } },
        { name: 'memory@90000000', properties: { 'linux,phandle': [8], status: 'disabled' } },
      ],
    }),
  );

  test('nodes are found by path and by phandle', () => {
    expect([...tree.nodes()].map(({ path }) => path)).toEqual([
      '/',
      '/soc',
      '/soc/uart@10',
      '/memory@80000000',
      '/memory@90000000',
    ]);
    for (const node of tree.nodes()) expect(tree.find(node.path)).toBe(node);
    expect(tree.find('/soc/uart')?.name).toBe('uart@10');
    expect(tree.find('/memory')?.name).toBe('memory@80000000');
    expect(tree.find('/memory@0')).toBeUndefined();
    expect(tree.find('/soc/uart/none')).toBeUndefined();
    expect(tree.find('soc')).toBeUndefined();
    expect(tree.byPhandle(7)?.path).toBe('/soc/uart@10');
    expect(tree.byPhandle(8)?.enabled).toBe(false);
    expect(tree.byPhandle(9)).toBeUndefined();
  });

  test('values', () => {
    const node = property([0x1234_5678, 0x9abc_def0]);
    expect(node.cells('p')).toEqual([0x1234_5678, 0x9abc_def0]);
    expect(node.u64('p')).toBe(0x1234_5678_9abc_def0n);
    expect(property([5]).u64('p')).toBe(5n);
    expect(property([5]).u32('p')).toBe(5);
    expect(property('okay').string('p')).toBe('okay');
    expect(tree.root.strings('compatible')).toEqual(['a', 'b']);
    expect(tree.find('/memory')?.has('empty')).toBe(true);
    for (const read of ['cells', 'u32', 'u64', 'string', 'strings', 'reg'] as const) {
      expect(node[read]('missing')).toBeUndefined();
    }
  });

  test("reg goes by the parent's cells, 2 and 1 without any", () => {
    expect(tree.find('/memory')?.reg()).toEqual([{ address: 0x1_0000_0002n, size: 0x3_0000_0004n }]);
    failsWith('dtb-property', () => tree.find('/soc/uart')?.reg());
    const soc: TreeNode = { name: 'soc', properties: {}, children: [{ name: 'a', properties: { reg: [1, 2, 3] } }] };
    expect(
      parseDtb(buildDtb({ children: [soc] }))
        .find('/soc/a')
        ?.reg(),
    ).toEqual([{ address: 0x1_0000_0002n, size: 3n }]);
  });

  test('values of the wrong form', () => {
    failsWith('dtb-property', () => property([1, 2]).u32('p'));
    failsWith('dtb-property', () => property([]).u32('p'));
    failsWith('dtb-property', () => property([1, 2, 3]).u64('p'));
    failsWith('dtb-property', () => property(Uint8Array.of(1, 2, 3)).cells('p'));
    failsWith('dtb-property', () => property(Uint8Array.of(65, 66)).string('p'));
    failsWith('dtb-property', () => property(Uint8Array.of()).string('p'));
    failsWith('dtb-property', () => property(Uint8Array.of(0xff, 0)).string('p'));
    const error = failsWith('dtb-property', () => property(Uint8Array.of(65, 0, 66, 0)).string('p'));
    expect(error.values).toEqual({ node: '/', property: 'p', length: '0x4' });
  });
});

describe('refused', () => {
  const good = buildDtb({ properties: { p: [1] } });
  const patched = (index: number, value: number): Uint8Array => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(4 * index, value);
    return bytes;
  };
  const tokens = (...structure: number[]): Uint8Array => buildDtb({}, { structure });

  test('headers', () => {
    expect(failsWith('dtb-magic', () => parseDtb(Uint8Array.of(1, 2, 3, 4))).values).toEqual({ bytes: '01 02 03 04' });
    failsWith('dtb-magic', () => parseDtb(new Uint8Array()));
    failsWith('dtb-truncated', () => parseDtb(good.subarray(0, 39)));
    failsWith('dtb-truncated', () => parseDtb(good.subarray(0, -1)));
    failsWith('dtb-version', () => parseDtb(patched(5, 16)));
    failsWith('dtb-version', () => parseDtb(patched(6, 18)));
    for (const index of [2, 3, 4]) {
      for (const offset of [0, 36, 0xffff_fff8]) failsWith('dtb-header', () => parseDtb(patched(index, offset)));
    }
    failsWith('dtb-header', () => parseDtb(patched(2, 58)));
    failsWith('dtb-header', () => parseDtb(patched(4, 44)));
    failsWith('dtb-header', () => parseDtb(patched(8, 0xffff_ffff)));
    failsWith('dtb-header', () => parseDtb(patched(9, 0xffff_ffff)));
    expect(parseDtb(Uint8Array.from([...good, 1, 2, 3])).totalSize).toBe(good.length);
  });

  test('a reservation block without end', () => {
    const bytes = buildDtb({}, { reservations: [[1n, 2n]] });
    bytes.fill(0xff, 56, 72);
    failsWith('dtb-reservations', () => parseDtb(bytes));
  });

  test('the grammar of the structure block', () => {
    expect([...parseDtb(tokens(4, 1, 0, 4, 2, 4, 9)).nodes()]).toHaveLength(1);
    failsWith('dtb-structure', () => parseDtb(tokens()));
    failsWith('dtb-structure', () => parseDtb(tokens(9)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 9)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 2)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 2, 9, 4)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 2, 1, 0, 2, 9)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 5, 2, 9)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 3, 0xffff_ffff, 0, 2, 9)));
    failsWith('dtb-name', () => parseDtb(tokens(1, 0, 3, 0, 0x1000, 2, 9)));
    failsWith('dtb-name', () => parseDtb(tokens(1, 0x6100_0000, 2, 9)));
    failsWith('dtb-name', () => parseDtb(tokens(1, 0, 1, 0, 2, 2, 9)));
    failsWith('dtb-name', () => parseDtb(tokens(1, 0, 1, 0x612f_6100, 2, 2, 9)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 1, 0x6161_6161)));
  });

  test('duplicates and misplaced properties', () => {
    const twin: TreeNode = { name: 'a' };
    failsWith('dtb-duplicate', () => parseDtb(buildDtb({ children: [twin, twin] })));
    const handles = [1, 2].map((i) => ({ name: `n${i}`, properties: { phandle: [3] } }));
    failsWith('dtb-duplicate', () => parseDtb(buildDtb({ children: handles })));
    for (const phandle of [0, 0xffff_ffff]) {
      failsWith('dtb-property', () => parseDtb(buildDtb({ properties: { phandle: [phandle] } })));
    }
    failsWith('dtb-duplicate', () => parseDtb(tokens(1, 0, 3, 0, 0, 3, 0, 0, 2, 9)));
    failsWith('dtb-structure', () => parseDtb(tokens(1, 0, 1, 0x6100_0000, 2, 3, 0, 0, 2, 9)));
    expect(parseDtb(tokens(1, 0, 3, 0, 0, 1, 0x6100_0000, 2, 2, 9)).root.has('p')).toBe(true);
  });

  test('nesting deeper than Linux accepts', () => {
    const nested = (depth: number): TreeNode =>
      depth === 1 ? { name: 'n' } : { name: 'n', children: [nested(depth - 1)] };
    expect([...parseDtb(buildDtb({ children: [nested(63)] })).nodes()]).toHaveLength(64);
    failsWith('dtb-depth', () => parseDtb(buildDtb({ children: [nested(64)] })));
  });
});

describe('machines', () => {
  test('riscv64, as its kernel saw it', () => {
    const machine = machineFromDtb(parseDtb(fixture('riscv64-boot.dtb.gz')));
    expect(machine).toMatchObject({
      compatible: ['riscv-virtio'],
      ram: [{ start: 0x8000_0000n, end: 0x1_8000_0000n }],
      reservations: [],
      reservedMemory: [
        { node: '/reserved-memory/mmode_resv0@80000000', start: 0x8000_0000n, end: 0x8008_0000n, noMap: false },
      ],
      dynamicReservations: [],
      chosen: {
        bootArguments: 'console=ttyS0 no5lvl',
        initrd: { start: 0x8820_0000n, end: 0x8832_28f5n },
        kaslrSeed: undefined,
      },
      bootCpu: { node: '/cpus/cpu@0', id: 0n, enabled: true, mmuType: 'riscv,sv48' },
      dtbSize: 0x1527,
    });
    expect(machine.chosen.rngSeed).toHaveLength(32);
    expect(machine.bootCpu?.isa).toMatch(/^rv64imafdch_.*svnapot_svpbmt/);
  });

  test('arm64, with two banks', () => {
    const tree = parseDtb(fixture('arm64-boot.dtb.gz'));
    const machine = machineFromDtb(tree);
    expect(machine).toMatchObject({
      ram: [
        { start: 0x4000_0000n, end: 0x5800_0000n },
        { start: 0x6021_0000n, end: 0x8000_0000n },
      ],
      chosen: { bootArguments: 'console=ttyAMA0 nokaslr', initrd: { start: 0x4800_0000n, end: 0x4811_4433n } },
      bootCpu: { id: 0n, compatible: ['arm,cortex-a57'], mmuType: undefined },
      dtbSize: 0x1dcf,
    });
    expect(machine.chosen.kaslrSeed).toHaveLength(8);
    const parent = tree.root.u32('interrupt-parent') ?? 0;
    expect(tree.byPhandle(parent)?.has('interrupt-controller')).toBe(true);
  });

  const bank = (name: string, reg: readonly number[], more = {}): TreeNode => ({
    name,
    properties: { device_type: 'memory', reg, ...more },
  });
  const machineOf = (children: readonly TreeNode[], reservations: readonly (readonly [bigint, bigint])[] = []) =>
    machineFromDtb(
      parseDtb(buildDtb({ properties: { '#address-cells': [1], '#size-cells': [1] }, children }, { reservations })),
    );

  test('banks are sorted and merged; disabled and empty ones do not count', () => {
    const { ram, reservations } = machineOf(
      [
        bank('memory@4000', [0x4000, 0x1000, 0x1000, 0x1000]),
        bank('memory@2000', [0x2000, 0x1000, 0x2800, 0x400, 0x9000, 0]),
        bank('memory@7000', [0x7000, 0x1000], { status: 'disabled' }),
        bank('memory@a000', [0xa000, 0x4000], { 'linux,usable-memory': [0xb000, 0x1000] }),
        { name: 'memory-controller', properties: { reg: [0xf000, 0x1000] } },
        { name: 'soc', children: [bank('memory@f000', [0, 0xf000, 1])] },
      ],
      [
        [5n, 6n],
        [7n, 0n],
      ],
    );
    expect(ram).toEqual([
      { start: 0x1000n, end: 0x3000n },
      { start: 0x4000n, end: 0x5000n },
      { start: 0xb000n, end: 0xc000n },
    ]);
    expect(reservations).toEqual([{ start: 5n, end: 11n }]);
  });

  test('reserved memory, fixed and dynamic', () => {
    const reserved: TreeNode = {
      name: 'reserved-memory',
      properties: { '#address-cells': [1], '#size-cells': [1], ranges: [] },
      children: [
        { name: 'fw@1000', properties: { reg: [0x1000, 0x1000, 0x5000, 0x10], 'no-map': [] } },
        { name: 'off@9000', properties: { reg: [0x9000, 0x1000], status: 'disabled' } },
        { name: 'cma', properties: { size: [0, 0x4000], alignment: [0x1000], 'alloc-ranges': [0, 0x8000] } },
      ],
    };
    const { reservedMemory, dynamicReservations } = machineOf([reserved]);
    expect(reservedMemory).toEqual([
      { start: 0x1000n, end: 0x2000n, node: '/reserved-memory/fw@1000', noMap: true },
      { start: 0x5000n, end: 0x5010n, node: '/reserved-memory/fw@1000', noMap: true },
    ]);
    expect(dynamicReservations).toEqual([
      {
        node: '/reserved-memory/cma',
        noMap: false,
        size: 0x4000n,
        alignment: 0x1000n,
        within: [{ start: 0n, end: 0x8000n }],
      },
    ]);
  });

  test('the first enabled CPU boots', () => {
    const cpu = (id: number, status: string): TreeNode => ({
      name: `cpu@${id}`,
      properties: {
        device_type: 'cpu',
        reg: [id],
        status,
        'riscv,isa-base': 'rv64i',
        'riscv,isa-extensions': Uint8Array.from([...text('i'), ...text('svpbmt')]),
      },
    });
    const cells = { '#address-cells': [1], '#size-cells': [0] };
    const cpus = {
      name: 'cpus',
      properties: cells,
      children: [cpu(0, 'disabled'), cpu(1, 'okay'), { name: 'cpu-map' }],
    };
    const machine = machineOf([cpus]);
    expect(machine.cpus).toHaveLength(2);
    expect(machine.bootCpu).toMatchObject({ id: 1n, isaBase: 'rv64i', isaExtensions: ['i', 'svpbmt'] });
    expect(machineOf([]).bootCpu).toBeUndefined();
  });

  test('the initrd', () => {
    const chosen = (start: number[], end: number[]) =>
      machineOf([{ name: 'chosen', properties: { 'linux,initrd-start': start, 'linux,initrd-end': end } }]).chosen
        .initrd;
    expect(chosen([0x1000], [0, 0x2000])).toEqual({ start: 0x1000n, end: 0x2000n });
    expect(chosen([0x1000], [0x1000])).toBeUndefined();
    failsWith('dtb-property', () => chosen([0x2000], [0x1000]));
    expect(machineOf([]).chosen.initrd).toBeUndefined();
  });

  test('ranges above 2^64', () => {
    const tree = buildDtb({ children: [bank('memory', [0xffff_ffff, 0xffff_f000, 0x1001])] });
    failsWith('dtb-property', () => machineFromDtb(parseDtb(tree)));
  });
});

describe.each(['riscv64-boot.dtb.gz', 'arm64-boot.dtb.gz'])('damaged %s', (name) => {
  const bytes = fixture(name);
  const readAll = (damaged: Uint8Array): unknown =>
    onlyImageErrors(() => {
      const tree = parseDtb(damaged);
      for (const node of tree.nodes()) onlyImageErrors(() => [node.path, node.reg(), node.enabled]);
      return machineFromDtb(tree);
    });

  test('only typed errors', () => {
    const place = fc.oneof(fc.nat(39), fc.nat(bytes.length - 1));
    const value = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 9, 0x7f, 0x80, 0xff), fc.nat(255));
    fc.assert(
      fc.property(fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 6 }), (changes) => {
        const damaged = bytes.slice();
        for (const [at, byte] of changes) damaged[at] = byte;
        readAll(damaged);
      }),
      { numRuns: 1500 },
    );
  });

  test('cut anywhere', () => {
    for (let length = 0; length < bytes.length; length += length < 64 ? 1 : 61) {
      expect(readAll(bytes.slice(0, length))).toBe(length < 4 ? 'dtb-magic' : 'dtb-truncated');
      const claims = bytes.slice(0, length);
      if (length < 40) continue;
      new DataView(claims.buffer).setUint32(4, length);
      readAll(claims);
    }
  });
});
