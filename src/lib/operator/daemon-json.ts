// Docker's daemon.json with what Flynn needs merged in. Pure.

/** The merged settings, their text, and whether that differs from what was there. */
export interface MergedDaemonJson {
  value: Record<string, unknown>;
  text: string;
  changed: boolean;
}

/** Merges live-restore into the file's text (undefined: there is no file). Throws a SyntaxError when it is not JSON. */
export function mergeDaemonJson(text: string | undefined): MergedDaemonJson {
  const before = JSON.parse(text?.trim() || '{}') as unknown;
  if (typeof before !== 'object' || before === null || Array.isArray(before)) {
    throw new SyntaxError('daemon.json is not an object');
  }
  const value = { ...before, 'live-restore': true };
  const changed = (before as Record<string, unknown>)['live-restore'] !== true;
  return { value, text: `${JSON.stringify(value, null, 2)}\n`, changed };
}
