/**
 * The files of a new format's package. `src/format.ts` is the minimal format of docs/write-a-format.md, word for
 * word; a test holds the two together.
 */

import { readFileSync } from 'node:fs';

/** What the templates are filled with. */
export interface FormatNames {
  /** Kebab-case, the folder and the format's name: `my-arch`. */
  readonly name: string;
  /** The same as an identifier: `myArch`. */
  readonly identifier: string;
  /** The name of the npm package: `@pagefold/my-arch`. */
  readonly packageName: string;
}

function manifest({ name, packageName }: FormatNames): string {
  const content = {
    name: packageName,
    version: '0.0.0',
    description: `${name} page tables for Pagefold`,
    license: 'MIT',
    type: 'module',
    sideEffects: false,
    engines: { node: '>=20.19.0' },
    files: ['dist', 'src'],
    exports: {
      '.': { '@pagefold/source': './src/index.ts', types: './dist/index.d.ts', default: './dist/index.js' },
      './package.json': './package.json',
    },
    scripts: { build: 'tsc -b', 'lint:package': 'publint --strict && attw --pack . --profile esm-only' },
    dependencies: { '@pagefold/core': 'workspace:^' },
    devDependencies: { '@pagefold/conformance': 'workspace:^' },
    publishConfig: { access: 'public' },
    repository: { type: 'git', url: 'git+https://github.com/pagefold/pagefold.git', directory: `packages/${name}` },
    homepage: 'https://github.com/pagefold/pagefold',
    bugs: 'https://github.com/pagefold/pagefold/issues',
    keywords: ['page-table', 'mmu', 'kernel', name],
  };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

const TSCONFIG = `{
  "extends": "../../tsconfig.base.json",
  "compilerOptions": { "rootDir": "src", "outDir": "dist" },
  "include": ["src"],
  "references": [{ "path": "../core" }]
}
`;

function format({ name, identifier }: FormatNames): string {
  return `/** Page-table entries of ${name}, as data. */
import { createPaging, type Field, type Format, type GeometryDescription, type Paging } from '@pagefold/core';

const V = 1n << 0n;
const LEAF = 1n << 1n;

/** Bits that tables and leaves share. Every bit of an entry belongs to a field, an address or a test. */
const common: readonly Field[] = [
  { name: 'free', bits: [[63, 56]], meaning: 'for software', software: true },
  { name: 'address', bits: [[55, 12]], meaning: 'physical address, divided by 4096' },
  { name: 'sw', bits: [[11, 4]], meaning: 'for software', software: true },
];
const low: readonly Field[] = [
  { name: 'leaf', bits: [[1, 1]], meaning: 'maps memory instead of pointing to a table' },
  { name: 'v', bits: [[0, 0]], meaning: 'valid' },
];

/** The format. */
export const ${identifier}Format: Format = {
  name: '${name}',
  title: '${name} entries',
  entryBytes: 8,
  // The first shape whose tests hold is what a word is.
  shapes: [
    {
      name: 'invalid',
      kind: 'empty',
      match: [{ mask: V, equals: 0n }],
      reason: 'not_valid',
      fields: [{ name: 'any', bits: [[63, 1]], meaning: 'for software', software: true }],
    },
    {
      name: 'table',
      kind: 'table',
      levels: [1, 2, 3],
      match: [{ mask: V | LEAF, equals: V }],
      address: [{ entryLo: 12, addressLo: 12, bits: 44 }],
      fields: [...common, { name: 'unused', bits: [[3, 2]], meaning: 'ignored' }, ...low],
    },
    {
      name: 'leaf',
      kind: 'leaf',
      levels: [0, 1],
      match: [{ mask: V | LEAF, equals: V | LEAF }],
      address: [{ entryLo: 12, addressLo: 12, bits: 44 }],
      fields: [
        ...common,
        { name: 'user', bits: [[3, 3]], meaning: 'programs may access it' },
        { name: 'write', bits: [[2, 2]], meaning: 'it may be written' },
        ...low,
      ],
    },
  ],
};

/** Three or four levels of 512 entries. */
export function ${identifier}Geometry(levels: 3 | 4): GeometryDescription {
  return {
    name: \`${name}-\${levels}\`,
    levels: Array.from({ length: levels }, (_, level) => ({ shift: 12 + 9 * level, indexBits: 9 })),
    vaBits: 12 + 9 * levels,
    paBits: 56,
  };
}

/** Tables of three or four levels, ready for use. */
export function ${identifier}Paging(levels: 3 | 4): Paging {
  return createPaging(${identifier}Format, ${identifier}Geometry(levels));
}
`;
}

const INDEX = `export * from './format.ts';
`;

function conformanceTest({ identifier }: FormatNames): string {
  return `import { runConformance } from '@pagefold/conformance';
import { test } from 'vitest';
import { ${identifier}Paging } from '../src/index.ts';

const attributes = [{}, { write: 1 }, { user: 1, sw: 255 }];

for (const levels of [3, 4] as const) {
  runConformance({ name: \`\${levels} levels\`, paging: ${identifier}Paging(levels), attributes }, { test });
}
`;
}

function readme({ name, identifier, packageName }: FormatNames): string {
  return `# ${packageName}

${name} page tables for [Pagefold](https://www.npmjs.com/package/@pagefold/core).

\`\`\`js
import { createSpace, SparseMemory, translate } from '@pagefold/core';
import { ${identifier}Paging } from '${packageName}';

const space = createSpace(new SparseMemory(), { paging: ${identifier}Paging(4), address: 0x1000n });
console.log(translate(space, 0x1234n));
\`\`\`

Sources: name here the manual, and its edition, that every constant comes from.
`;
}

/** All files by their path inside the package. */
export function filesOf(names: FormatNames): Readonly<Record<string, string>> {
  return {
    'package.json': manifest(names),
    'tsconfig.json': TSCONFIG,
    'src/format.ts': format(names),
    'src/index.ts': INDEX,
    'test/conformance.test.ts': conformanceTest(names),
    'README.md': readme(names),
    // A copy, as in every package: packing takes no files from outside of the folder.
    LICENSE: readFileSync(new URL('../../LICENSE', import.meta.url), 'utf8'),
  };
}
