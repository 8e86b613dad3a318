export * from './early.ts';
export * from './init.ts';
export * from './symbols.ts';
