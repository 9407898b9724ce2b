import { defineConfig } from 'vitest/config'

const minuteMs = 60_000

export default defineConfig({
  test: {
    // A process per file: libp2p hosts and LevelDB leave nothing behind for the next file.
    pool: 'forks',
    // Time limits and measured rates must mean the same on a laptop and on a busy two-core machine.
    maxWorkers: 2,
    // A worker that still holds sockets after its tests is killed instead of waited for.
    teardownTimeout: 10_000,
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text', 'html'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 3 * minuteMs,
          hookTimeout: minuteMs,
        },
      },
    ],
  },
})
