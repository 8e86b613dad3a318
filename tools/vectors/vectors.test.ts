import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vectorsCommand } from './command.ts';
import { readVectorFile } from './files.ts';
import { listReplayer, replayGroup } from './replay.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vectors-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const swap = { id: 'one', rule: 'v6.12', xlen: 64, type: 1, offset: '0x2', exclusive: false, pte: '0x2080' };

describe('a vector file', () => {
  it('is told by its content, not by its name', () => {
    const kind = (content: unknown): string => readVectorFile(fileOf('file.json', content)).kind;
    expect(kind({ arch: 'riscv', layouts: [] })).toBe('riscv');
    expect(kind({ meta: { arch: 'arm64' }, walks: [] })).toBe('arm64');
    expect(kind({ meta: { what: 'anything' }, addrEnd: [], counts: [] })).toBe('generic');
    expect(kind({ swap: [], napot: [] })).toBe('riscv');
  });

  it('has groups, and keys that only describe it', () => {
    const { groups } = readVectorFile(
      fileOf('file.json', { arch: 'riscv', format: 1, set: 's', meta: {}, swap: [], new: [] }),
    );
    expect(groups).toEqual(['swap', 'new']);
  });

  it.each([
    ['{', /cannot read/],
    ['[]', /no groups/],
    ['{"name": "else"}', /names no architecture/],
  ])('is refused in one line: %s', (text, message) => {
    expect(() => readVectorFile(fileOf('file.json', text))).toThrow(message);
  });
});

describe('a group', () => {
  it('counts what passes and what does not', () => {
    const replayer = listReplayer('numbers', (record) => {
      if (record !== 1) throw new Error(`expected 1, got ${String(record)}`);
    });
    expect(replayGroup('numbers', { numbers: [1, 2, 1] }, replayer)).toEqual({
      group: 'numbers',
      passed: 2,
      failed: 1,
      unknown: false,
      failures: [{ id: 'numbers[1]', why: 'expected 1, got 2' }],
    });
  });

  it('fails with every record if nobody can replay it', () => {
    const count = (group: unknown) => replayGroup('group', { group }).failed;
    expect(count([1, 2, 3])).toBe(3);
    expect(count({ first: [1, 2], second: [3], rule: 'word' })).toBe(4);
    expect(replayGroup('group', { group: [1] }).unknown).toBe(true);
  });

  it('fails where its shape is not understood', () => {
    const replayer = listReplayer('numbers', () => undefined);
    expect(replayGroup('numbers', { numbers: 'none' }, replayer).failed).toBe(1);
  });

  it('fails for records of a kind that is new', () => {
    const { replayers } = readVectorFile(fileOf('file.json', { arch: 'riscv' }));
    const outcome = (name: string, group: unknown) => replayGroup(name, { [name]: group }, replayers[name]);
    expect(outcome('swap', [swap]).passed).toBe(1);
    expect(outcome('swap', [{ ...swap, rule: 'v9.9' }]).failures[0]?.why).toMatch(/no replay for rule/);
    expect(outcome('swap', [{ ...swap, colour: 'red' }]).failures[0]?.why).toMatch(/no replay for colour/);
    expect(outcome('satp', { encode: [], decode_later: [1, 2] }).failed).toBe(2);
  });
});

describe('pnpm vectors', () => {
  const run = (...words: string[]) => {
    const lines: string[] = [];
    const errors: string[] = [];
    const take = (into: string[]) => (line: string) => into.push(...stripVTControlCharacters(line).split('\n'));
    const status = vectorsCommand(words, take(lines), take(errors));
    return { status, lines, errors };
  };

  it('prints each group, each failure and the total', () => {
    const path = fileOf('swap.json', { arch: 'riscv', swap: [swap, { ...swap, id: 'two', pte: '0x2081' }], new: [1] });
    const { status, lines } = run(path);
    expect(status).toBe(1);
    expect(lines[1]).toBe('swap: 1 passed, 1 failed');
    expect(lines[2]).toMatch(/^ {2}two: pte: expected "0x2081", got "0x2080"/);
    expect(lines.slice(-2)).toEqual(['new: 0 passed, 1 failed (no replayer)', '1 passed, 2 failed']);
    const one = run(path, '--groups', 'swap', '--all');
    expect(one.lines.at(-1)).toBe('1 passed, 1 failed');
  });

  it('answers bad arguments in one line', () => {
    const path = fileOf('swap.json', { arch: 'riscv', swap: [swap] });
    for (const words of [[join(folder, 'nowhere')], [path, '--groups', 'other'], [path, '--colour']]) {
      const { status, errors } = run(...words);
      expect([words.length, status, errors.length]).toEqual([words.length, 2, 1]);
      expect(errors[0]).toMatch(/^error: /);
    }
    expect(run(path).status).toBe(0);
  });

  it('takes the files of a folder', () => {
    const inside = mkdtempSync(join(folder, 'many-'));
    const empty = mkdtempSync(join(folder, 'none-'));
    for (const name of ['b.json', 'a.json']) {
      writeFileSync(join(inside, name), JSON.stringify({ arch: 'riscv', swap: [swap] }));
    }
    writeFileSync(join(inside, 'README.md'), 'not vectors');
    const { status, lines } = run(inside);
    expect([status, lines.at(-1)]).toEqual([0, '2 passed, 0 failed']);
    expect(lines.filter((line) => line.includes('.json')).map((line) => line.split(/[/ ]/).at(-2))).toEqual([
      'a.json',
      'b.json',
    ]);
    expect(run(empty).errors).toEqual([`error: no .json files in the folder ${empty}`]);
  });

  it("takes the vectors of the packages' tests where none are named", () => {
    const { status, lines } = run('--groups', 'foldingTruth');
    expect(status).toBe(0);
    expect(lines.filter((line) => line.includes('.json'))).toHaveLength(4);
    expect(lines.at(-1)).toMatch(/^[1-9]\d* passed, 0 failed$/);
  });
});
