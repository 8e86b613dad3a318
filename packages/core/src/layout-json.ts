/** Layouts as JSON: numbers are hex text, ends are exclusive. What {@link layoutToJson} writes, {@link parseLayouts} reads. */
import { hex } from './address.ts';
import { ArgumentError } from './errors.ts';
import { type Layout, type Region, sortRegions } from './layout.ts';
import type { AlignmentRule, LayoutRules, ReachRule, ShadowRule, UnbrokenRule } from './layout-rules.ts';
import type { AddressRange } from './range.ts';

/** A layout as JSON, or a part of one. */
export type LayoutJson = Readonly<Record<string, unknown>>;

function fail(where: string, what: string): never {
  throw new ArgumentError('layout-json', `${where}: ${what}`);
}

function objectAt(value: unknown, where: string): LayoutJson {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as LayoutJson;
  return fail(where, 'must be an object');
}

/** Refuses members that mean nothing, so that a slip of the pen does not go unnoticed. */
function onlyMembers(record: LayoutJson, known: readonly string[], where: string): void {
  const unknown = Object.keys(record).find((key) => !known.includes(key));
  if (unknown !== undefined) fail(where, `has no member '${unknown}' (known are ${known.join(', ')})`);
}

function listAt(value: unknown, where: string): readonly unknown[] {
  return Array.isArray(value) ? value : fail(where, 'must be a list');
}

function textAt(record: LayoutJson, key: string, where: string, otherwise?: string): string {
  const value = record[key] ?? otherwise;
  return typeof value === 'string' ? value : fail(where, `'${key}' must be text`);
}

function namesAt(value: unknown, where: string): readonly string[] {
  return listAt(value, where).map((name) => (typeof name === 'string' ? name : fail(where, 'must be a list of names')));
}

/** A number: hex or decimal text, or a JSON number that is exact. */
function numberAt(record: LayoutJson, key: string, where: string): bigint {
  const value = record[key];
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'string' && /^(0x[0-9a-f_]+|[0-9_]+)$/i.test(value)) return BigInt(value.replaceAll('_', ''));
  return fail(where, `'${key}' must be a number: "0x…" or decimal text`);
}

const REGION_MEMBERS = ['name', 'start', 'end', 'size', 'purpose', 'kind', 'within', 'growing', 'usedTo', 'formula'];

function regionAt(value: unknown, where: string): Region {
  const record = objectAt(value, where);
  const name = textAt(record, 'name', where);
  const here = `${where} ${name}`;
  onlyMembers(record, REGION_MEMBERS, here);
  const start = numberAt(record, 'start', here);
  if (record.end === undefined && record.size === undefined) fail(here, `'end' or 'size' is missing`);
  const end = record.end === undefined ? start + numberAt(record, 'size', here) : numberAt(record, 'end', here);
  if (record.size !== undefined && numberAt(record, 'size', here) !== end - start) {
    fail(here, `'size' is not 'end' minus 'start'`);
  }
  const growing = record.growing ?? false;
  if (typeof growing !== 'boolean') fail(here, `'growing' must be true or false`);
  return {
    name,
    start,
    end,
    purpose: textAt(record, 'purpose', here, ''),
    ...(record.kind === undefined ? {} : { kind: textAt(record, 'kind', here) }),
    ...(record.within === undefined ? {} : { within: namesAt(record.within, `${here}: 'within'`) }),
    ...(growing ? { growing } : {}),
    ...(record.usedTo === undefined ? {} : { usedTo: numberAt(record, 'usedTo', here) }),
    ...(record.formula === undefined ? {} : { formula: textAt(record, 'formula', here) }),
  };
}

function rangeAt(value: unknown, where: string): AddressRange<bigint> {
  const record = objectAt(value, where);
  onlyMembers(record, ['start', 'end'], where);
  return { start: numberAt(record, 'start', where), end: numberAt(record, 'end', where) };
}

/** A size that things are multiples of. */
function powerAt(record: LayoutJson, key: string, where: string): bigint {
  const bytes = numberAt(record, key, where);
  if (bytes <= 0n || (bytes & (bytes - 1n)) !== 0n) fail(where, `'${key}' must be a power of two`);
  return bytes;
}

/** A rule about one region and a size. */
function sizedAt(
  record: LayoutJson,
  members: readonly string[],
  where: string,
): { region: string; bytes: bigint; why: string } {
  onlyMembers(record, members, where);
  const bytes = powerAt(record, 'bytes', where);
  return { region: textAt(record, 'region', where), bytes, why: textAt(record, 'why', where, 'the file says so') };
}

function alignmentAt(value: unknown, where: string): AlignmentRule {
  const record = objectAt(value, where);
  const edge = textAt(record, 'edge', where, 'start');
  if (edge !== 'start' && edge !== 'end' && edge !== 'both') fail(where, `'edge' must be start, end or both`);
  return { ...sizedAt(record, ['region', 'bytes', 'edge', 'why'], where), edge };
}

function unbrokenAt(value: unknown, where: string): UnbrokenRule {
  return sizedAt(objectAt(value, where), ['region', 'bytes', 'why'], where);
}

function reachAt(value: unknown, where: string): ReachRule {
  const record = objectAt(value, where);
  onlyMembers(record, ['regions', 'bytes', 'why'], where);
  const [first, second, ...more] = namesAt(record.regions, where);
  if (first === undefined || second === undefined || more.length > 0) fail(where, `'regions' must be two names`);
  const bytes = numberAt(record, 'bytes', where);
  return { regions: [first, second], bytes, why: textAt(record, 'why', where, 'the file says so') };
}

function shadowAt(value: unknown, where: string): ShadowRule {
  const record = objectAt(value, where);
  onlyMembers(record, ['region', 'scale', 'offset', 'covers'], where);
  return {
    region: textAt(record, 'region', where),
    scale: Number(numberAt(record, 'scale', where)),
    offset: numberAt(record, 'offset', where),
    ...(record.covers === undefined ? {} : { covers: namesAt(record.covers, `${where}: 'covers'`) }),
  };
}

const RULE_MEMBERS = ['pageBytes', 'addressable', 'alignment', 'order', 'reach', 'unbroken', 'shadow', 'rootSpan'];

/** Rules as JSON. */
function rulesAt(value: unknown, where: string): LayoutRules {
  const record = objectAt(value, where);
  onlyMembers(record, RULE_MEMBERS, where);
  const all = <T>(key: string, one: (value: unknown, where: string) => T): readonly T[] =>
    listAt(record[key], `${where}: '${key}'`).map((each, index) => one(each, `${where}: '${key}' ${index + 1}`));
  return {
    ...(record.pageBytes === undefined ? {} : { pageBytes: powerAt(record, 'pageBytes', where) }),
    ...(record.addressable === undefined ? {} : { addressable: all('addressable', rangeAt) }),
    ...(record.alignment === undefined ? {} : { alignment: all('alignment', alignmentAt) }),
    ...(record.order === undefined ? {} : { order: namesAt(record.order, `${where}: 'order'`) }),
    ...(record.reach === undefined ? {} : { reach: all('reach', reachAt) }),
    ...(record.unbroken === undefined ? {} : { unbroken: all('unbroken', unbrokenAt) }),
    ...(record.shadow === undefined ? {} : { shadow: shadowAt(record.shadow, `${where}: 'shadow'`) }),
    ...(record.rootSpan === undefined ? {} : { rootSpan: powerAt(record, 'rootSpan', where) }),
  };
}

/** A layout from a file, with the rules that the file brings itself. */
export interface ParsedLayout {
  readonly layout: Layout;
  /** Empty if the file has none. */
  readonly rules: LayoutRules;
}

const LAYOUT_MEMBERS = [
  'arch',
  'name',
  'profile',
  'title',
  'wordBits',
  'regions',
  'facts',
  'rules',
  'findings',
  'type',
];

/**
 * A layout from parsed JSON. Needed are `name` and `regions`, and of each region `name`, `start` and `end` or `size`.
 * @param value what `JSON.parse` gave
 * @param where name of the file, for messages
 * @throws ArgumentError `layout-json` that says what is wrong, and where
 */
export function layoutFromJson(value: unknown, where = 'layout'): ParsedLayout {
  const record = objectAt(value, where);
  onlyMembers(record, LAYOUT_MEMBERS, where);
  const name = textAt(record, 'name', where);
  const wordBits = record.wordBits ?? 64;
  if (wordBits !== 32 && wordBits !== 64) fail(where, `'wordBits' must be 32 or 64`);
  const facts = objectAt(record.facts ?? {}, `${where}: 'facts'`);
  const regions = listAt(record.regions, `${where}: 'regions'`);
  const layout: Layout = {
    ...(record.arch === undefined ? {} : { arch: textAt(record, 'arch', where) }),
    name,
    profile: textAt(record, 'profile', where, 'own'),
    title: textAt(record, 'title', where, name),
    wordBits,
    regions: sortRegions(regions.map((region, index) => regionAt(region, `${where}: region ${index + 1}`))),
    facts: Object.fromEntries(
      Object.keys(facts).map((key) => [key, BigInt.asUintN(64, numberAt(facts, key, `${where}: 'facts'`))]),
    ),
  };
  return { layout, rules: rulesAt(record.rules ?? {}, `${where}: 'rules'`) };
}

/**
 * Layouts from text: one JSON object, a JSON list of them, or one object a line. Objects whose `type` is `finding`, which
 * tools print beside layouts, are passed over.
 * @throws ArgumentError `layout-json`
 */
export function parseLayouts(text: string, where = 'layout'): ParsedLayout[] {
  const json = (source: string, at: string): unknown => {
    try {
      return JSON.parse(source);
    } catch (error) {
      return fail(at, error instanceof Error ? error.message : String(error));
    }
  };
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const isLines = lines.length > 1 && lines.every((line) => /^\s*\{.*\}\s*$/.test(line));
  const values = isLines ? lines.map((line, index) => json(line, `${where}:${index + 1}`)) : json(text, where);
  const list = Array.isArray(values) ? (values as readonly unknown[]) : [values];
  const isFinding = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && 'type' in value && value.type === 'finding';
  return list.flatMap((value, index) =>
    isFinding(value) ? [] : [layoutFromJson(value, list.length === 1 ? where : `${where}:${index + 1}`)],
  );
}

/** A region as JSON. */
function regionToJson(region: Region): LayoutJson {
  const { name, start, end, purpose, kind, within, growing, usedTo, formula } = region;
  return {
    name,
    start: hex(start),
    end: hex(end),
    size: hex(end - start),
    purpose,
    ...(kind === undefined ? {} : { kind }),
    ...(within === undefined ? {} : { within }),
    ...(growing === undefined ? {} : { growing }),
    ...(usedTo === undefined ? {} : { usedTo: hex(usedTo) }),
    ...(formula === undefined ? {} : { formula }),
  };
}

/** A layout as an object for `JSON.stringify`, numbers as hex text. */
export function layoutToJson(layout: Layout): LayoutJson {
  const { arch, name, profile, title, wordBits, regions, facts } = layout;
  return {
    ...(arch === undefined ? {} : { arch }),
    name,
    profile,
    title,
    wordBits,
    regions: regions.map(regionToJson),
    facts: Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, hex(value)])),
  };
}
