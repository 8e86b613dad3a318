/** How the command ends: codes, and the one error that means "the arguments are wrong". */

/** Everything was answered. */
export const EXIT_OK = 0;
/** Everything was answered, and the answer is the one that the caller wanted to fail on. */
export const EXIT_FOUND = 1;
/** The arguments, or the files that they name, are unusable. */
export const EXIT_USAGE = 2;

/** Bad arguments: printed as one line, exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
