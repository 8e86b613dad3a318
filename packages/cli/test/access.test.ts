/** Accesses on tables of a real x86-64 kernel: control bits from registers, from options, and the error codes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Architecture } from '@pagefold/core';
import { riscv } from '@pagefold/riscv';
import { describe, expect, test } from 'vitest';
import { shareOptions } from '../src/shared-options.ts';
import { pagefold } from './run-command.ts';

const capture = new URL('../../../tools/fixtures/x86_64-4level-6.12/', import.meta.url).pathname;
const target = ['--image', `${capture}tables.elf.gz`, '--registers', `${capture}registers.json`, '--root', 'user'];

async function accessed(...args: string[]): Promise<Record<string, unknown>> {
  const { out } = await pagefold('access', ...target, '--json', ...args);
  return JSON.parse(out) as Record<string, unknown>;
}

describe('access', () => {
  test.each([
    ['0x400000', 'write', 'user', 7],
    ['0x1000', 'write', 'user', 6],
    ['0x1000', 'execute', 'supervisor', 0x10],
    ['0x400000', 'execute', 'user', 0x15],
    ['0x800000000000', 'read', 'user', 0],
  ])('%s %s by %s has error code %i', async (va, kind, privilege, code) => {
    const result = await accessed('--access', kind, '--privilege', privilege, va);
    expect(result).toMatchObject({ allowed: false, fault: { code } });
  });

  test('takes control bits from the registers, and options before them', async () => {
    // SMAP is on in CR4.
    expect(await accessed('0x400000')).toMatchObject({ allowed: false, reasons: ['smap'] });
    expect(await accessed('--no-smap', '0x400000')).toMatchObject({ allowed: true });
    expect(await accessed('--ac', '0x400000')).toMatchObject({ allowed: true });
    expect(await accessed('--no-smap', '--access', 'write', '0x400000')).toMatchObject({ reasons: ['no_write'] });
    expect(await accessed('--no-smap', '--no-wp', '--access', 'write', '0x400000')).toMatchObject({
      allowed: true,
      updates: [{ slot: expect.stringMatching(/^0x/) }],
    });
  });

  test.each([
    [['--sum', '0x400000'], '--sum is an option of riscv, not of x86-64'],
    [['--satp', '0x8000000000000001', '0x400000'], '--satp is an option of riscv, not of x86-64'],
    [['--ttbr1', '0x1000', '0x400000'], '--ttbr1 is an option of arm64, not of x86-64'],
  ])('refuses what belongs to another architecture: %j', async (args, message) => {
    const { code, err } = await pagefold('access', ...target, ...args);
    expect({ code, err: err.trim() }).toEqual({ code: 2, err: expect.stringContaining(message) });
  });

  test('refuses a word that an option does not have', async () => {
    const { err } = await pagefold(
      'access',
      '--arch',
      'riscv',
      '--image',
      `${capture}tables.elf.gz`,
      '--satp',
      '0x9000000000081fca',
      '--ad',
      'maybe',
      '0x0',
    );
    expect(err).toContain("--ad: 'maybe' is not one of svade, svadu");
  });
});

describe('options that architectures share', () => {
  const two = (first: object, second: object) =>
    shareOptions(
      [
        { ...riscv, name: 'one', options: [{ name: 'x', kind: 'word', meaning: 'a thing', ...first }] },
        { ...riscv, name: 'two', options: [{ name: 'x', kind: 'word', meaning: 'a thing', ...second }] },
      ] as readonly Architecture[],
      ({ options }) => options,
      ({ kind }) => kind,
    );

  test('are said once, with what each means by them', () => {
    expect(two({}, {})).toMatchObject([{ name: 'x', help: 'one, two: a thing', words: false }]);
    expect(two({ values: ['a', 'b'] }, { values: ['c'] })).toMatchObject([
      { help: 'one: a thing: a, b; two: a thing: c', words: true },
    ]);
  });

  test('are of one kind', () => {
    expect(() => two({}, { kind: 'number' })).toThrow('--x is of one kind for one and of another for two');
  });
});

describe('the command', () => {
  test('ends quietly when its reader does', async () => {
    const bin = new URL('../src/bin.ts', import.meta.url).pathname;
    const args = ['--import', 'tsx', '--conditions=@pagefold/source', bin, 'dump', ...target, '--raw'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let complaint = '';
    child.stderr.on('data', (text) => {
      complaint += String(text);
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const [code] = (await once(child, 'exit')) as [number];
    expect({ code, complaint }).toEqual({ code: 0, complaint: '' });
  });
});
