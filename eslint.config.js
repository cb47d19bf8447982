// Lint rules of the house: no floating promises, and imports that go one way between the rooms.
import tseslint from 'typescript-eslint';

const lib = 'src/lib';
/** Rooms that a room may not import from, by path of the importing room. */
const forbidden = {
  util: ['api', 'store', 'docker', 'ssh', 'layer0', 'layer1', 'operator', 'lab', 'ui'],
  api: ['store', 'docker', 'ssh', 'layer0', 'layer1', 'operator', 'lab', 'ui'],
  store: ['docker', 'ssh', 'layer0', 'layer1', 'operator', 'lab', 'ui'],
  docker: ['store', 'ssh', 'layer0', 'layer1', 'operator', 'lab', 'ui'],
  ssh: ['store', 'docker', 'layer0', 'layer1', 'operator', 'lab', 'ui'],
  layer0: ['layer1', 'operator', 'lab', 'ui', 'ssh'],
  layer1: ['operator', 'lab', 'ui', 'ssh'],
  operator: ['lab', 'ui'],
  access: ['store', 'docker', 'layer0', 'layer1', 'lab'],
  seed: ['ssh', 'docker', 'layer1', 'operator', 'lab', 'ui'],
  appliance: ['docker', 'ssh', 'layer0', 'layer1', 'operator', 'lab', 'ui'],
  lab: ['layer0', 'layer1', 'ui'],
  ui: ['store', 'docker', 'ssh', 'layer0', 'layer1', 'operator', 'lab'],
};
/** Packages that only one room may import: everything else goes through that room's port. */
const owned = { etcd3: 'store', dockerode: 'docker', ssh2: 'ssh', chalk: 'ui', listr2: 'ui', inquirer: 'ui' };

const roomPattern = (room, other) => ({
  group: [`**/${other}/**`, `**/lib/${other}/**`],
  message: `${room} may not import ${other}: imports go one way (ARCHITECTURE)`,
});

const roomRules = Object.entries(forbidden).map(([room, not]) => ({
  files: [`${lib}/${room}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [...not.map((other) => roomPattern(room, other))],
        paths: Object.entries(owned)
          .filter(([, owner]) => owner !== room)
          .map(([name, owner]) => ({ name, message: `only src/lib/${owner} imports ${name}` })),
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.lab/**', 'coverage/**', 'templates/**'] },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.ts', 'test/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.object.name='process'][callee.property.name='exit']",
          message: 'only bin/ ends the process',
        },
      ],
    },
  },
  ...roomRules,
  // The gateway is an SSH server: it alone imports ssh2 beside the ssh room. What it has in common with the
  // controller lies in layer1/shared.
  {
    files: [`${lib}/layer1/gateway/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            roomPattern('gateway', 'controller'),
            ...forbidden.layer1.map((other) => roomPattern('layer1', other)),
          ],
        },
      ],
    },
  },
  { files: ['test/**/*.ts'], rules: { 'no-restricted-imports': 'off' } },
);
