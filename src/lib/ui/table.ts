// Tables of aligned columns without borders: readable for people, cut-able for scripts.

/** A column: its heading and how a row fills it. */
export interface Column<Row> {
  title: string;
  value(row: Row): string | number | undefined;
  /** Numbers stand right. Default left. */
  right?: boolean;
}

// eslint's no-control-regex guards against accidents; an escape sequence is what is looked for here.
const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');

/** Characters that a text takes on a screen, colours not counted. */
export function widthOf(text: string): number {
  return [...text.replace(escapes, '')].length;
}

/** The rows under their headings, as lines without trailing spaces. No rows: no lines. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
  if (rows.length === 0) return [];
  const cells = [
    columns.map((column) => column.title.toUpperCase()),
    ...rows.map((row) => columns.map((column) => String(column.value(row) ?? '').replaceAll('\n', ' '))),
  ];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => widthOf(line[at] ?? ''))));
  return cells.map((line) =>
    line
      .map((cell, at) => {
        const pad = ' '.repeat((widths[at] ?? 0) - widthOf(cell));
        return columns[at]?.right ? pad + cell : cell + pad;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Pairs of a name and a value, the values aligned; pairs without a value are left out. */
export function pairs(list: readonly (readonly [string, string | number | undefined])[]): string[] {
  const shown = list.filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...shown.map(([name]) => widthOf(name)));
  return shown.map(([name, value]) => `${name}${' '.repeat(width - widthOf(name))}  ${value}`);
}

/** How long ago, in the largest unit: `12s`, `5m`, `3h`, `2d`. */
export function ago(at: number, now: number): string {
  const s = Math.max(0, Math.round((now - at) / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}
