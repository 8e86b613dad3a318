import { defineConfig } from 'vitest/config';

// Tests run from the sources: the workspace's own export condition comes first, so nothing needs a build.
const conditions = ['@pagefold/source', 'module', 'node', 'import', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'docs/test/**/*.test.ts', 'tools/**/*.test.ts'],
    testTimeout: 120_000,
  },
});
