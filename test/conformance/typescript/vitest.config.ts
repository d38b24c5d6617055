import { defineConfig } from 'vitest/config'

const record = process.env.DAYTONA_RECORD

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    setupFiles: ['record.ts'],
    reporters: record ? ['default', ['json', { outputFile: `${record}.outcomes` }]] : ['default'],
  },
})
