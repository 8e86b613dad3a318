/**
 * `pnpm vectors FILE... [--groups A,B] [--all]`: replays test vectors. Exit code 0 if all passed, 1 if any failed (also
 * those that nobody can replay), 2 if the arguments make no sense.
 */
import { vectorsCommand } from './command.ts';

process.exitCode = vectorsCommand(
  process.argv.slice(2),
  (line) => console.log(line),
  (line) => console.error(line),
);
