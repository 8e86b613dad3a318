/** Replays of whole walks, and of single descriptors under an access. */
import {
  type AccessKind,
  type AccessResult,
  access,
  createPaging,
  createSpace,
  decodeRegister,
  phys,
  type RootDescription,
  SparseMemory,
  walk,
  writeWord,
} from '@pagefold/core';
import {
  type Arm64Cpu,
  arm64Stage1,
  arm64Stage2,
  el1Roots,
  hardwareLevel,
  levelShift,
  stage1Geometry,
  stage1Rights,
  stage2Execute,
  stage2Geometry,
  stage2RootOf,
  tcrEl1,
} from '../../src/index.ts';
import { granuleIn, type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';

const KINDS: Readonly<Record<string, AccessKind>> = { r: 'read', w: 'write', x: 'execute' };
const FAULTS: Readonly<Record<string, string>> = {
  translation: 'translation',
  address_size: 'addressSize',
  access_flag: 'accessFlag',
  permission: 'permission',
};

/** The access of a record; its exception level decides who makes it. */
function requestOf(given: Json): { readonly kind: AccessKind; readonly privilege: 'user' | 'supervisor' } {
  knowsMembers(given, ['el', 'kind', 'pan']);
  const kind = KINDS[wordIn(given, 'kind', ['r', 'w', 'x'])] as AccessKind;
  if (given.el !== 0 && given.el !== 1) throw new Error(`no replay for el ${String(given.el)}`);
  return { kind, privilege: given.el === 0 ? 'user' : 'supervisor' };
}

function faultAsWritten(result: AccessResult): Json | undefined {
  if (result.allowed) return undefined;
  const fsc = `0x${(result.code ?? -1).toString(16).padStart(2, '0')}`;
  return { type: FAULTS[result.type] ?? result.type, level: result.hardwareLevel, fsc };
}

/** A fault in the words of the vectors; codes stay text. */
function sameFault(result: AccessResult, expected: unknown): void {
  const [is, wanted] = [faultAsWritten(result), expected].map((each) => JSON.stringify(each ?? null));
  if (is !== wanted) throw new Error(`fault: expected ${wanted}, got ${is}`);
}

function cpuOf(features: Json): Arm64Cpu {
  knowsMembers(features, ['paMax', 'lpa', 'lva', 'lpa2', 'ttst', 'hafdbs', 'xnx']);
  const flag = (name: string): boolean => features[name] === true;
  return {
    paBits: Number(features.paMax),
    lpa: flag('lpa'),
    lva: flag('lva'),
    lpa2: flag('lpa2'),
    ttst: flag('ttst'),
    hafdbs: Number(features.hafdbs) as 0 | 1 | 2,
    xnx: flag('xnx'),
    fwb: false,
  };
}

const COMMON = ['id', 'stage', 'tag', 'features', 'access', 'mem', 'steps', 'result', 'fault'];

function rootsOf(record: Json): RootDescription[] {
  const cpu = cpuOf(record.features as Json);
  if (record.stage === 2) {
    knowsMembers(record, [...COMMON, 'vtcr', 'vttbr', 'ipa']);
    return [stage2RootOf(numberIn(record, 'vtcr'), numberIn(record, 'vttbr'), cpu)];
  }
  knowsMembers(record, [...COMMON, 'tcr', 'ttbr0', 'ttbr1', 'wxn', 'va']);
  const [tcr, ttbr0, ttbr1] = ['tcr', 'ttbr0', 'ttbr1'].map((name) => numberIn(record, name));
  return el1Roots({ tcr: tcr ?? 0n, ttbr0, ttbr1 }, cpu);
}

const letters = (read: boolean, write: boolean, execute = false): string =>
  `${read ? 'r' : ''}${write ? 'w' : ''}${execute ? 'x' : ''}`;

/** A mapped result in the words of the vectors, which report the size of one entry also in contiguous groups. */
function resultAsWritten(record: Json, result: AccessResult & { allowed: true }, roots: RootDescription[]): Json {
  const root = roots.find(({ label }) => label === result.root) as RootDescription;
  const { geometry, features } = root.paging;
  const { fields } = result;
  const granule = ({ 12: '4K', 14: '16K', 16: '64K' } as const)[geometry.levels[0]?.shift as 12 | 14 | 16];
  const hd = features.has('ha') && features.has('hd');
  const [update, ...more] = result.updates;
  if (more.length > 0) throw new Error('more than one entry is updated');
  const common = {
    pa: result.pa,
    level: result.hardwareLevel,
    granule,
    size: 1n << BigInt(levelShift(granule, result.hardwareLevel)),
    ...(update === undefined ? {} : { descriptorUpdate: { addr: update.slot, value: update.entry } }),
  };
  if (record.stage === 2) {
    const s2ap = fields.s2ap ?? 0;
    const execute = stage2Execute(fields, features.has('xnx'));
    return {
      ...common,
      startLevel: geometry.root.hardware,
      perms: letters((s2ap & 1) !== 0, (s2ap & 2) !== 0 || (hd && fields.dbm === 1)),
      xEl1: execute.el1,
      xEl0: execute.el0,
    };
  }
  const rights = stage1Rights(fields, { hd, wxn: record.wxn === true, el2: false });
  const tcr = decodeRegister(tcrEl1, numberIn(record, 'tcr'));
  const fromTcr = Number(result.root === 'TTBR1_EL1' ? tcr.sh1 : tcr.sh0);
  return {
    ...common,
    attrIndx: fields.attrIndx,
    sh: features.has('lpa2') ? fromTcr : fields.sh,
    nG: fields.nG,
    contiguous: fields.contiguous,
    perms: {
      el1: letters(rights.read.el1, rights.write.el1, rights.execute.el1),
      el0: letters(rights.read.el0, rights.write.el0, rights.execute.el0),
    },
  };
}

/** `walks`: every table that is read, and the result or the fault. */
export function walks(record: unknown): void {
  const expected = record as Json;
  const roots = rootsOf(expected);
  const memory = new SparseMemory();
  for (const [at, word] of expected.mem as [string, string][]) writeWord(memory, phys(BigInt(at)), BigInt(word));
  const space = createSpace(memory, roots);
  const va = numberIn(expected, expected.stage === 2 ? 'ipa' : 'va');
  const given = expected.access as Json;
  const options = expected.stage === 2 ? {} : { wxn: expected.wxn === true, pan: given.pan === true };
  const result = access(space, va, { ...requestOf(given), options });
  const steps = walk(space, va).steps.map((step) => [step.hardwareLevel, step.slot, step.entry]);
  sameMembers({ steps }, expected, ['steps']);
  sameFault(result, expected.fault);
  if (!result.allowed) return;
  const actual = resultAsWritten(expected, result, roots);
  sameMembers(actual, { descriptorUpdate: undefined, ...(expected.result as Json) });
}

/**
 * `malformed`: one descriptor, reached by a tree that consists of nothing else: its table is the root of a geometry that
 * starts at its level.
 */
export function malformed(record: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, [
    'id',
    'granule',
    'lpa2',
    'stage',
    'level',
    'raw',
    'outputBits',
    'hwAccessFlag',
    'access',
    'fault',
    'why',
  ]);
  const granule = granuleIn(expected);
  const level = Number(expected.level);
  const shift = levelShift(granule, level);
  const indexBits = Math.min(granule === '4K' ? 9 : granule === '16K' ? 11 : 13, 52 - shift);
  const features = [
    ...(expected.lpa2 === true ? ['lpa2'] : []),
    ...(granule === '64K' ? ['pa52'] : []),
    ...(expected.hwAccessFlag === true ? ['ha'] : []),
    ...(expected.stage === 2 ? ['xnx'] : []),
  ];
  const outputBits = Number(expected.outputBits);
  const shape = { granule, inputBits: shift + indexBits, outputBits };
  const geometry =
    expected.stage === 2
      ? stage2Geometry({ ...shape, start: level })
      : stage1Geometry({ ...shape, half: 'low', rootAlignBytes: 64 });
  const format = expected.stage === 2 ? arm64Stage2[granule] : arm64Stage1[granule];
  const paging = createPaging(format, geometry, { features });
  if (paging.geometry.root.level !== hardwareLevel(level)) throw new Error('the geometry does not start at that level');
  const memory = new SparseMemory();
  writeWord(memory, phys(0x8000_0000n), numberIn(expected, 'raw'));
  const space = createSpace(memory, { paging, address: 0x8000_0000n });
  sameFault(access(space, 0n, requestOf(expected.access as Json)), expected.fault);
}
