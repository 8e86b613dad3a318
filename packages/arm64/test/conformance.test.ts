import { runConformance } from '@pagefold/conformance';
import { type Attributes, createPaging, type Paging } from '@pagefold/core';
import { test } from 'vitest';
import {
  arm64Stage1,
  arm64Stage2,
  type Granule,
  kvmStage2,
  LINUX_BUILDS,
  levelShift,
  linuxPaging,
  reservedZeroBits,
  stage1Geometry,
  stage2Geometry,
  strideBits,
  vaBitsMin,
} from '../src/index.ts';

const INNER = 3;

/** Leaf attributes: a kernel's data, its code, a program's pages, a device; old pages where hardware may find them. */
function stage1Sets(paging: Paging): Attributes[] {
  const sh: Record<string, number> = paging.features.has('lpa2') ? {} : { sh: INNER };
  const kernel = { af: 1, uxn: 1, dbm: 1, ...sh };
  return [
    { ...kernel, pxn: 1 },
    { ...kernel, ap2: 1, gp: 1 },
    { af: 1, ap1: 1, ap2: 1, nG: 1, pxn: 1, uxn: 1, dbm: 1, sw: 3, attrIndx: 1, ...sh },
    { af: 1, pxn: 1, uxn: 1, attrIndx: 4, pbha: 15, ...sh },
    ...(paging.features.has('ha') ? [{ ap1: 1, ap2: 1, nG: 1, pxn: 1, ...sh }] : []),
  ];
}

function el2Sets(): Attributes[] {
  return [
    { af: 1, ap1: 1, xn: 1, sh: INNER },
    { af: 1, ap1: 1, ap2: 1, sh: INNER },
  ];
}

function stage2Sets(paging: Paging): Attributes[] {
  const sh: Record<string, number> = paging.features.has('lpa2') ? {} : { sh: INNER };
  const both = { af: 1, s2ap: 3, memAttr: paging.features.has('fwb') ? 6 : 15, ...sh };
  return [
    both,
    { ...both, xn: 2 },
    { ...both, s2ap: 1, dbm: 1, xn: 2, sw: 1 },
    { ...both, memAttr: 1, xn: 2, s2ap: 2 },
  ];
}

/** Bits that hardware ignores or that must be zero, and that no field names. */
function ignoredBits(granule: Granule, paging: Paging, stage: 1 | 2): Readonly<Record<string, bigint>> {
  const place = { granule, lpa2: paging.features.has('lpa2'), lpa: paging.features.has('pa52') };
  const stage2Leaf = stage === 2 ? (0x1fn << 59n) | (1n << 50n) | (1n << 11n) : 0n;
  const pxn = paging.features.has('el2') ? 1n << 53n : 0n;
  const page = reservedZeroBits({ ...place, kind: 'page', hardwareLevel: 3 }) | stage2Leaf | pxn;
  const block = reservedZeroBits({ ...place, kind: 'block', hardwareLevel: 2 }) | stage2Leaf | pxn;
  const tableLow = place.lpa2 ? 0xcfcn : 0xffcn;
  const tableTop = stage === 2 ? 0x1fffn << 51n : paging.features.has('el2') ? 1n << 59n : 0n;
  const table = reservedZeroBits({ ...place, kind: 'table', hardwareLevel: 2 }) | (1n << 50n) | tableLow | tableTop;
  return { page, block, 'contiguous-page': page, 'contiguous-block': block, table };
}

function check(name: string, granule: Granule, paging: Paging, stage: 1 | 2, attributes: Attributes[]): void {
  runConformance({ name, paging, attributes, ignoredBits: ignoredBits(granule, paging, stage), effort: 0.1 }, { test });
}

let runs = 0;
for (const build of LINUX_BUILDS) {
  for (const actualBits of new Set([build.vaBits, vaBitsMin(build)])) {
    const { granule, vaBits } = build;
    const wide = granule === '64K' && actualBits === 52 ? { paBits: 52 as const } : {};
    // Halves and what hardware does by itself take turns.
    // A root that hardware is shown only a part of (64K, 52 bits on 48) is another one for software in the upper half.
    const shown = granule === '64K' && actualBits !== vaBits;
    const half = runs++ % 2 === 0 && !shown ? 'high' : 'low';
    const byHardware = runs % 4 < 2;
    const paging = linuxPaging(
      { ...build, ...wide },
      { actualBits, half, accessFlagByHardware: byHardware, dirtyByHardware: byHardware },
    );
    check(`${granule} ${vaBits} bits, ${actualBits} in use, ${half}`, granule, paging, 1, stage1Sets(paging));
  }
}

// Root sizes that Linux never has: two entries, LPA2 with few bits, and one range at EL2.
for (const granule of ['4K', '16K', '64K'] as const) {
  const inputBits = levelShift(granule, 2) + 1;
  const small = createPaging(
    arm64Stage1[granule],
    stage1Geometry({ granule, inputBits, half: 'low', rootAlignBytes: 64 }),
    {
      features: granule === '64K' ? ['pa52', 'hpd'] : ['lpa2', 'hpd'],
    },
  );
  check(`${granule} root of two entries`, granule, small, 1, stage1Sets(small));
  const el2 = createPaging(arm64Stage1[granule], stage1Geometry({ granule, inputBits: 42, half: 'low' }), {
    features: ['el2'],
  });
  check(`${granule} EL2`, granule, el2, 1, el2Sets());
  const marked = createPaging(arm64Stage1[granule], stage1Geometry({ granule, inputBits: 48, half: 'low' }), {
    features: ['ha', 'haft'],
  });
  check(`${granule} access flags of tables`, granule, marked, 1, stage1Sets(marked));
}

for (const granule of ['4K', '16K', '64K'] as const) {
  for (const inputBits of [40, 48, 52]) {
    const { startLevel: start } = kvmStage2(granule, inputBits);
    const features = [
      ...(inputBits === 52 ? [granule === '64K' ? 'pa52' : 'lpa2'] : []),
      ...(inputBits === 40 ? ['xnx', 'fwb'] : []),
      ...(inputBits === 48 ? ['ha', 'hd', 'haft'] : []),
    ];
    const geometry = stage2Geometry({ granule, inputBits, start, outputBits: inputBits === 52 ? 52 : 48 });
    const paging = createPaging(arm64Stage2[granule], geometry, { features });
    const tables = 2 ** Math.max(0, inputBits - levelShift(granule, start) - strideBits(granule));
    check(`${granule} stage 2, ${inputBits} bits, ${tables} root tables`, granule, paging, 2, stage2Sets(paging));
  }
}
