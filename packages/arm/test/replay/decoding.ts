/** Replays of the groups that decode single words and of the walks. */
import { access, type Capture, createPaging, createSpace, phys, SparseMemory, walk, writeWord } from '@pagefold/core';
import {
  type ArmRegisters,
  armRoots,
  lpaeFormatOf,
  lpaeGeometry,
  lpaeMemoryType,
  type ShortFeature,
  shortFormatOf,
  shortGeometry,
  shortMemoryType,
  shortRights,
} from '../../src/index.ts';
import { type Json, numberIn, sameRecord } from './compare.ts';

interface Config {
  readonly tre?: boolean;
  readonly afe?: boolean;
  readonly pxn?: boolean;
  readonly supersections?: boolean;
}

type Values = Readonly<Record<string, number>>;

function featuresOf(cfg: Config): ShortFeature[] {
  return (['pxn', 'supersections', 'afe', 'tre'] as const).filter((name) => cfg[name] === true);
}

function numbers(fields: Readonly<Record<string, bigint>>): Values {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, Number(value)]));
}

const bits = ({ tex = 0, c = 0, b = 0, s = 0 }: Values) => ({ tex, c, b, s });

/** The type as the registers of a record make it. */
function shortType(values: Values, cfg: Json): Json {
  const remap = cfg.tre === true ? { prrr: numberIn(cfg, 'prrr'), nmrr: numberIn(cfg, 'nmrr') } : undefined;
  return { ...shortMemoryType(bits(values), remap) };
}

function mairOf(cfg: Json): bigint {
  return (numberIn(cfg, 'mair1') << 32n) | numberIn(cfg, 'mair0');
}

function lpaeType(values: Values, cfg: Json): Json {
  return { ...lpaeMemoryType(values.attrIndx ?? 0, values.sh ?? 0, mairOf(cfg)) };
}

/** What is wrong about a word but no fault: bits that should be zero and are not. */
function shortSbz(shape: string, values: Values): boolean {
  return (shape === 'table' || shape === 'large') && (values.sbz ?? 0) !== 0;
}

/** LPAE: bits 51:40, and address bits below a block's size. */
function lpaeSbz(level: number, leaf: boolean, raw: bigint): boolean {
  const low = leaf && level < 3 ? (1n << (level === 1 ? 30n : 21n)) - (1n << 12n) : 0n;
  return (raw & (0xfffn << 40n)) !== 0n || (raw & low) !== 0n;
}

function shortDescriptor(level: number, raw: bigint, cfg: Json): Json {
  const features = featuresOf(cfg as Config);
  const paging = createPaging(shortFormatOf({}), shortGeometry(), { features });
  const { kind, shape, address, fields } = paging.decode(2 - level, raw);
  const values = numbers(fields);
  if (kind === 'empty') return { kind: 'fault' };
  if (kind === 'malformed') return { kind: 'reserved' };
  const sbz = shortSbz(shape ?? '', values) ? { sbz: true } : {};
  if (kind === 'table') {
    const { domain, ns, pxn } = values;
    return { kind: 'table', table: address, domain, ns, pxn: features.includes('pxn') ? pxn : 0, ...sbz };
  }
  const { ap = 0, tex, c, b, s, nG, ns, xn, pxn = 0, domain = 0 } = values;
  const afe = cfg.afe === true;
  const { privileged, user } = shortRights(ap, afe);
  return {
    kind: shape,
    pa: address,
    ...(level === 1 ? { domain, ns, pxn: features.includes('pxn') ? pxn : 0 } : {}),
    tex,
    c,
    b,
    s,
    ap,
    ng: nG,
    xn,
    ...(afe ? { af: (ap & 1) === 1 } : {}),
    priv: privileged,
    user,
    ...(!afe && ap === 4 ? { apReserved: true } : {}),
    mem: shortType(values, cfg),
    ...sbz,
  };
}

function lpaeDescriptor(level: number, raw: bigint, cfg: Json): Json {
  const paging = createPaging(lpaeFormatOf({}), lpaeGeometry());
  const { kind, address, fields } = paging.decode(3 - level, raw);
  const values = numbers(fields);
  if (kind === 'empty') return { kind: 'invalid' };
  if (kind === 'malformed') return { kind: 'reserved' };
  const sbz = lpaeSbz(level, kind === 'leaf', raw) ? { sbz: true } : {};
  if (kind === 'table') {
    const { nsTable, apTable1 = 0, apTable0 = 0, xnTable, pxnTable } = values;
    return { kind, table: address, nsTable, apTable: apTable1 * 2 + apTable0, xnTable, pxnTable, ...sbz };
  }
  const { attrIndx, ns, ap1 = 0, ap2 = 0, sh, af, nG, contiguous, pxn, xn, sw } = values;
  const right = ap2 === 1 ? 'ro' : 'rw';
  // The output address of the one word, not of the run that it may belong to.
  const size = level === 1 ? 1n << 30n : level === 2 ? 1n << 21n : 1n << 12n;
  return {
    kind: level === 3 ? 'page' : 'block',
    oa: raw & 0xff_ffff_f000n & -size,
    attrIndx,
    ns,
    ap: ap2 * 2 + ap1,
    sh,
    af: af === 1,
    ng: nG,
    contig: contiguous,
    pxn,
    xn,
    sw,
    priv: right,
    user: ap1 === 1 ? right : 'none',
    mem: lpaeType(values, cfg),
    ...sbz,
  };
}

/** One word judged alone. */
export function descriptor(record: unknown): void {
  const { format, level, cfg, expect } = record as { format: string; level: number; cfg: Json; expect: Json };
  const raw = numberIn(record as Json, 'raw');
  const decoded = format === 'short' ? shortDescriptor(level, raw, cfg) : lpaeDescriptor(level, raw, cfg);
  sameRecord(decoded, expect, 'decoded');
}

interface Tables {
  readonly id: string;
  readonly format: 'short' | 'lpae';
  readonly cfg: Json;
  readonly mem: Readonly<Record<string, string>>;
}

function registersOf(cfg: Json): ArmRegisters {
  const number = (key: string): bigint | undefined => (cfg[key] === undefined ? undefined : numberIn(cfg, key));
  const dacr = number('dacr');
  return {
    ttbcr: numberIn(cfg, 'ttbcr'),
    ttbr0: number('ttbr0'),
    ttbr1: number('ttbr1'),
    dacr: dacr === undefined ? undefined : Number(dacr),
    prrr: number('prrr'),
    nmrr: number('nmrr'),
    mair0: number('mair0'),
    mair1: number('mair1'),
  };
}

const KINDS: Readonly<Record<string, 'read' | 'write' | 'execute'>> = {
  read: 'read',
  write: 'write',
  exec: 'execute',
};

const TYPES: Readonly<Record<string, string>> = { access_flag: 'accessFlag' };

/** One walk, with the access that is made. */
export function walkCase(record: unknown, file: unknown): void {
  const {
    tables: id,
    privileged,
    expect,
    access: word,
  } = record as {
    tables: string;
    privileged: boolean;
    access: string;
    expect: Json;
  };
  const tables = ((file as Capture).tables as readonly Tables[]).find((each) => each.id === id);
  if (tables === undefined) throw new Error(`no tables ${id}`);
  const memory = new SparseMemory();
  const bytes = tables.format === 'short' ? 4 : 8;
  for (const [at, value] of Object.entries(tables.mem)) writeWord(memory, phys(BigInt(at)), BigInt(value), bytes);
  const space = createSpace(memory, armRoots(registersOf(tables.cfg), featuresOf(tables.cfg as Config)));
  const va = numberIn(record as Json, 'va');
  const result = access(space, va, {
    kind: KINDS[word] ?? 'read',
    privilege: privileged ? 'supervisor' : 'user',
  });
  if (!result.allowed) {
    const reserved = result.reason === 'reserved_descriptor' ? { reserved: true } : {};
    const fault = { fault: TYPES[result.type] ?? result.type, level: result.hardwareLevel, fsr: result.code };
    sameRecord({ ...fault, ...reserved }, expect, 'fault');
    return;
  }
  const { fields, shape, hardwareLevel, pa, root } = result;
  const common = {
    pa,
    level: hardwareLevel,
    ttbr: root === 'TTBR1' ? 1 : 0,
    xn: fields.xn,
    pxn: fields.pxn ?? 0,
    ng: fields.nG,
    fetched: walk(space, va).steps.map(({ slot }) => slot),
  };
  const own =
    tables.format === 'short'
      ? { kind: shape, domain: fields.domain ?? 0, ns: fields.ns ?? 0, mem: shortType(fields, tables.cfg) }
      : {
          kind: shape.replace('contiguous-', ''),
          ap: (fields.ap2 ?? 0) * 2 + (fields.ap1 ?? 0),
          attrIndx: fields.attrIndx,
          contig: fields.contiguous,
          mem: lpaeType(fields, tables.cfg),
        };
  sameRecord({ ...common, ...own }, expect, 'result');
}
