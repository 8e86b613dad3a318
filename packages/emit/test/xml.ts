/** A tiny XML reader for the tests: refuses what is not well-formed, gives the elements with their places. */

/** An element. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: XmlElement[];
  /** Its own text, without that of its children. */
  text: string;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"' };

function plain(text: string): string {
  if (/[<>"]/.test(text.replace(/>/g, ''))) throw new Error(`unescaped: ${text}`);
  return text.replace(/&([^;]*);?/g, (all, name: string) => {
    const found = ENTITIES[name];
    if (found === undefined || !all.endsWith(';')) throw new Error(`bad entity: ${all}`);
    return found;
  });
}

function attributesOf(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  const rest = text.replace(/ ([\w:-]+)="([^"<]*)"/g, (_, name: string, value: string) => {
    if (name in attributes) throw new Error(`attribute twice: ${name}`);
    attributes[name] = plain(value);
    return '';
  });
  if (rest.trim() !== '') throw new Error(`bad attributes: ${text}`);
  return attributes;
}

/** Reads a document of one element. */
export function parseXml(source: string): XmlElement {
  const top: XmlElement = { name: '', attributes: {}, children: [], text: '' };
  const stack = [top];
  for (const character of source) {
    const code = character.codePointAt(0) ?? 0;
    const control = code < 0x20 && character !== '\n' && character !== '\t' && character !== '\r';
    if (control || (code >= 0xd800 && code < 0xe000) || code === 0xfffe || code === 0xffff) {
      throw new Error('a character that XML does not have');
    }
  }
  for (const [, markup, text] of source.matchAll(/<([^<>]*(?:"[^"]*"[^<>]*)*)>|([^<]+)/g)) {
    const parent = stack[stack.length - 1];
    if (parent === undefined) throw new Error('content behind the end');
    if (text !== undefined) {
      // The contents of a style have quotes of their own.
      if (parent.name === 'style' && !/[<&]/.test(text)) parent.text += text;
      else parent.text += plain(text.replace(/"/g, '&quot;'));
      continue;
    }
    const [, close, name = '', rest = '', empty] = /^(\/?)([a-z]+)([\s\S]*?)(\/?)$/.exec(markup ?? '') ?? [];
    if (name === '') throw new Error(`bad markup: ${markup}`);
    if (close === '/') {
      if (parent.name !== name) throw new Error(`${name} closes ${parent.name}`);
      stack.pop();
      continue;
    }
    const child = { name, attributes: attributesOf(rest), children: [], text: '' };
    parent.children.push(child);
    if (empty !== '/') stack.push(child);
  }
  const [only, ...others] = top.children;
  if (stack.length !== 1 || only === undefined || others.length > 0 || top.text.trim() !== '') {
    throw new Error('not one closed element');
  }
  return only;
}

/** All elements of a name, in document order. */
export function elements(root: XmlElement, name: string): XmlElement[] {
  return [...(root.name === name ? [root] : []), ...root.children.flatMap((child) => elements(child, name))];
}
