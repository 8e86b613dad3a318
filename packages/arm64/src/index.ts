export * from './access.ts';
export * from './attributes.ts';
export * from './faults.ts';
export * from './format.ts';
export * from './geometry.ts';
export * from './granule.ts';
export * from './regime.ts';
export * from './registers.ts';
