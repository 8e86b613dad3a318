/** What must hold for every picture, and a look at where its text stands. */
import { expect } from 'vitest';
import { elements, parseXml, type XmlElement } from './xml.ts';

interface Place {
  readonly said: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Width of a character of DejaVu Sans Mono over its size. */
const CHARACTER = 0.602;

/** The box of a text, worked out from its attributes alone. */
function placeOf({ attributes, text }: XmlElement): Place {
  const size = (attributes.class ?? '').split(' ').includes('pf-small') ? 10 : 12;
  const width = [...text].length * size * CHARACTER;
  const x = Number(attributes.x);
  const middle = Number(attributes.y) - size * 0.35;
  const left = { start: x, middle: x - width / 2, end: x - width }[attributes['text-anchor'] ?? 'start'] ?? Number.NaN;
  // Capitals and descenders of a font of this size reach so far.
  const half = size * 0.48;
  if (attributes.transform === undefined) {
    return { said: text, left, right: left + width, top: middle - half, bottom: middle + half };
  }
  expect(attributes.transform).toBe(`rotate(-90 ${attributes.x} ${Number(middle.toFixed(2))})`);
  return { said: text, left: x - half, right: x + half, top: middle - width / 2, bottom: middle + width / 2 };
}

/** Checks what all pictures share; gives the texts that are shown. */
export function checkPicture(svg: string, kind: string): string[] {
  const root = parseXml(svg);
  expect(root.name).toBe('svg');
  expect(root.attributes.role).toBe('img');
  expect(root.attributes.class).toBe(`pagefold pagefold-${kind}`);
  expect(root.children.slice(0, 3).map(({ name }) => name)).toEqual(['title', 'desc', 'style']);
  expect(root.children[0]?.text).not.toBe('');
  expect(root.children[1]?.text).not.toBe('');
  const [, , width = 0, height = 0] = (root.attributes.viewBox ?? '').split(' ').map(Number);
  expect(svg).not.toMatch(/NaN|Infinity|undefined| id="|e[-+]\d+"/);
  for (const { attributes } of elements(root, 'rect')) {
    for (const name of ['x', 'y', 'width', 'height']) expect(Number(attributes[name])).toBeGreaterThanOrEqual(0);
    expect(Number(attributes.x) + Number(attributes.width)).toBeLessThanOrEqual(width);
    expect(Number(attributes.y) + Number(attributes.height)).toBeLessThanOrEqual(height);
  }
  const places = elements(root, 'text').map(placeOf);
  for (const { said, left, right, top, bottom } of places) {
    expect([said, left >= 0 && right <= width && top >= 0 && bottom <= height]).toEqual([said, true]);
  }
  const sorted = [...places].sort((a, b) => a.left - b.left);
  sorted.forEach((a, i) => {
    for (const b of sorted.slice(i + 1)) {
      if (b.left >= a.right) break;
      const apart = a.bottom <= b.top || b.bottom <= a.top;
      expect([a.said, b.said, apart]).toEqual([a.said, b.said, true]);
    }
  });
  return places.map(({ said }) => said);
}

/** Class names that a picture uses but its style does not know. */
export function unknownClasses(svg: string): string[] {
  const root = parseXml(svg);
  const style = elements(root, 'style')[0]?.text ?? '';
  const used = new Set(
    ['rect', 'path', 'text']
      .flatMap((name) => elements(root, name))
      .flatMap(({ attributes }) => (attributes.class ?? '').split(' ')),
  );
  return [...used].filter((name) => name !== '' && !style.includes(`.${name}{`));
}
