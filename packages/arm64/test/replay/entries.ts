/** Replays of the groups about geometries, single descriptors, and what Linux makes of them. */
import { createPaging, type DecodedEntry, type Paging, sizeText, TABLE_NAMES } from '@pagefold/core';
import {
  arm64Stage1,
  arm64Stage2,
  contiguousEntries,
  entryTests,
  type Granule,
  hardwareLevel,
  isLpa2Build,
  isSafeChange,
  type KvmMemory,
  kvmHypBits,
  kvmStage2,
  kvmStage2Bits,
  levelShift,
  levelsBuilt,
  linuxPaging,
  linuxProtections,
  PAGE_BITS,
  pgdConstants,
  reservedZeroBits,
  rootAllocation,
  rootOffset,
  runtimeFoldedName,
  stage1Geometry,
  stage2Geometry,
  stage2Starts,
  strideBits,
  transitionalCopy,
} from '../../src/index.ts';
import { granuleIn, type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

/** Does Linux make blocks at a hardware level? */
function linuxBlock(granule: Granule, level: number): boolean | 'page' {
  if (level === 3) return 'page';
  return level === 2 || (level === 1 && granule === '4K');
}

/** `geometry`: a build of Linux, also on hardware with fewer bits. */
export function geometry(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const vaBits = Number(expected.configVaBits);
  const actualBits = Number(expected.runtimeVaBits);
  const build = { granule, vaBits, ...(granule === '64K' && vaBits === 52 ? { paBits: 52 as const } : {}) };
  // A 52-bit build on smaller hardware has no 52-bit physical addresses either.
  const running = actualBits === vaBits ? build : { granule, vaBits };
  const paging = linuxPaging(running, { actualBits });
  const { levels, root, names } = paging.geometry;
  const folded = runtimeFoldedName(build, actualBits);
  const { cache } = rootAllocation(build, actualBits);
  const pgd = pgdConstants(build);
  const fallback =
    actualBits === vaBits
      ? {}
      : {
          levelsConfigured: levelsBuilt(build),
          rootOffsetBytes: BigInt(rootOffset(build, actualBits)),
          foldedNames: folded === undefined ? [] : [folded],
        };
  const sameTree = folded === undefined && actualBits !== vaBits;
  const text = {
    linuxRootIndexing: 'index by VA[51:42] in the 1024-entry table; the register holds table+offset and T1SZ=16',
    note: 'no level is folded; PTRS_PER_PGD stays 1024',
  };
  sameMembers(
    {
      id: `${granule}-${vaBits}${isLpa2Build(build) && actualBits === 52 ? '-lpa2' : ''}${actualBits === vaBits ? '' : `-on-${actualBits}`}`,
      granule,
      configVaBits: vaBits,
      runtimeVaBits: actualBits,
      vaBits: paging.geometry.vaBits,
      lpa2: paging.features.has('lpa2'),
      pageShift: PAGE_BITS[granule],
      levels: levels.length,
      rootLevel: root.hardware,
      rootEntries: root.entries,
      rootBytes: root.tableBytes,
      entriesPerTable: 2 ** strideBits(granule),
      txsz: 64 - paging.geometry.vaBits,
      pgdCache: cache,
      table: [...levels].reverse().map((level) => {
        // The lowest name of those that share a level; the others are folded into it.
        const owner = TABLE_NAMES.filter((name) => names[name].level === level.level && !names[name].folded)[0];
        const choices = paging.leafChoices.filter((leaf) => leaf.level === level.level && leaf.runEntries === 1);
        return {
          level: level.hardware,
          linuxName: folded !== undefined && level === root ? `${folded}(=${owner})` : owner,
          shift: level.shift,
          size: BigInt(level.entrySpan),
          sizeText: sizeText(level.entrySpan),
          indexHigh: level.shift + level.indexBits - 1,
          indexLow: level.shift,
          entries: level.entries,
          tableBytes: level.tableBytes,
          hwBlock: level.level === 0 ? 'page' : choices.length > 0,
          linuxBlock: linuxBlock(granule, level.hardware),
        };
      }),
      ...fallback,
      ...(folded === undefined ? {} : { configuredPgd: { shift: names.pgd.shift, ptrsPerPgd: names.pgd.entries } }),
      ...(sameTree ? { allocatedRootEntries: names.pgd.entries, allocatedRootBytes: pgd.entries * 8, ...text } : {}),
    },
    expected,
  );
}

/** `geometryArch`: the tree of every TxSZ. */
export function geometryArch(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const inputBits = 64 - Number(expected.txsz);
  const ds = expected.ds === true;
  const { root } = createPaging(
    arm64Stage1[granule],
    stage1Geometry({ granule, inputBits, half: 'low', rootAlignBytes: ds ? 64 : 0 }),
    { features: ds ? ['lpa2'] : [] },
  ).geometry;
  sameMembers(
    {
      granule,
      ds,
      txsz: 64 - inputBits,
      inputBits,
      startLevel: root.hardware,
      rootIndexHigh: inputBits - 1,
      rootIndexLow: root.shift,
      rootEntries: root.entries,
      rootBytes: root.tableBytes,
      baseAlign: BigInt(root.alignBytes),
    },
    expected,
  );
}

const CONTIGUOUS_NAMES: Readonly<Record<number, string>> = { 3: 'CONT_PTE', 2: 'CONT_PMD' };

/** `contiguous`: what a format offers at a level, and what Linux calls it. */
export function contiguous(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const level = Number(expected.level);
  const paging = createPaging(arm64Stage1[granule], stage1Geometry({ granule, inputBits: 48, half: 'low' }));
  const choice = paging.leafChoices.find((leaf) => leaf.level === hardwareLevel(level) && leaf.runEntries > 1);
  if (choice === undefined) throw new Error('no such group');
  const linuxName = CONTIGUOUS_NAMES[level] ?? null;
  sameMembers(
    {
      granule,
      level,
      entries: contiguousEntries(granule, level) === choice.runEntries ? choice.runEntries : 'contradiction',
      entrySize: choice.entryBytes,
      span: choice.leafBytes,
      spanText: sizeText(choice.leafBytes),
      spanShift: choice.leafBytes.toString(2).length - 1,
      linuxName,
      usedByLinux: linuxName !== null,
    },
    expected,
  );
}

/** `stage2Geometry`: every start that fits, and KVM's. */
export function stage2(record: unknown): void {
  const expected = record as Json;
  const granule = granuleIn(expected);
  const ipaBits = Number(expected.ipaBits);
  const lpa2 = ipaBits > 48 && granule !== '64K';
  const kvm = kvmStage2(granule, ipaBits);
  const starts = stage2Starts(granule, ipaBits, lpa2);
  // Each of them is a geometry that core accepts.
  for (const { startLevel, rootBytes } of starts) {
    const shape = { granule, inputBits: ipaBits, start: startLevel };
    const { root } = createPaging(arm64Stage2[granule], stage2Geometry(shape), {
      features: lpa2 ? ['lpa2'] : [],
    }).geometry;
    if (root.tableBytes !== rootBytes || root.hardware !== startLevel) throw new Error('core disagrees about the root');
  }
  sameMembers(
    {
      granule,
      ipaBits,
      lpa2,
      kvmLevels: kvm.levels,
      kvmStartLevel: kvm.startLevel,
      kvmSl0: kvm.sl0,
      kvmRootIndexBits: kvm.rootIndexBits,
      kvmConcatenatedPages: kvm.concatenatedTables,
      kvmRootBytes: kvm.allocatedBytes,
      kvmCachePages: kvm.cachePages,
      hwLegalStarts: starts,
    },
    expected,
  );
}

const pagings = new Map<string, Paging>();

/** A paging that has the level, with the features that a record names. */
function pagingFor(granule: Granule, stage: number, level: number, lpa2: boolean, paBits: number): Paging {
  const key = `${granule} ${stage} ${level < 0} ${lpa2} ${paBits}`;
  const known = pagings.get(key);
  if (known !== undefined) return known;
  const features = ['ha', ...(lpa2 ? ['lpa2'] : []), ...(granule === '64K' && paBits === 52 ? ['pa52'] : [])];
  // As many levels as the granule has: those above are asked for only where they exist.
  const inputBits = granule === '4K' && level >= 0 ? 48 : 52;
  const shape = { granule, inputBits, outputBits: paBits };
  const start = granule === '4K' ? (level < 0 ? -1 : 0) : granule === '16K' ? 0 : 1;
  const paging =
    stage === 2
      ? createPaging(arm64Stage2[granule], stage2Geometry({ ...shape, start }), { features: [...features, 'xnx'] })
      : createPaging(arm64Stage1[granule], stage1Geometry({ ...shape, half: 'low' }), { features });
  pagings.set(key, paging);
  return paging;
}

/** Fields of the vectors that a decoded leaf has under other names, or has not under some conditions. */
function leafAsWritten(decoded: DecodedEntry, stage: number): Json {
  const fields = Object.fromEntries(Object.entries(decoded.fields).map(([name, value]) => [name, Number(value)]));
  const { ap1 = 0, ap2 = 0, type: _, pbha: __, ign63: ___, address: ____, ...rest } = fields;
  return {
    ...rest,
    sh: fields.sh ?? null,
    nT: fields.nT ?? null,
    ...(stage === 1 ? { ap: ap1 | (ap2 << 1) } : {}),
  };
}

/** `descriptors`: kind, address, fields, and Linux's tests. */
export function descriptors(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'granule', 'lpa2', 'paBits', 'stage', 'level', 'raw', 'decoded', 'note']);
  const granule = granuleIn(expected);
  const stage = Number(expected.stage);
  const level = hardwareLevel(Number(expected.level));
  const paging = pagingFor(granule, stage, Number(expected.level), expected.lpa2 === true, Number(expected.paBits));
  const raw = numberIn(expected, 'raw');
  const decoded = paging.decode(level, raw);
  const { linux, res0Set, reason, ...wanted } = expected.decoded as Json;
  if (linux !== undefined) sameMembers({ ...entryTests(raw) }, linux as Json);
  if (wanted.kind === 'invalid') {
    if (decoded.kind !== 'empty' && decoded.reasons[0] !== 'reserved_descriptor') {
      throw new Error(`expected invalid (${String(reason)}), got ${decoded.kind} ${decoded.reasons.join(' ')}`);
    }
    const bit0 = reason === 'bit0 is 0';
    if ((decoded.kind === 'empty') !== bit0) throw new Error(`expected ${String(reason)}`);
    return;
  }
  const kind = decoded.kind === 'leaf' ? (level === 0 ? 'page' : 'block') : decoded.kind;
  if (kind === 'table') {
    const { nsTable, apTable0 = 0n, apTable1 = 0n, uxnTable, pxnTable } = decoded.fields;
    const flags = stage === 1 ? { nsTable, uxnTable, pxnTable, apTable: apTable0 | (apTable1 << 1n) } : {};
    const numbers = Object.fromEntries(Object.entries(flags).map(([name, value]) => [name, Number(value)]));
    sameMembers({ kind, nextTable: decoded.address, ...numbers }, wanted);
  } else {
    const compiled = paging.codec(level).shapes.find(({ shape }) => shape.name === decoded.shape);
    const lo = Number(raw & 0xffff_ffffn);
    // The address of this entry, not of the group that it may belong to.
    const outputAddress = compiled === undefined ? undefined : BigInt(compiled.address.decode(lo, Number(raw >> 32n)));
    const size = 1n << BigInt(levelShift(granule, Number(expected.level)));
    sameMembers({ kind, outputAddress, size, ...leafAsWritten(decoded, stage) }, wanted);
  }
  const reserved = reservedZeroBits({
    granule,
    kind: kind as 'table' | 'block' | 'page',
    hardwareLevel: Number(expected.level),
    lpa2: expected.lpa2 === true,
    lpa: granule === '64K' && expected.paBits === 52,
  });
  sameMembers({ res0Set: raw & reserved }, { res0Set }, ['res0Set']);
}

/** `attrChange`: may a live entry change like that? */
export function attrChange(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['granule', 'old', 'new', 'safe']);
  const granule = granuleIn(expected);
  sameMembers({ safe: isSafeChange(numberIn(expected, 'old'), numberIn(expected, 'new'), { granule }) }, expected, [
    'safe',
  ]);
}

/** `transCopy`: an entry in a transitional table. */
export function transCopy(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['granule', 'level', 'src', 'dst']);
  granuleIn(expected);
  sameMembers({ dst: transitionalCopy(numberIn(expected, 'src'), Number(expected.level)) }, expected, ['dst']);
}

/** `kvmProt`: attributes or a refusal. */
export function kvmProt(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['kind', 'fwb', 'hvhe', 'lpa2', 'prot', 'memory', 'attr', 'error']);
  const prot = String(expected.prot);
  const rights = { read: prot.includes('R'), write: prot.includes('W'), execute: prot.includes('X') };
  const memory = wordIn(expected, 'memory', ['normal', 'nc', 'device']) as KvmMemory;
  const lpa2 = expected.lpa2 === true;
  const bits = (): bigint => {
    if (wordIn(expected, 'kind', ['stage2', 'hyp']) === 'stage2') {
      return kvmStage2Bits(rights, memory, { fwb: expected.fwb === true, lpa2 });
    }
    if (memory === 'nc') throw new Error('no replay for nc at EL2');
    return kvmHypBits(rights, memory, { hvhe: expected.hvhe === true, lpa2 });
  };
  if (expected.attr !== null) {
    sameMembers({ attr: bits() }, expected, ['attr']);
    return;
  }
  let refusal = '';
  try {
    bits();
  } catch (error) {
    refusal = error instanceof Error ? error.message : '';
  }
  if (!refusal.includes(String(expected.error))) throw new Error(`expected ${String(expected.error)}, got ${refusal}`);
}

/** `linuxProt`: every constant of a kernel. */
export function linuxProt(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['lpa2Enabled', 'nonGlobalKernel', 'values']);
  const { values } = linuxProtections({
    lpa2: expected.lpa2Enabled === true,
    nonGlobalKernel: expected.nonGlobalKernel === true,
  });
  sameMembers(values, expected.values as Json);
  sameMembers({ names: Object.keys(values).sort() }, { names: Object.keys(expected.values as Json).sort() });
}
