/** Replays of the vectors about builders of tables: `mapRange`, `createMapping`, `idmapPage`. */
import {
  BumpAllocator,
  earlyPhase,
  type Memory,
  type Paging,
  phys,
  RecordingAllocator,
  readWord,
  SparseMemory,
} from '@pagefold/core';
import { same } from '../../../core/test/replay/same.ts';
import {
  addressConfig,
  createPgdMapping,
  hardwareLevel,
  idmapPage as idmapOnePage,
  LINUX_BITS,
  type LinuxBuild,
  linuxAddress,
  linuxPaging,
  linuxProtections,
  lowPaging,
  mapRange as mapOneRange,
  type PageTree,
} from '../../src/index.ts';
import { granuleIn, type Json, knowsMembers, numberIn, parsed, type Replay, sameMembers } from './compare.ts';

const TABLES = 0x4000_0000n;

/** Tables from one area upwards, each found at its physical address. */
function machine(): { memory: Memory; allocations: RecordingAllocator; phase: ReturnType<typeof earlyPhase> } {
  const allocations = new RecordingAllocator(new BumpAllocator(TABLES, TABLES + (1n << 32n)));
  return { memory: new SparseMemory(), allocations, phase: earlyPhase(allocations) };
}

interface Run {
  level: number;
  va: bigint;
  pa: bigint;
  cont: boolean;
  length: bigint;
  entries: number;
}

/** Every leaf by looking at every word of every table, merged where neighbours continue each other. */
function runsOf(tree: PageTree, from: bigint): Run[] {
  const runs: Run[] = [];
  const look = (table: bigint, level: number, base: bigint): void => {
    const { entries, entrySpan } = tree.paging.codec(level).level;
    for (let i = 0; i < entries; i++) {
      const word = readWord(tree.memory, phys(table + BigInt(i) * 8n));
      const va = base + BigInt(i) * BigInt(entrySpan);
      if ((word & 1n) === 0n) continue;
      const pa = linuxAddress(word, tree.addresses);
      if (level > 0 && (word & 2n) !== 0n) {
        look(pa, level - 1, va);
        continue;
      }
      const cont = (word & LINUX_BITS.CONT) !== 0n;
      const last = runs.at(-1);
      const hardware = hardwareLevel(level);
      const length = BigInt(entrySpan);
      const goesOn = last !== undefined && last.level === hardware && last.cont === cont;
      if (goesOn && last.va + last.length === va - from && last.pa + last.length === pa) {
        last.length += length;
        last.entries++;
      } else runs.push({ level: hardware, va: va - from, pa, cont, length, entries: 1 });
    }
  };
  const { root, ranges } = tree.paging.geometry;
  look(tree.root, root.level, BigInt(ranges[0]?.start ?? 0));
  return runs;
}

/** Compares leaves, level by level in rising order of addresses. */
function sameRuns(tree: PageTree, from: bigint, expected: unknown): void {
  same(
    runsOf(tree, from).map((run) => ({ ...run })),
    parsed(expected),
    'runs',
  );
}

function treeFor(paging: Paging, build: LinuxBuild, lpa2: boolean, made: ReturnType<typeof machine>): PageTree {
  const { root } = paging.geometry;
  const { memory, phase } = made;
  const address = made.phase.allocator.allocate({
    level: root.level,
    va: 0n as never,
    bytes: root.tableBytes,
    alignBytes: Number(paging.pageBytes),
  });
  return { paging, memory, root: address, addresses: addressConfig(build, lpa2), phase };
}

const mapRange: Replay = (record) => {
  const r = record as Json;
  knowsMembers(r, ['granule', 'rootLevel', 'va', 'pa', 'length', 'mayUseCont', 'newTables', 'runs']);
  const build: LinuxBuild = { granule: granuleIn(r), vaBits: 48 };
  const made = machine();
  const tree = treeFor(lowPaging(build, false), build, false, made);
  same(tree.paging.geometry.root.hardware, r.rootLevel, 'rootLevel');
  const start = numberIn(r, 'va');
  mapOneRange(tree, {
    start,
    end: start + numberIn(r, 'length'),
    pa: numberIn(r, 'pa'),
    prot: linuxProtections().values.PAGE_KERNEL,
    mayUseCont: r.mayUseCont === true,
  });
  same(made.allocations.events.length - 1, r.newTables, 'newTables');
  sameRuns(tree, 0n, r.runs);
};

const createMapping: Replay = (record) => {
  const r = record as Json;
  const known = ['granule', 'vaBits', 'lpa2', 'vaOffsetFromPageOffset', 'pa', 'length', 'noBlock', 'noCont'];
  knowsMembers(r, [...known, 'newTablesBelowRoot', 'runs']);
  const build: LinuxBuild = { granule: granuleIn(r), vaBits: Number(r.vaBits) };
  const made = machine();
  const paging = linuxPaging(build);
  const tree = treeFor(paging, build, r.lpa2 === true, made);
  const pageOffset = (1n << 64n) - (1n << BigInt(build.vaBits));
  createPgdMapping(tree, {
    va: pageOffset + numberIn(r, 'vaOffsetFromPageOffset'),
    pa: numberIn(r, 'pa'),
    size: numberIn(r, 'length'),
    prot: linuxProtections({ lpa2: r.lpa2 === true }).values.PAGE_KERNEL,
    flags: { noBlock: r.noBlock === true, noCont: r.noCont === true },
  });
  same(made.allocations.events.length - 1, r.newTablesBelowRoot, 'newTablesBelowRoot');
  sameRuns(tree, pageOffset, r.runs);
};

const idmapPage: Replay = (record) => {
  const r = record as Json;
  const build: LinuxBuild = { granule: granuleIn(r), vaBits: r.granule === '64K' ? 48 : 52 };
  const wide: LinuxBuild = build.granule === '64K' ? { ...build, paBits: 52 } : build;
  const { memory, phase } = machine();
  const lpa2 = build.granule !== '64K' && numberIn(r, 'pa') >> 48n !== 0n;
  const prot = linuxProtections({ lpa2 }).values.PAGE_KERNEL_ROX;
  const addresses = addressConfig(wide, lpa2);
  const { t0sz, steps } = idmapOnePage({ build: wide, addresses, memory, phase, prot, page: numberIn(r, 'pa') });
  const actual = {
    granule: r.granule,
    pa: numberIn(r, 'pa'),
    t0sz,
    tables: steps.length,
    rootLevel: steps.at(-1)?.level,
    steps: steps.map(({ level, lsb, msb, index }) => ({ level, lsb, msb, index })),
  };
  sameMembers(actual, r);
};

/** Checks of one record of each group. */
export const groups: Readonly<Record<string, Replay>> = { mapRange, createMapping, idmapPage };
