/** What is said in words below the tables of a walk, and at its end. */
import {
  explainEntry,
  type Fault,
  hex,
  type Mapped,
  type Paging,
  sizeText,
  type Walk,
  type WalkStep,
} from '@pagefold/core';
import { fieldsText } from './describe.ts';
import { SMALL_SIZE, wrapText } from './svg.ts';
import { permissionText } from './tables-tree.ts';

/** One line. */
export interface WalkLine {
  readonly said: string;
  readonly strong?: boolean;
  /** Not supplied: yes. */
  readonly small?: boolean;
}

function wrapped(said: string, width: number): WalkLine[] {
  return wrapText(said, width, SMALL_SIZE).map((line) => ({ said: line }));
}

/** Everything that a step's entry says. */
export function entryLines(paging: Paging, step: WalkStep, width: number): WalkLine[] {
  const { level, entry, slot, effects } = step;
  const lines: WalkLine[] = wrapped(`slot ${hex(slot)}`, width);
  if (entry === undefined) return [...lines, { said: 'no memory there', strong: true }];
  const explained = explainEntry(paging, level, entry);
  const { kind, shape, address, leafBytes, reasons } = explained;
  if (kind === 'table')
    lines.push({ said: 'table pointer', strong: true }, { said: `next table ${hex(address ?? 0n)}` });
  else if (kind === 'leaf') {
    lines.push({ said: `${shape ?? 'leaf'}, ${sizeText(leafBytes ?? 0n)}`, strong: true });
    lines.push({ said: `maps ${hex(address ?? 0n)}` });
  } else {
    lines.push({ said: kind, strong: true });
    for (const { reason, meaning } of reasons) lines.push(...wrapped(`${reason}: ${meaning}`, width));
  }
  const fields = fieldsText(paging, level, explained);
  if (fields !== '') lines.push(...wrapped(fields, width));
  const active = effects.filter(({ value, op }) => (op === 'and' ? value === 0 : value !== 0));
  if (active.length > 0) {
    lines.push(
      ...wrapped(`tables so far: ${active.map(({ on, op, value }) => `${on} ${op} ${value}`).join(', ')}`, width),
    );
  }
  return lines;
}

function mappedLines(outcome: Mapped, width: number): WalkLine[] {
  const { pa, leafBytes, common, shape } = outcome;
  const offset = pa % leafBytes;
  const lines: WalkLine[] = [
    { said: hex(pa), strong: true, small: false },
    { said: 'physical address' },
    { said: `= ${hex(pa - offset)}` },
    { said: `+ ${hex(offset)}` },
    ...wrapped(`in a leaf of ${sizeText(leafBytes)}${shape === 'leaf' ? '' : ` (${shape})`}`, width),
  ];
  if (common === undefined) return lines;
  const more = [common.global ? 'global' : '', common.accessed ? 'accessed' : '', common.dirty ? 'dirty' : ''];
  const said = [permissionText(common), ...more.filter(Boolean), `${common.memory} memory`];
  return [...lines, ...wrapped(said.join(', '), width)];
}

function faultLines(outcome: Fault, paging: Paging, width: number): WalkLine[] {
  const { type, code, reasons, stage, level, hardwareLevel } = outcome;
  const where =
    level === undefined ? `found in the ${stage}` : `at ${paging.codec(level).level.name}, found in the ${stage}`;
  const hardware = hardwareLevel === undefined ? '' : `hardware level ${hardwareLevel}`;
  return [
    { said: 'fault', strong: true, small: false },
    ...wrapped(`${type}${code === undefined ? '' : `, code ${hex(code)}`}`, width),
    ...wrapped(reasons.join(', '), width),
    ...wrapped(where, width),
    ...wrapped(hardware, width),
  ];
}

/** How the walk ended. */
export function outcomeLines({ outcome }: Walk, paging: Paging, width: number): WalkLine[] {
  return outcome.mapped ? mappedLines(outcome, width) : faultLines(outcome, paging, width);
}
