/** The description itself: fields, pieces of addresses, names. */
import {
  type AddressPiece,
  type CompiledShape,
  type FeatureCondition,
  type Field,
  featuresHold,
  featuresNamed,
  levelHolds,
  maskOf,
  type Paging,
  rangesMask,
  type Shape,
} from '@pagefold/core';
import { type Context, defineCheck } from '../context.ts';
import { wholeAddressMask } from '../parts.ts';
import type { ConformanceCheck } from '../subject.ts';

/** Fields of a shape that exist: inside the entry, with names of their own, not over each other. */
function checkFields(context: Context, level: number, { shape, fields }: CompiledShape): bigint {
  const word = maskOf(context.paging.format.entryBytes * 8);
  let taken = 0n;
  const names = new Set<string>();
  for (const { name, bits } of fields) {
    const where = { level, shape: shape.name, field: name };
    if (names.has(name)) context.fail('field-name', 'fields of a shape have names of their own', where);
    names.add(name);
    let mask = 0n;
    for (const [hi, lo] of bits) {
      if (hi < lo || lo < 0) context.fail('field-range', 'a range of bits is written high, low', { ...where, hi, lo });
      const part = maskOf(hi - lo + 1, lo);
      if ((mask & part) !== 0n) context.fail('field-overlap', 'a field names each bit once', { ...where, bits: part });
      mask |= part;
    }
    if ((mask & ~word) !== 0n) context.fail('field-outside', 'a field lies in the entry', { ...where, bits: mask });
    const shared = taken & mask;
    if (shared !== 0n) context.fail('field-overlap', 'fields do not overlap', { ...where, bits: shared });
    taken |= mask;
  }
  return taken;
}

function activePieces(paging: Paging, shape: Shape): readonly AddressPiece[] {
  return shape.kind === 'empty' ? [] : shape.address.filter(({ when }) => featuresHold(when, paging.features));
}

/** Pieces of an address: inside the entry, over neither each other nor a field that is no address. */
function checkPieces(context: Context, level: number, compiled: CompiledShape): void {
  const { paging } = context;
  const { shape, fields, address } = compiled;
  const word = maskOf(paging.format.entryBytes * 8);
  let entryBits = 0n;
  let addressBits = 0n;
  for (const { entryLo, addressLo, bits } of activePieces(paging, shape)) {
    const where = { level, shape: shape.name, entryLo, addressLo, bits };
    const inEntry = maskOf(bits, entryLo);
    const inAddress = maskOf(bits, addressLo);
    if (bits < 1) context.fail('piece-empty', 'a piece of an address has bits', where);
    if ((inEntry & ~word) !== 0n) context.fail('piece-outside', 'a piece of an address lies in the entry', where);
    if ((inEntry & entryBits) !== 0n) context.fail('piece-overlap', 'pieces do not overlap in the entry', where);
    if ((inAddress & addressBits) !== 0n) context.fail('piece-overlap', 'pieces do not overlap in the address', where);
    entryBits |= inEntry;
    addressBits |= inAddress;
    for (const { name, bits: ranges } of fields) {
      const mask = rangesMask(ranges);
      const used = inEntry & address.mask;
      // A field over an address may only be a name for it: then it holds all of the piece that is read here.
      if ((mask & used) === 0n || (used & ~mask) === 0n) continue;
      context.fail('field-in-address', 'a field does not lie in the address', { ...where, field: name });
    }
  }
  for (const { name, bits } of fields) {
    const mask = rangesMask(bits);
    const whole = wholeAddressMask(paging, compiled);
    if ((mask & address.mask) !== 0n && (mask & ~whole) !== 0n) {
      context.fail('field-in-address', 'a field that names an address names nothing else', {
        level,
        shape: shape.name,
        field: name,
      });
    }
  }
}

/** Bits that are no field, no piece and not tested, and that the author does not say are ignored. */
function unknownBits(context: Context, level: number, compiled: CompiledShape, fields: bigint): bigint {
  const { paging, subject } = context;
  const { shape, tests } = compiled;
  let known = fields | tests.mask | wholeAddressMask(paging, compiled);
  for (const rule of paging.format.rules) {
    const speaks =
      featuresHold(rule.when, paging.features) &&
      levelHolds(rule.levels, level, paging.features) &&
      (rule.kinds ?? ['table', 'leaf']).some((kind) => kind === shape.kind) &&
      rule.shapes?.includes(shape.name) !== false;
    if (speaks && typeof rule.tests !== 'string') for (const { mask } of rule.tests) known |= mask;
  }
  known |= subject.ignoredBits?.[shape.name] ?? 0n;
  return maskOf(paging.format.entryBytes * 8) & ~known;
}

export const fieldLayout: ConformanceCheck = defineCheck(
  'field-layout',
  'Fields of a shape overlap neither each other nor the address; fields, address, tests and ignored bits make up the ' +
    'entry.',
  (context) => {
    const unknown: Record<string, bigint> = {};
    for (const { level, shapes } of context.paging.levels) {
      for (const compiled of shapes) {
        const { name, kind } = compiled.shape;
        const fields = checkFields(context, level.level, compiled);
        checkPieces(context, level.level, compiled);
        const bits = kind === 'empty' ? 0n : unknownBits(context, level.level, compiled, fields);
        if (bits !== 0n) unknown[name] = (unknown[name] ?? 0n) | bits;
      }
    }
    if (Object.keys(unknown).length > 0) {
      context.fail('bits-unknown', 'every bit is a field, an address, tested, or listed in ignoredBits', unknown);
    }
  },
);

/** Names in conditions must be features. */
function checkCondition(context: Context, condition: FeatureCondition | undefined, what: string): void {
  for (const feature of featuresNamed(condition)) {
    if (Object.hasOwn(context.paging.format.features, feature)) continue;
    context.fail('feature-unknown', 'conditions name features of the format', { feature, in: what });
  }
}

function checkShapeNames(context: Context, shape: Shape): void {
  const { format } = context.paging;
  checkCondition(context, shape.when, shape.name);
  for (const level of shape.levels ?? [])
    if (typeof level !== 'number') checkCondition(context, level.when, shape.name);
  for (const { when, name } of shape.fields) checkCondition(context, when, `${shape.name}.${name}`);
  for (const { when } of shape.kind === 'empty' ? [] : shape.address) checkCondition(context, when, shape.name);
  if (shape.kind === 'empty' && shape.reason === '') {
    context.fail('reason-name', 'an empty shape has a reason', { shape: shape.name });
  }
  if (shape.kind !== 'table') return;
  for (const { field, on, when } of shape.effects ?? []) {
    checkCondition(context, when, shape.name);
    const where = { format: format.name, shape: shape.name, field, on };
    if (!shape.fields.some(({ name }: Field) => name === field)) {
      context.fail('effect-field', 'an effect comes from a field of the table shape', where);
    }
    if (on === '') context.fail('effect-on', 'an effect acts on a field, or has a name of its own', where);
  }
}

/** At one level, with the features that are on, a name means one leaf or table. */
function checkLevelNames(context: Context): void {
  for (const { level, shapes } of context.paging.levels) {
    const names = new Set<string>();
    for (const { shape } of shapes) {
      if (shape.kind === 'empty') continue;
      if (names.has(shape.name)) {
        context.fail('shape-twice', 'leaves and tables of a level have names of their own', {
          level: level.level,
          shape: shape.name,
        });
      }
      names.add(shape.name);
    }
  }
}

export const descriptionNames: ConformanceCheck = defineCheck(
  'description-names',
  'Names agree: attributes are leaf fields, effects join fields that exist, rules speak of shapes that exist, ' +
    'leaves and tables of a level have names of their own, ' +
    'conditions of features that exist.',
  (context) => {
    const { format } = context.paging;
    const leafFields = new Set(
      format.shapes.filter(({ kind }) => kind === 'leaf').flatMap(({ fields }) => fields.map(({ name }) => name)),
    );
    checkLevelNames(context);
    for (const shape of format.shapes) checkShapeNames(context, shape);
    for (const attribute of format.attributes) {
      if (!leafFields.has(attribute)) {
        context.fail('attribute-field', 'an attribute is a field of some leaf shape', { attribute });
      }
    }
    const shapes = new Set(format.shapes.map(({ name }) => name));
    for (const { reason, shapes: names = [], when, levels } of format.rules) {
      if (reason === '') context.fail('reason-name', 'a rule has a reason');
      checkCondition(context, when, reason);
      for (const level of levels ?? []) if (typeof level !== 'number') checkCondition(context, level.when, reason);
      for (const shape of names) {
        if (!shapes.has(shape)) context.fail('rule-shape', 'a rule speaks of shapes that exist', { reason, shape });
      }
    }
    const options = format.access.options.map(({ name }) => name);
    if (new Set(options).size !== options.length) context.fail('option-name', 'access options have names of their own');
  },
);
