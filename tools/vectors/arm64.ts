/** Groups of arm64 vector files. Groups inside an object, such as `tlbi`, are listed as `tlbi.va`. */
import { groups as formatGroups } from '../../packages/arm64/test/replay/arm64.ts';
import { groups as bootGroups } from '../../packages/arm64/test/replay/boot.ts';
import { listReplayer, type Replayer } from './replay.ts';

type Replay = NonNullable<Parameters<typeof listReplayer>[1]>;

/** A replayer for a group that is an object of lists; a member that is no list is one record. */
function nestedReplayer(name: string, replays: Readonly<Record<string, Replay>>): Replayer {
  return function* (group) {
    for (const [key, value] of Object.entries(Object(group) as object)) {
      const records: readonly unknown[] = Array.isArray(value) ? value : [value];
      const replay = Object.hasOwn(replays, key) ? replays[key] : undefined;
      yield* records.map((record, i) => ({ id: `${name}.${key}[${i}]`, record, replay }));
    }
  };
}

const nested = new Map<string, Record<string, Replay>>();
const plain: Record<string, Replayer> = {};
for (const [name, replay] of Object.entries({ ...formatGroups, ...bootGroups })) {
  const [group = name, key] = name.split('.');
  if (key === undefined) plain[name] = listReplayer(name, replay);
  else nested.set(group, { ...nested.get(group), [key]: replay });
}

/** Replayers by group. */
export const groups: Readonly<Record<string, Replayer>> = {
  ...plain,
  ...Object.fromEntries([...nested].map(([name, replays]) => [name, nestedReplayer(name, replays)])),
};
