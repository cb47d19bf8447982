// Types of argv.js, for the tests.
export function hoistGlobalFlags(argv: readonly string[], ids: ReadonlySet<string>): string[];
export function asksVersion(argv: readonly string[]): boolean;
export function guardRunWords(argv: readonly string[]): string[];
