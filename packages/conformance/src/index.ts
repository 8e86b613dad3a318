export * from './checks.ts';
export * from './errors.ts';
export * from './run.ts';
export * from './subject.ts';
