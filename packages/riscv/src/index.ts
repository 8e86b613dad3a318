export * from './access.ts';
export * from './attributes.ts';
export * from './format.ts';
export * from './modes.ts';
