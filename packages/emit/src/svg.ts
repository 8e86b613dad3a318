/**
 * What all pictures share: elements, escaping, numbers, the width of text, and the frame that every picture has.
 *
 * The same input gives the same text: no dates, no random names, no `id` at all, so that several pictures can stand in
 * one page. Neutral parts are drawn in `currentColor`; accents are middle tones that show on light and dark alike.
 */

/** What an attribute may hold; numbers are formatted, `undefined` leaves it out. */
export type SvgValue = string | number | undefined;

/** Pixels of ordinary and of small text. */
export const TEXT_SIZE = 12;
/** Pixels of small text. */
export const SMALL_SIZE = 10;
/** Width of a character of the monospace fonts named below, over its size; Courier and DejaVu need 0.60. */
const CHARACTER = 0.61;

/** Characters that take two columns: CJK, Hangul, fullwidth forms, most pictographs. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
/** What XML 1.0 cannot say: control characters, lone surrogates, two non-characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ud800-\udfff\ufffe\uffff]/gu;

/** Text as XML, in content and in attributes. */
export function escapeText(text: string): string {
  return text
    .replace(FORBIDDEN, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}

/** A number with at most two decimals and no trailing zeros. */
export function numberText(value: number): string {
  const text = value.toFixed(2).replace(/\.?0+$/, '');
  return text === '-0' ? '0' : text;
}

/** Pixels that a text takes at most. */
export function textWidth(text: string, size: number = TEXT_SIZE): number {
  let columns = 0;
  for (const character of text) columns += WIDE.test(character) ? 2 : 1;
  return columns * size * CHARACTER;
}

/** A text cut to a width, with an ellipsis if something is lost. */
export function fitText(text: string, width: number, size: number = TEXT_SIZE): string {
  if (textWidth(text, size) <= width) return text;
  let kept = '';
  for (const character of text) {
    if (textWidth(`${kept}${character}…`, size) > width) break;
    kept += character;
  }
  return `${kept}…`;
}

/** A text in lines that fit a width, broken at spaces; a word that is too long is cut. */
export function wrapText(text: string, width: number, size: number = TEXT_SIZE): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').filter(Boolean)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line === '' || textWidth(longer, size) <= width) line = longer;
    else {
      lines.push(fitText(line, width, size));
      line = word;
    }
  }
  return line === '' ? lines : [...lines, fitText(line, width, size)];
}

/** An element. Children are finished elements, one a line. */
export function element(name: string, attributes: Readonly<Record<string, SvgValue>>, ...children: string[]): string {
  const list = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? numberText(value) : escapeText(String(value))}"`)
    .join('');
  const inner = children.filter((child) => child !== '');
  return inner.length === 0 ? `<${name}${list}/>` : `<${name}${list}>\n${inner.join('\n')}\n</${name}>`;
}

/** How a text stands. */
export interface TextOptions {
  /** Further classes. */
  readonly class?: string;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly small?: boolean;
  /** Most pixels that it may take; longer text is cut and shown whole in a tooltip. */
  readonly width?: number;
  /** Reads upwards instead of to the right. */
  readonly upright?: boolean;
}

/**
 * A line of text.
 * @param y its middle, not its base line
 */
export function text(x: number, y: number, content: string, options: TextOptions = {}): string {
  const size = options.small === true ? SMALL_SIZE : TEXT_SIZE;
  const shown = options.width === undefined ? content : fitText(content, options.width, size);
  const classes = [options.small === true ? 'pf-small' : '', options.class ?? ''].filter(Boolean).join(' ');
  const attributes = {
    x,
    y: y + size * 0.35,
    class: classes === '' ? undefined : classes,
    'text-anchor': options.anchor === 'start' ? undefined : options.anchor,
    transform: options.upright === true ? `rotate(-90 ${numberText(x)} ${numberText(y)})` : undefined,
  };
  const tooltip = shown === content ? '' : `<title>${escapeText(content)}</title>`;
  return element('text', attributes, `${tooltip}${escapeText(shown)}`).replace(/\n/g, '');
}

/** A rectangle, with a tooltip if `title` is given. */
export function box(x: number, y: number, width: number, height: number, cls: string, title?: string): string {
  return element('rect', { x, y, width, height, class: cls }, title === undefined ? '' : tooltipText(title));
}

/** A tooltip. */
export function tooltipText(title: string): string {
  return `<title>${escapeText(title)}</title>`;
}

/** A path. */
export function path(d: string, cls: string, title?: string): string {
  return element('path', { d, class: cls }, title === undefined ? '' : tooltipText(title));
}

/** Points as path data: the first is moved to, the others drawn to. */
export function points(...list: readonly (readonly [x: number, y: number])[]): string {
  return list.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${numberText(x)} ${numberText(y)}`).join('');
}

/** A small arrow head that points to the right (or down), its tip at the point given. */
export function arrowHead(x: number, y: number, down = false): string {
  const corners: [number, number][] = down
    ? [
        [x, y],
        [x - 3.5, y - 7],
        [x + 3.5, y - 7],
      ]
    : [
        [x, y],
        [x - 7, y - 3.5],
        [x - 7, y + 3.5],
      ];
  return path(`${points(...corners)}Z`, 'pf-head');
}

/** Slanted lines over a rectangle, as path data; drawn out, since a pattern would need a name. */
export function hatch(x: number, y: number, width: number, height: number, step = 8): string {
  const lines: string[] = [];
  for (let offset = step; offset < width + height; offset += step) {
    const x1 = x + Math.max(0, offset - height);
    const y1 = y + Math.min(offset, height);
    const x2 = x + Math.min(offset, width);
    const y2 = y + Math.max(0, offset - width);
    lines.push(points([x1, y1], [x2, y2]));
  }
  return lines.join('');
}

const STYLE = `.pagefold{color:#1f2328}
.pagefold text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:${TEXT_SIZE}px;fill:currentColor;white-space:pre}
.pagefold .pf-small{font-size:${SMALL_SIZE}px}
.pagefold .pf-strong{font-weight:700}
.pagefold .pf-dim{fill-opacity:.7}
.pagefold .pf-ground{fill:#fff}
.pagefold .pf-box{fill:currentColor;fill-opacity:.05;stroke:currentColor;stroke-opacity:.55}
.pagefold .pf-head-row{fill:currentColor;fill-opacity:.12}
.pagefold .pf-empty{fill:currentColor;fill-opacity:.02;stroke:currentColor;stroke-opacity:.25}
.pagefold .pf-hatch{fill:none;stroke:currentColor;stroke-opacity:.25;stroke-width:.75}
.pagefold .pf-line{fill:none;stroke:currentColor;stroke-opacity:.6}
.pagefold .pf-faint{fill:currentColor;fill-opacity:.06;stroke:currentColor;stroke-opacity:.2}
.pagefold .pf-head{fill:currentColor;fill-opacity:.75}
.pagefold .pf-bad{fill:#e5534b;fill-opacity:.25;stroke:#e5534b}
.pagefold .pf-table{fill:currentColor;fill-opacity:.1;stroke:currentColor;stroke-opacity:.35}`;

/** Rules that must come after the accents. */
const LAST = `.pagefold .pf-zoom{fill-opacity:.12;stroke-opacity:.5;stroke-width:.5}
.pagefold .pf-link{fill:none}
@media (prefers-color-scheme:dark){.pagefold{color:#e6edf3}.pagefold .pf-ground{fill:#0d1117}}`;

/** The accents, as class names `pf-c0` to `pf-c7`. */
const ACCENTS = ['#3b82d6', '#2f9e6e', '#c98a1b', '#9a6ee0', '#d4628f', '#2b9fb3', '#8a9a2b', '#d0653a'];

/** Number of accents. */
export const ACCENT_COUNT: number = ACCENTS.length;

/** Options that every picture takes. */
export interface PictureOptions {
  /** Name of the picture for people and screen readers. Not supplied: made from what is shown. */
  readonly title?: string;
  /** Lay a ground below the picture that follows the reader's light or dark mode? Not supplied: yes. */
  readonly ground?: boolean;
}

/** What {@link picture} puts together. */
export interface Picture {
  /** Word that says what kind of picture it is; becomes a class: `layout`. */
  readonly kind: string;
  readonly title: string;
  /** The picture in words. */
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly body: readonly string[];
  readonly ground: boolean;
}

/** A whole SVG document. */
export function picture({ kind, title, description, width, height, body, ground }: Picture): string {
  const accents = ACCENTS.map((color, i) => `.pagefold .pf-c${i}{fill:${color};fill-opacity:.3;stroke:${color}}`);
  const w = Math.ceil(width);
  const h = Math.ceil(height);
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${w} ${h}`,
    width: w,
    height: h,
    role: 'img',
    class: `pagefold pagefold-${kind}`,
  };
  const parts = [
    `<title>${escapeText(title)}</title>`,
    `<desc>${escapeText(description)}</desc>`,
    `<style>\n${[STYLE, ...accents, LAST].join('\n')}\n</style>`,
    ground ? box(0, 0, w, h, 'pf-ground') : '',
    ...body,
  ];
  return `${element('svg', attributes, ...parts)}\n`;
}
