/** Replaying a vector file, group by group. Nothing in a file goes unseen: what nobody can check counts as failed. */

/** One check to make. */
export interface VectorCase {
  /** The record's own name, or its place in the file. */
  readonly id: string;
  readonly record: unknown;
  /** Throws on a mismatch; `file` is the whole file. `undefined` if nobody can check this record. */
  readonly replay: ((record: unknown, file: unknown) => void) | undefined;
}

/** From a group to the checks that its records ask for. */
export type Replayer = (group: unknown) => Iterable<VectorCase>;

/** A replayer for a group that is a plain list of records. */
export function listReplayer(name: string, replay: NonNullable<VectorCase['replay']>): Replayer {
  return (group) => {
    if (!Array.isArray(group)) throw new Error('the group is no list of records');
    return group.map((record: unknown, i) => ({ id: idOf(record) ?? `${name}[${i}]`, record, replay }));
  };
}

/** Replayers for groups that are plain lists, by name. */
export function listReplayers(
  replays: Readonly<Record<string, NonNullable<VectorCase['replay']>>>,
): Record<string, Replayer> {
  return Object.fromEntries(Object.entries(replays).map(([name, replay]) => [name, listReplayer(name, replay)]));
}

function idOf(record: unknown): string | undefined {
  const { id } = Object(record) as { id?: unknown };
  return typeof id === 'string' ? id : undefined;
}

/** A check that failed. */
export interface Failure {
  readonly id: string;
  readonly why: string;
}

/** What became of a group. */
export interface GroupOutcome {
  readonly group: string;
  readonly passed: number;
  readonly failed: number;
  /** Did nobody know how to replay it? Then all its records count as failed. */
  readonly unknown: boolean;
  readonly failures: readonly Failure[];
}

/** Records of a group that nobody replays: those of its lists, and one for every other member. */
function countRecords(group: unknown): number {
  if (Array.isArray(group)) return group.length;
  if (typeof group !== 'object' || group === null) return 1;
  return Object.values(group).reduce((sum: number, each) => sum + (Array.isArray(each) ? each.length : 1), 0);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // An error of another kind is no plain mismatch: say so.
  return error.name === 'Error' ? error.message : `${error.name}: ${error.message}`;
}

/**
 * Replays one group.
 * @param file the whole file, for records that refer to others
 * @param replayer not supplied: nobody can replay it
 */
export function replayGroup(name: string, file: Readonly<Record<string, unknown>>, replayer?: Replayer): GroupOutcome {
  const group = file[name];
  const failures: Failure[] = [];
  if (replayer === undefined) {
    return { group: name, passed: 0, failed: countRecords(group), unknown: true, failures };
  }
  let passed = 0;
  try {
    for (const { id, record, replay } of replayer(group)) {
      try {
        if (replay === undefined) throw new Error('no replayer');
        replay(record, file);
        passed++;
      } catch (error) {
        failures.push({ id, why: messageOf(error) });
      }
    }
  } catch (error) {
    failures.push({ id: name, why: messageOf(error) });
  }
  return { group: name, passed, failed: failures.length, unknown: false, failures };
}
