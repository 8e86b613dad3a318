/** Lists of regions as people write them: JSON, or lines of `ADDRESS, SIZE, TYPE, NAME` for identity maps. */
import type { Attributes, CommonAttributes, Field, Paging, RegionRequest } from '@pagefold/core';
import { UsageError } from './errors.ts';
import { readText } from './files.ts';
import { looksLikeNumber, parseNumber, parseRange, parseSize } from './numbers.ts';

type Json = Readonly<Record<string, unknown>>;

/** A half-open range of physical addresses. */
export interface Area {
  readonly start: bigint;
  readonly end: bigint;
}

/** What a file says, before the architecture is known. */
export interface BuildDescription {
  /** Options of the architecture as text, `arch` among them. */
  readonly options: Readonly<Record<string, string | boolean>>;
  readonly root: bigint | undefined;
  readonly tables: readonly Area[];
  readonly regions: readonly Json[];
  /** Members that count for every region which has none of its own. */
  readonly defaults: Json;
}

const OWN_MEMBERS = ['root', 'tables', 'regions', 'comment', '$schema'];
const DEFAULTS = ['maxLeaf', 'contiguous', 'tableAttributes'];
const REGION_MEMBERS = ['name', 'va', 'pa', 'size', 'attributes', 'comment', ...DEFAULTS];
const FLAGS = ['read', 'write', 'execute', 'user', 'global', 'accessed', 'dirty'] as const;
const WORDS = ['memory', 'shareability'] as const;

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A number in JSON: a number, or text with a base or a unit. */
function sizeIn(value: unknown, what: string): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === 'string') return parseSize(value, what);
  throw new UsageError(`${what}: ${JSON.stringify(value) ?? 'nothing'} is not a number`);
}

function areaIn(value: unknown, what: string): Area {
  if (typeof value === 'string') return parseRange(value, what);
  if (isRecord(value)) {
    const start = sizeIn(value.start, `${what}.start`);
    const end = value.end === undefined ? start + sizeIn(value.size, `${what}.size`) : sizeIn(value.end, `${what}.end`);
    if (end > start) return { start, end };
  }
  throw new UsageError(`${what}: ${JSON.stringify(value)} is not START-END, START+SIZE or {"start", "end"}`);
}

/** Ranges for tables: one, or a list. */
export function areasIn(value: unknown, what: string): Area[] {
  if (value === undefined) return [];
  return Array.isArray(value)
    ? value.map((each, i) => areaIn(each, `${what}[${i}]`))
    : typeof value === 'string'
      ? value.split(',').map((each) => areaIn(each, what))
      : [areaIn(value, what)];
}

/** An option of the architecture as the command line would have it. */
function optionIn(name: string, value: unknown): string | boolean {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return String(value);
  if (Array.isArray(value) && value.every((word) => typeof word === 'string')) return value.join(',');
  throw new UsageError(`${name}: ${JSON.stringify(value)} is not a number, a word or a list of words`);
}

function fromJson(text: string, path: string): BuildDescription {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`'${path}' is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(parsed)) throw new UsageError(`'${path}' is not a JSON object`);
  const { regions, root } = parsed;
  if (!Array.isArray(regions) || !regions.every(isRecord)) throw new UsageError('regions: give a list of objects');
  const options: Record<string, string | boolean> = {};
  const defaults: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (OWN_MEMBERS.includes(name)) continue;
    if (DEFAULTS.includes(name)) {
      defaults[name] = value;
      continue;
    }
    options[name] = optionIn(name, value);
  }
  return {
    options,
    root: root === undefined ? undefined : sizeIn(root, 'root'),
    tables: areasIn(parsed.tables, 'tables'),
    regions: regions as Json[],
    defaults,
  };
}

/** What the types of memory maps mean. */
const TYPES: Readonly<Record<string, string>> = { DEVICE: 'rw device', RW_DATA: 'rw', RO_DATA: 'r', CODE: 'rx' };

function fromLines(text: string): BuildDescription {
  const lines = text.split('\n').map((line) => line.replace(/#.*$/, '').trim());
  const regions = lines.flatMap((line, i): Json[] => {
    if (line === '') return [];
    const [pa, size, type = '', ...name] = line.split(',').map((word) => word.trim());
    const attributes = TYPES[type.toUpperCase()];
    if (pa === undefined || size === undefined || attributes === undefined) {
      throw new UsageError(`line ${i + 1}: '${line}' is not ADDRESS, SIZE, ${Object.keys(TYPES).join('|')}, NAME`);
    }
    return [{ ...(name.length === 0 ? {} : { name: name.join(', ') }), pa, size, attributes }];
  });
  return { options: {}, root: undefined, tables: [], regions, defaults: {} };
}

/**
 * Reads a list of regions. What begins with a brace is JSON.
 * @throws UsageError if it is neither form
 */
export function readDescription(path: string): BuildDescription {
  const text = readText(path === '-' ? 0 : path);
  return /\.(csv|txt)$/i.test(path) && !text.trimStart().startsWith('{') ? fromLines(text) : fromJson(text, path);
}

/** Attributes in words: `rwx user device`. */
function commonWords(text: string, what: string): Partial<CommonAttributes> {
  const wanted: { -readonly [Name in keyof CommonAttributes]?: CommonAttributes[Name] } = {};
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    if (/^[rwx]+$/.test(word)) {
      wanted.read = word.includes('r');
      wanted.write = word.includes('w');
      wanted.execute = word.includes('x');
    } else if (word === 'user' || word === 'global') wanted[word] = true;
    else if (word === 'normal' || word === 'uncached' || word === 'device') wanted.memory = word;
    else throw new UsageError(`${what}: '${word}' is none of r, w, x, user, global, normal, uncached, device`);
  }
  return wanted;
}

function commonMembers(value: Json, what: string): Partial<CommonAttributes> {
  for (const name of FLAGS) {
    if (value[name] !== undefined && typeof value[name] !== 'boolean') {
      throw new UsageError(`${what}.${name}: give true or false`);
    }
  }
  for (const name of WORDS) {
    if (value[name] !== undefined && typeof value[name] !== 'string')
      throw new UsageError(`${what}.${name}: give a word`);
  }
  return value as Partial<CommonAttributes>;
}

/** A field's value: a number, or the name of one. */
function fieldValue(fields: readonly Field[], name: string, value: unknown, what: string): number {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  if (typeof value === 'string') {
    if (looksLikeNumber(value)) return Number(parseNumber(value, what, 32));
    const values = fields.find((field) => field.name === name)?.values ?? {};
    const named = Object.entries(values).find(([, word]) => word.toLowerCase() === value.toLowerCase());
    if (named !== undefined) return Number(named[0]);
  }
  throw new UsageError(`${what}: ${JSON.stringify(value)} is no value of a field`);
}

/** Raw bits or named fields. */
function attributesIn(value: unknown, fields: readonly Field[], what: string, width: number): Attributes {
  if (typeof value === 'string') return parseNumber(value, what, width);
  if (!isRecord(value)) throw new UsageError(`${what}: give bits as hex text or fields by name`);
  const names = [...new Set(fields.map(({ name }) => name))];
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => {
      if (!names.includes(name)) {
        throw new UsageError(`${what}: no attribute or field '${name}'; fields are ${names.join(', ')}`);
      }
      return [name, fieldValue(fields, name, each, `${what}.${name}`)];
    }),
  );
}

function leafAttributes(value: unknown, paging: Paging, what: string): Pick<RegionRequest, 'attributes' | 'common'> {
  if (value === undefined) throw new UsageError(`${what} are missing`);
  if (typeof value === 'string' && !looksLikeNumber(value)) return { common: commonWords(value, what) };
  if (isRecord(value)) {
    const common: readonly string[] = [...FLAGS, ...WORDS];
    const members = Object.keys(value).filter((name) => name !== 'comment');
    if (members.every((name) => common.includes(name))) return { common: commonMembers(value, what) };
  }
  const fields = paging.levels.flatMap(({ leaves }) => leaves.flatMap((leaf) => leaf.fields));
  return { attributes: attributesIn(value, fields, what, paging.format.entryBytes * 8) };
}

function regionIn(given: Json, defaults: Json, index: number, paging: Paging): RegionRequest {
  const name = typeof given.name === 'string' && given.name !== '' ? given.name : `region ${index + 1}`;
  const what = `regions[${index}]${typeof given.name === 'string' ? ` (${name})` : ''}`;
  const unknown = Object.keys(given).find((member) => !REGION_MEMBERS.includes(member));
  if (unknown !== undefined) {
    throw new UsageError(`${what}: no member '${unknown}'; there are ${REGION_MEMBERS.join(', ')}`);
  }
  if (given.va === undefined && given.pa === undefined) throw new UsageError(`${what}: va and pa are missing`);
  const value: Json = { ...defaults, ...given };
  const { contiguous, maxLeaf, tableAttributes } = value;
  if (contiguous !== undefined && typeof contiguous !== 'boolean') {
    throw new UsageError(`${what}.contiguous: give true or false`);
  }
  const pointers = paging.levels.flatMap(({ table }) => table?.fields ?? []);
  const width = paging.format.entryBytes * 8;
  return {
    name,
    va: sizeIn(value.va ?? value.pa, `${what}.va`),
    pa: sizeIn(value.pa ?? value.va, `${what}.pa`),
    bytes: sizeIn(value.size, `${what}.size`),
    ...leafAttributes(value.attributes, paging, `${what}.attributes`),
    ...(tableAttributes === undefined
      ? {}
      : { tableAttributes: attributesIn(tableAttributes, pointers, `${what}.tableAttributes`, width) }),
    ...(maxLeaf === undefined ? {} : { maxLeafBytes: sizeIn(maxLeaf, `${what}.maxLeaf`) }),
    ...(contiguous === undefined ? {} : { runs: contiguous }),
  };
}

/**
 * The regions of a description.
 * @param paging says which fields there are
 * @throws UsageError that names the member which is wrong
 */
export function regionsOf({ regions, defaults }: BuildDescription, paging: Paging): RegionRequest[] {
  if (regions.length === 0) throw new UsageError('regions: there are none');
  return regions.map((region, index) => regionIn(region, defaults, index, paging));
}
