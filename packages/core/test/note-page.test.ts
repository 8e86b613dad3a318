import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../src/errors.ts';
import { dumpSize, NotePage, type NotePageStyle, type PageNote, type RunLine } from '../src/note-page.ts';

const PLAIN: NotePageStyle = { recordsFirst: true, markers: 'all-passed', printsUnmapped: true };

const markers = [
  { at: 0n, name: 'start' },
  { at: 0x4000n, name: 'middle' },
  { at: 0x5000n, name: 'later' },
  { at: 0x6000n, name: 'last' },
];

const note = (addr: bigint, prot = 1n, level = 4): PageNote => ({ addr, prot, level });

function dump(style: NotePageStyle, notes: PageNote[]): (string | bigint[])[] {
  const machine = new NotePage({ style, markers });
  for (const each of notes) machine.note(each);
  return machine.finish().map((line) => ('marker' in line ? line.marker : [...line.range]));
}

describe('dump lines', () => {
  it('are maximal runs of equal neighbours', () => {
    expect(dump(PLAIN, [note(0n), note(0x1000n), note(0x2000n, 3n), note(0x3000n, 3n, 3)])).toEqual([
      'start',
      [0n, 0x2000n],
      [0x2000n, 0x3000n],
      [0x3000n, 0n],
    ]);
  });

  it('pass markers as the style says', () => {
    const notes = [note(0n), note(0x7000n), note(0x8000n)];
    const all = ['start', [0n, 0x7000n], 'middle', 'later', 'last', [0x7000n, 0n]];
    expect(dump(PLAIN, notes)).toEqual(all);
    // One at a time: the next note is still beyond the next marker and ends the run again.
    expect(dump({ ...PLAIN, markers: 'one' }, notes)).toEqual([
      'start',
      [0n, 0x7000n],
      'middle',
      [0x7000n, 0x8000n],
      'later',
      [0x8000n, 0n],
    ]);
    expect(dump({ ...PLAIN, markers: 'change-plus-one' }, notes)).toEqual([
      'start',
      [0n, 0x7000n],
      'middle',
      'later',
      [0x7000n, 0x8000n],
      'last',
      [0x8000n, 0n],
    ]);
    // The extra one comes even after the first note, which ends no run.
    expect(dump({ ...PLAIN, markers: 'change-plus-one' }, [note(0x4000n)])).toEqual(['start', 'middle', [0x4000n, 0n]]);
  });

  it('leave out what is not mapped, if the style says so', () => {
    const notes = [note(0n, 0n), note(0x1000n), note(0x2000n, 0n)];
    expect(dump({ ...PLAIN, printsUnmapped: false }, notes)).toEqual(['start', [0x1000n, 0x2000n]]);
    expect(dump(PLAIN, notes)).toEqual(['start', [0n, 0x1000n], [0x1000n, 0x2000n], [0x2000n, 0n]]);
  });

  it('may begin at 0 whatever the first note says', () => {
    const notes = [note(0x1000n), note(0x2000n, 3n)];
    expect(dump({ ...PLAIN, recordsFirst: false }, notes)).toEqual(['start', [0n, 0x2000n], [0x2000n, 0n]]);
  });

  it('end at a change of group, not of detail, and carry both', () => {
    const machine = new NotePage({ style: PLAIN, markers: [] });
    machine.note({ ...note(0n), group: 'kernel', detail: 7n });
    machine.note({ ...note(0x1000n), group: 'kernel', detail: 8n });
    machine.note({ ...note(0x2000n), group: 'user', detail: 9n });
    expect(machine.finish()).toEqual([
      { range: [0n, 0x2000n], size: '8K', level: 4, prot: 1n, group: 'kernel', detail: 7n },
      { range: [0x2000n, 0n], size: '18014398509481976K', level: 4, prot: 1n, group: 'user', detail: 9n },
    ]);
  });

  it('print sizes in the largest unit that divides them', () => {
    expect([4096n, 1n << 20n, 3n << 30n, 1n << 60n, 1n << 63n, 1536n << 10n].map(dumpSize)).toEqual([
      '4K',
      '1M',
      '3G',
      '1E',
      '8E',
      '1536K',
    ]);
    expect(dumpSize(0n)).toBe('0E');
    const machine = new NotePage({ style: { ...PLAIN, wordBits: 32 }, markers: [] });
    machine.note(note(0xfff0_0000n));
    expect((machine.finish()[0] as RunLine).size).toBe('1M');
  });

  it('count pages by property', () => {
    const writable = { name: 'W+X', test: (prot: bigint) => (prot & 6n) === 6n };
    const deep = { name: 'last level', test: (_prot: bigint, level: number) => level === 4 };
    const machine = new NotePage({ style: PLAIN, markers: [], tallies: [writable, deep] });
    for (const each of [
      note(0n, 0n),
      note(0x1000n, 6n),
      note(0x4000n, 2n),
      note(0x5000n, 7n, 3),
      note(0x7000n, 0n, 3),
    ]) {
      machine.note(each);
    }
    machine.finish();
    expect(machine.tallies).toEqual([
      { name: 'W+X', pages: 5n, first: 0x1000n },
      { name: 'last level', pages: 4n, first: 0x1000n },
    ]);
  });

  it('tile the addresses between the first note and the end, whatever the notes are', () => {
    const notes = fc.uniqueArray(fc.record({ page: fc.bigInt(1n, 64n), prot: fc.bigInt(0n, 2n), level: fc.nat(2) }), {
      selector: ({ page }) => page,
      minLength: 1,
    });
    const styles = fc.constantFrom<NotePageStyle['markers']>('one', 'change-plus-one', 'all-passed');
    fc.assert(
      fc.property(notes, styles, fc.array(fc.bigInt(0n, 64n), { maxLength: 5 }), (list, kind, at) => {
        const sorted = [...list].sort((a, b) => Number(a.page - b.page));
        const machine = new NotePage({
          style: { ...PLAIN, markers: kind },
          markers: at.sort((a, b) => Number(a - b)).map((page, i) => ({ at: page * 4096n, name: `m${i}` })),
        });
        for (const { page, prot, level } of sorted) machine.note({ addr: page * 4096n, prot, level });
        const runs = machine.finish().filter((line): line is RunLine => 'range' in line);
        expect(runs[0]?.range[0]).toBe((sorted[0]?.page ?? 0n) * 4096n);
        expect(runs.at(-1)?.range[1]).toBe(0n);
        runs.forEach((run, i) => {
          if (i > 0) expect(runs[i - 1]?.range[1]).toBe(run.range[0]);
          // Every note in the run has its protection and level.
          const end = run.range[1] === 0n ? 1n << 64n : run.range[1];
          for (const { page, prot, level } of sorted) {
            if (page * 4096n < run.range[0] || page * 4096n >= end) continue;
            expect([prot, level]).toEqual([run.prot, run.level]);
          }
        });
        // With all markers passed at once, a marker never stands later than the run that begins at or above it.
        if (kind === 'all-passed') {
          const passed = machine.lines.filter((line) => 'marker' in line).length;
          const reached = at.filter((page, i) => i === 0 || page <= (sorted.at(-1)?.page ?? 0n)).length;
          // The first note itself passes none but the first.
          if (sorted.length > 1) expect(passed).toBe(reached);
        }
      }),
    );
  });

  it('refuse markers out of order and notes after the end', () => {
    expect(() => new NotePage({ style: PLAIN, markers: [...markers].reverse() })).toThrow(ArgumentError);
    const machine = new NotePage({ style: PLAIN, markers });
    machine.finish();
    expect(() => machine.note(note(0n))).toThrow(/dump-finished/);
  });
});
