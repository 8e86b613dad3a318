export * from './faults.ts';
export * from './geometry.ts';
export * from './lpae-access.ts';
export * from './lpae-format.ts';
export * from './regime.ts';
export * from './short-access.ts';
export * from './short-attributes.ts';
export * from './short-format.ts';
