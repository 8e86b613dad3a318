/** Subjects with one thing wrong: how they are made. */
import {
  type CompiledShape,
  createPaging,
  type Format,
  type GeometryDescription,
  type Paging,
  type Shape,
} from '@pagefold/core';
import type { ConformanceSubject } from '../src/index.ts';
import { type ToyOptions, toyAttributes, toyFormat, toyGeometry } from './toy.ts';

/** A subject with one thing wrong. */
export interface Broken {
  /** What is wrong. */
  readonly what: string;
  readonly subject: () => ConformanceSubject;
  /** The rule that finds it, if only one can. */
  readonly rule?: string;
  /** Core refuses the description before the kit can look at it. */
  readonly refused?: true;
}

const OPTIONS: ToyOptions = { name: 'broken', run: { entries: 16, address: 'own', levels: [0, 1] } };
/** The format that the broken ones are made from. */
export const FORMAT: Format = toyFormat(OPTIONS);
const GEOMETRY = toyGeometry('broken', 12, [9, 9, 9]);

/** A subject of the toy with another format or geometry. */
export function subject(
  format: Partial<Format> = {},
  geometry: Partial<GeometryDescription> = {},
  more: Partial<ConformanceSubject> = {},
): ConformanceSubject {
  const paging = createPaging({ ...FORMAT, ...format }, { ...GEOMETRY, ...geometry });
  return { name: 'broken', paging, attributes: toyAttributes, ...more };
}

/** Replaces members of an object, behind the back of its type. */
export function patch(target: object, members: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
  }
}

/** A subject whose paging was tampered with after it was made. */
export function tampered(tamper: (paging: Paging) => void): ConformanceSubject {
  const made = subject();
  tamper(made.paging);
  return made;
}

/** The toy's shapes with some members of one replaced. */
export function shapes(name: string, change: (shape: Shape) => object): readonly Shape[] {
  return FORMAT.shapes.map((shape) => (shape.name === name ? ({ ...shape, ...change(shape) } as Shape) : shape));
}

/** The toy's leaves and runs with some members replaced. */
export function leafShapes(change: (shape: Shape) => object): readonly Shape[] {
  return FORMAT.shapes.map((shape) => (shape.kind === 'leaf' ? ({ ...shape, ...change(shape) } as Shape) : shape));
}

export function compiledLeaf(paging: Paging, level: number): CompiledShape {
  const leaf = paging.codec(level).leaves.find(({ runEntries }) => runEntries === 1);
  if (leaf === undefined) throw new Error('the toy has a leaf there');
  return leaf;
}

/** Lets the stored address be wrong for every address with a bit set. */
export function lie(compiled: CompiledShape, bit: number): void {
  const { address } = compiled;
  const encode = address.encodeLo.bind(address);
  const wrong = (at: number): number => (Math.floor(at / 2 ** bit) % 2 === 1 ? encode(at) ^ 0x4000 : encode(at));
  patch(address, { encodeLo: wrong });
}

/** Only smallest leaves are offered for mapping. */
export function onlyPages(paging: Paging): void {
  patch(paging, { leafChoices: paging.leafChoices.filter(({ leafBytes }) => leafBytes === paging.pageBytes) });
}

const PIECE = { entryLo: 12, addressLo: 12, bits: 36 };

/** The toy's address with some members of its only piece replaced. */
export function address(change: Partial<typeof PIECE>): { readonly address: readonly (typeof PIECE)[] } {
  return { address: [{ ...PIECE, ...change }] };
}
