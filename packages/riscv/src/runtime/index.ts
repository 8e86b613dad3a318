export * from './hot-remove.ts';
export * from './kernel-tables.ts';
export * from './ptdump.ts';
export * from './set-memory.ts';
export * from './split-linear.ts';
export * from './vmap.ts';
export * from './vmemmap.ts';
