/** Every `ts` block of the README and the documentation is compiled and run; `// prints: …` is what it must print. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { format } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
const scratch = join(root, 'docs', '.examples');

function markdown(): string[] {
  const inDocs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !/^(site|generated|node_modules)/.test(name))
    .map((name) => join('docs', name));
  const packages = readdirSync(join(root, 'packages')).map((name) => join('packages', name, 'README.md'));
  return ['README.md', ...packages, ...inDocs].filter((name) => {
    try {
      return readFileSync(join(root, name), 'utf8') !== '';
    } catch {
      return false;
    }
  });
}

interface Example {
  readonly title: string;
  readonly path: string;
  readonly code: string;
}

const examples: Example[] = [];
rmSync(scratch, { recursive: true, force: true });
mkdirSync(scratch, { recursive: true });
for (const file of markdown()) {
  let number = 0;
  for (const [, code] of readFileSync(join(root, file), 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)) {
    const path = join(scratch, `${file.replaceAll(/[^\w]/g, '-')}-${++number}.ts`);
    writeFileSync(path, `${code}\nexport {};\n`);
    examples.push({ title: `${file} #${number}`, path, code: code as string });
  }
}
/** Examples that read and write files run in a copy of the capture that the repository ships. */
const before = process.cwd();
const capture = mkdtempSync(join(tmpdir(), 'pagefold-examples-'));
beforeAll(() => cpSync(join(root, 'tools', 'fixtures', 'riscv64-sv48-6.12'), capture, { recursive: true }));
afterAll(() => rmSync(capture, { recursive: true, force: true }));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('examples in the documentation', () => {
  test('compile', () => {
    const config = ts.readConfigFile(join(root, 'tsconfig.check.json'), ts.sys.readFile).config as { extends: string };
    const parsed = ts.parseJsonConfigFileContent({ ...config, include: ['docs/.examples/*.ts'] }, ts.sys, root);
    const program = ts.createProgram(parsed.fileNames, { ...parsed.options, noUnusedLocals: false });
    const text = ts
      .getPreEmitDiagnostics(program)
      .filter(({ file }) => file?.fileName.includes('.examples') === true)
      .map(
        (problem) =>
          `${problem.file?.fileName.split('/').pop()}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`,
      );
    expect(text).toEqual([]);
    expect(examples.length).toBeGreaterThan(0);
  }, 120_000);

  test.each(examples)('$title runs and prints what it says', async ({ path, code }) => {
    const printed: string[] = [];
    const log = vi
      .spyOn(console, 'log')
      .mockImplementation((...words: unknown[]) => void printed.push(format(...words)));
    process.chdir(capture);
    try {
      await import(/* @vite-ignore */ path);
    } finally {
      process.chdir(before);
      log.mockRestore();
    }
    const promised = [...code.matchAll(/^\/\/ prints: (.*)$/gm)].map(([, text]) => text);
    expect(printed).toEqual(promised);
  });
});
