// Which folder may import what. The table below is the only place where this is decided: the rules
// are generated from it here, and scripts/import-table.mjs draws it into docs/architecture.md.

const { join } = require('node:path')

/**
 * One row per folder of src/, from pure to outside.
 *
 * - `folders`: folders whose files may be imported; `types`: folders of which only types may be
 * - `packages`: npm packages; a trailing slash means every package of that scope
 * - `node`: Node.js built-in modules, or `all`
 */
const importTable = {
  core: {},
  crypto: { folders: ['core'], packages: ['@scure/bip39'], node: ['crypto', 'zlib'] },
  identity: { folders: ['core', 'crypto'] },
  feed: { folders: ['core', 'crypto', 'identity'] },
  records: { folders: ['core', 'crypto', 'feed'], packages: ['yjs', 'lib0'] },
  sync: { folders: ['core', 'crypto', 'identity', 'feed'] },
  observe: { folders: ['core'], packages: ['pino'], node: 'all' },
  store: {
    folders: ['core', 'crypto', 'feed'],
    types: ['records'],
    packages: ['level', 'abstract-level', 'pg'],
    node: 'all',
  },
  mesh: {
    folders: ['core', 'identity', 'sync', 'observe'],
    packages: [
      'libp2p',
      '@libp2p/',
      '@chainsafe/libp2p-noise',
      '@multiformats/multiaddr',
      'uint8arraylist',
      'multicast-dns',
    ],
    node: 'all',
  },
  bridge: {
    folders: ['core', 'crypto', 'identity', 'sync', 'observe', 'mesh'],
    packages: ['ws', 'uint8arraylist'],
    node: 'all',
  },
  device: {
    folders: [
      'core',
      'crypto',
      'identity',
      'feed',
      'records',
      'sync',
      'observe',
      'store',
      'mesh',
      'bridge',
    ],
    packages: ['yjs', 'lib0'],
    node: 'all',
  },
  server: {
    folders: ['core', 'crypto', 'identity', 'feed', 'sync', 'observe', 'store', 'bridge', 'device'],
    packages: ['fastify', 'ws'],
    node: 'all',
  },
  daemon: { folders: ['core', 'observe', 'device'], node: 'all' },
  cli: {
    folders: ['core', 'observe', 'device', 'server', 'daemon'],
    packages: ['commander', 'uqr', 'pino'],
    node: 'all',
  },
  'index.ts': { folders: ['core', 'records', 'device'] },
}

const isFile = (name) => name.includes('.')
const escaped = (text) => text.replaceAll('.', '\\.')
const anyOf = (patterns) => `(?:${patterns.join('|')})`
const inSource = (name) => `^src/${escaped(name)}${isFile(name) ? '$' : '/'}`
const inPackage = (name) => `node_modules/${escaped(name)}${name.endsWith('/') ? '' : '(?:/|$)'}`

function rulesOf([name, { folders = [], types = [], packages = [], node = [] }]) {
  const from = { path: inSource(name) }
  const rule = (kind, to) => ({ name: `${name}-${kind}`, severity: 'error', from, to })
  const rules = [
    rule('folders', {
      path: '^src/',
      pathNot: [name, ...folders, ...types].map(inSource),
    }),
    rule('packages', {
      path: 'node_modules/',
      ...(packages.length > 0 && { pathNot: packages.map(inPackage) }),
    }),
  ]
  if (types.length > 0) {
    const path = types.map(inSource)
    rules.push(rule('types-only', { path, dependencyTypesNot: ['type-only'] }))
  }
  if (node !== 'all') {
    const allowed = node.length > 0 && { pathNot: `^(?:node:)?${anyOf(node)}$` }
    rules.push(rule('node', { dependencyTypes: ['core'], ...allowed }))
  }
  return rules
}

module.exports = {
  forbidden: [
    ...Object.entries(importTable).flatMap(rulesOf),
    {
      name: 'every-folder-has-a-row',
      severity: 'error',
      from: { path: '^src/', pathNot: Object.keys(importTable).map(inSource) },
      to: {},
    },
    {
      name: 'only-product-code',
      comment: 'tests and scripts do not ship; the simulator does, behind a command of its own',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/commands/simulate[.]ts$' },
      to: { pathNot: ['^src/', 'node_modules/'], dependencyTypesNot: ['core'] },
    },
    {
      name: 'no-development-packages',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Counts imports that only bring types: they bind folders together just as much.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: join(__dirname, 'tsconfig.json') },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}

// Not enumerable, because dependency-cruiser rejects settings that it does not know.
Object.defineProperty(module.exports, 'importTable', { value: importTable })
