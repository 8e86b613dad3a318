/** docs/write-a-format.md, followed literally: create the package, take over its listings, run the kit. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFormat, namesOf } from './create.ts';
import { filesOf } from './templates.ts';

const root = new URL('../..', import.meta.url).pathname;
const guide = readFileSync(join(root, 'docs', 'write-a-format.md'), 'utf8');
const listings = [...guide.matchAll(/^```ts title="([^"]+)"\n([\s\S]*?)^```$/gm)].map(([, path = '', text = '']) => ({
  path,
  text,
}));

let workspace = '';
beforeAll(() => {
  workspace = mkdtempSync(join(tmpdir(), 'create-format-'));
  mkdirSync(join(workspace, 'packages'));
  cpSync(join(root, 'tsconfig.base.json'), join(workspace, 'tsconfig.base.json'));
});
afterAll(() => rmSync(workspace, { recursive: true, force: true }));

/** What `pnpm install` would do: links to the packages of the workspace and to the test runner. */
function link(): void {
  const modules = join(workspace, 'node_modules');
  mkdirSync(join(modules, '@pagefold'), { recursive: true });
  for (const name of ['core', 'conformance']) {
    symlinkSync(join(root, 'packages', name), join(workspace, 'packages', name), 'dir');
    symlinkSync(join(workspace, 'packages', name), join(modules, '@pagefold', name), 'dir');
  }
  symlinkSync(join(root, 'node_modules', 'vitest'), join(modules, 'vitest'), 'dir');
}

/** `pnpm vitest run packages/my-arch`. */
function kit(): { readonly status: number | null; readonly passed: number; readonly output: string } {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const config = join(root, 'vitest.config.ts');
  const words = [vitest, 'run', '--root', workspace, '--config', config, 'packages/my-arch'];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  const output = stripVTControlCharacters(`${stdout}\n${stderr}`);
  return { status, passed: Number(/Tests +(\d+) passed/.exec(output)?.[1] ?? 0), output };
}

/** The compiler, as strict as the house. */
function typecheck(): string {
  writeFileSync(
    join(workspace, 'tsconfig.json'),
    JSON.stringify({
      extends: './tsconfig.base.json',
      compilerOptions: {
        composite: false,
        declarationMap: false,
        noEmit: true,
        allowImportingTsExtensions: true,
        rewriteRelativeImportExtensions: false,
      },
      include: ['packages/my-arch/src'],
    }),
  );
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  return spawnSync(process.execPath, [tsc, '-p', workspace], { encoding: 'utf8' }).stdout;
}

describe('create-format', () => {
  it('refuses names that make no package, and folders that exist', () => {
    for (const name of ['', 'My', 'a_b', '-a', 'a--b', '../a', 'a/b']) expect(() => namesOf(name)).toThrow('no name');
    expect(namesOf('my-2nd-arch')).toEqual({
      name: 'my-2nd-arch',
      identifier: 'my2ndArch',
      packageName: '@pagefold/my-2nd-arch',
    });
    expect(() => createFormat('core', join(root, 'packages'))).toThrow('exists already');
  });

  it('shows in the guide what it writes', () => {
    expect(listings.map(({ path }) => path)).toEqual(['src/format.ts', 'src/format.ts', 'test/conformance.test.ts']);
    expect(listings[0]?.text).toBe(filesOf(namesOf('my-arch'))['src/format.ts']);
  });

  it('writes what the house asks of every package', () => {
    const files = filesOf(namesOf('my-arch'));
    const model = JSON.parse(readFileSync(join(root, 'packages', 'x86-64', 'package.json'), 'utf8')) as object;
    const made = JSON.parse(files['package.json'] ?? '') as object;
    expect(Object.keys(made)).toEqual(Object.keys(model));
    expect(made).toMatchObject({ repository: { directory: 'packages/my-arch' } });
    expect(files.LICENSE).toBe(readFileSync(join(root, 'LICENSE'), 'utf8'));
  });

  it('step by step, the kit is green', { timeout: 180_000 }, () => {
    const main = join(root, 'tools', 'create-format', 'main.ts');
    const words = ['--conditions=@pagefold/source', '--import', import.meta.resolve('tsx'), main, 'my-arch'];
    const output = execFileSync(process.execPath, words, { cwd: workspace, encoding: 'utf8' });
    expect(output).toContain('packages/my-arch/src/format.ts\n');
    link();
    const first = kit();
    expect(first.output).toContain('packages/my-arch/test/conformance.test.ts');
    expect(first.status, first.output).toBe(0);
    expect(first.passed).toBeGreaterThan(50);
    expect(typecheck()).toBe('');
    for (const { path, text } of listings.slice(1)) writeFileSync(join(workspace, 'packages', 'my-arch', path), text);
    const second = kit();
    expect(second.status, second.output).toBe(0);
    expect(second.passed).toBeGreaterThan(first.passed);
    expect(typecheck()).toBe('');
  });
});
