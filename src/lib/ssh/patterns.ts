// Pattern lists as ssh_config and known_hosts write them: `*`, `?`, and `!` for what is left out.

/** True when `text` matches one OpenSSH wildcard pattern; letter case does not count. */
export const matchesPattern = (pattern: string, text: string): boolean => {
  const source = pattern
    .toLowerCase()
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(text.toLowerCase());
};

/** True when `text` matches a pattern of the list and none of its negated ones. */
export const matchesPatternList = (patterns: readonly string[], text: string): boolean => {
  let matched = false;
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(pattern.slice(1), text)) return false;
    } else if (matchesPattern(pattern, text)) matched = true;
  }
  return matched;
};
