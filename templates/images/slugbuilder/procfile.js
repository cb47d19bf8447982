// Process types of an app: those of its Procfile, and the defaults that the buildpack's release gives for the rest.
// stdin: YAML of bin/release (only `default_process_types` is read). argv: path of the Procfile. stdout: JSON.
const { existsSync, readFileSync, statSync } = require('node:fs');

const processes = {};
let inside = false;
for (const line of readFileSync(0, 'utf8').split('\n')) {
  if (/^default_process_types:\s*$/.test(line)) inside = true;
  else if (/^\S/.test(line)) inside = false;
  else if (inside) {
    const found = /^\s+([a-z][a-z0-9_-]*):\s*(.+?)\s*$/.exec(line);
    if (found) processes[found[1]] = found[2].replace(/^(["'])(.*)\1$/, '$2');
  }
}

const fail = (message) => {
  console.error(` !     ${message}`);
  console.error(
    ' !     → git commit -a && git push flynn main   (once every line is like `web: node server.js`)',
  );
  process.exit(1);
};

const path = process.argv[2];
if (existsSync(path)) {
  if (!statSync(path).isFile()) fail('Procfile is no file');
  readFileSync(path, 'utf8')
    .split(/\r?\n/)
    .forEach((line, index) => {
      if (line.trim() === '' || line.trimStart().startsWith('#')) return;
      const found = /^([a-z][a-z0-9_-]{0,29}):\s*(.+?)\s*$/.exec(line);
      if (!found) fail(`Procfile line ${index + 1} is not \`type: command\`: ${line.slice(0, 80)}`);
      processes[found[1]] = found[2];
    });
}
process.stdout.write(JSON.stringify(processes));
