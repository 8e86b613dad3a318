/** Replays of the groups that walk tables: made-up ones, and those of real kernels. */
import {
  type AccessKind,
  type AccessRequest,
  type AccessResult,
  type AddressSpace,
  access,
  createSpace,
  eachMapped,
  type Privilege,
  phys,
  readWord,
  SparseMemory,
  virt,
  writeWord,
} from '@pagefold/core';
import { decodeSatp, RISCV_MODES } from '../../src/index.ts';
import { type Json, knowsMembers, numberIn, sameMembers, wordIn } from './compare.ts';
import { featuresOf, pagingOf } from './entries.ts';

const KINDS: Readonly<Record<string, AccessKind>> = { load: 'read', store: 'write', fetch: 'execute' };
const PRIVILEGES: Readonly<Record<string, Privilege>> = { S: 'supervisor', U: 'user' };
const PBMT = ['pma', 'nc', 'io'];

/** A space over the words of a record; its satp must say what mode and root the record names. */
function spaceOf(record: Json): AddressSpace {
  const mode = wordIn(record, 'mode', RISCV_MODES);
  const paging = pagingOf(mode, featuresOf(record.ext as Json));
  const { wordBits } = paging.geometry;
  sameMembers({ word_bytes: paging.format.entryBytes }, record, ['word_bytes']);
  const satp = decodeSatp(numberIn(record, 'satp'), wordBits);
  if (satp.kind !== 'translation') throw new Error(`satp: selects ${satp.kind}`);
  sameMembers({ mode: satp.mode, root: satp.root }, record, ['mode', 'root']);
  const memory = new SparseMemory();
  for (const [at, word] of Object.entries(record.words as Json)) {
    writeWord(memory, phys(BigInt(at)), BigInt(word as string), paging.format.entryBytes);
  }
  return createSpace(memory, { paging, address: satp.root, label: 'satp' });
}

function requestOf(parameters: Json): AccessRequest {
  const kind = KINDS[String(parameters.access)];
  const privilege = PRIVILEGES[String(parameters.priv)];
  if (kind === undefined || privilege === undefined) throw new Error('no replay for that access or privilege');
  const { sum, mxr, ad } = parameters as Record<string, string | boolean>;
  return { kind, privilege, options: { sum: sum ?? false, mxr: mxr ?? false, ad: ad ?? 'svade' } };
}

/** A result in the words of the vectors. */
function asWritten(result: AccessResult): Json {
  if (!result.allowed) {
    return {
      ok: false,
      fault: result.type,
      cause: result.code,
      reason: result.reason,
      level: result.hardwareLevel ?? null,
      pte_addr: result.slot,
      reasons: [...result.reasons].sort(),
    };
  }
  return {
    ok: true,
    pa: result.pa,
    level: result.hardwareLevel,
    size: result.leafBytes,
    napot: result.shape === 'napot',
    pte_addr: result.slot,
    pte: result.entry,
    pbmt: PBMT[result.fields.pbmt ?? 0],
    global: result.fields.g === 1,
    pte_after: result.updates[0]?.entry,
  };
}

/** Makes one access, lets the hardware write, and puts the entry back so that cases stay independent. */
function judge(space: AddressSpace, va: bigint, parameters: Json, expected: Json): void {
  const bytes = space.roots[0]?.paging.format.entryBytes ?? 8;
  const result = access(space, virt(va), requestOf(parameters), { apply: true });
  const { slot, entry } = result;
  const left = slot === undefined ? undefined : readWord(space.memory, slot, bytes);
  if (slot !== undefined && entry !== undefined) writeWord(space.memory, slot, entry, bytes);
  const wanted: Record<string, unknown> = { ...expected };
  if (Array.isArray(expected.reasons)) wanted.reasons = [...expected.reasons].sort();
  else if (expected.ok === false) wanted.reasons = [expected.reason];
  const seen = asWritten(result);
  sameMembers(seen, wanted, [...new Set([...Object.keys(seen), ...Object.keys(wanted)])]);
  if (left !== undefined) sameMembers({ word: left }, { word: expected.pte_after ?? expected.pte ?? entry });
}

const spaces = new WeakMap<object, AddressSpace>();

function cachedSpace(record: Json): AddressSpace {
  const known = spaces.get(record);
  if (known !== undefined) return known;
  const space = spaceOf(record);
  spaces.set(record, space);
  return space;
}

/** `walk.cases`: one access with its exact result or fault; the memories stand beside them in the file. */
export function walkCase(record: unknown, file: unknown): void {
  const expected = record as Json;
  knowsMembers(expected, ['id', 'mem', 'va', 'access', 'priv', 'sum', 'mxr', 'ad', 'expect']);
  const { memories } = (file as { walk: { memories: Json[] } }).walk;
  const memory = memories.find(({ id }) => id === expected.mem);
  if (memory === undefined) throw new Error(`no memory ${String(expected.mem)}`);
  knowsMembers(memory, ['id', 'mode', 'root', 'satp', 'word_bytes', 'ext', 'words']);
  judge(cachedSpace(memory), numberIn(expected, 'va'), expected, expected.expect as Json);
}

/** A case of `kernel_walk`, with the record that holds the tables and the access parameters. */
export interface KernelCase {
  readonly kernel: Json;
  readonly case: Json;
}

/** `kernel_walk.cases`. */
export function kernelCase({ kernel, case: expected }: KernelCase): void {
  knowsMembers(expected, ['va', 'expect']);
  judge(cachedSpace(kernel), numberIn(expected, 'va'), kernel, expected.expect as Json);
}

interface Run {
  readonly start: bigint;
  readonly end: bigint;
  readonly pa: bigint;
  readonly attr: string;
}

/**
 * `kernel_walk.runs`: what whole ranges map. Only the words on the tested paths are in the file, so every leaf that they
 * show inside a run must agree with it, and no run may go without one.
 */
export function kernelRuns({ kernel, case: expected }: KernelCase): void {
  const runs = (expected.runs as Json[]).map((run): Run => {
    knowsMembers(run, ['start', 'pa', 'size', 'attr']);
    const start = numberIn(run, 'start');
    return { start, end: start + numberIn(run, 'size'), pa: numberIn(run, 'pa'), attr: String(run.attr) };
  });
  const seen = new Set<Run>();
  const first = runs[0]?.start ?? 0n;
  eachMapped(cachedSpace(kernel), { start: first, end: 1n << 64n }, ({ start, end, pa, fields }) => {
    const attr = [...'rwxugad'].map((name) => (fields[name] === 1 ? name : '-')).join('');
    for (const run of runs) {
      if (start >= run.end || run.start >= end) continue;
      seen.add(run);
      sameMembers({ pa: pa - start, attr }, { pa: run.pa - run.start, attr: run.attr });
    }
  });
  if (seen.size < runs.length) throw new Error(`${runs.length - seen.size} runs without a leaf`);
}
