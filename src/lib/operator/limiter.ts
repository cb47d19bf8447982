// A bound on how much goes on at once.

/** Lets at most `max` pieces of work go on at once; the others wait for their turn, in order. */
export function limiter(max: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = max;
  const queue: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => queue.push(resolve));
    try {
      return await work();
    } finally {
      // The place goes to the next in line, so that nobody overtakes it.
      const next = queue.shift();
      if (next) next();
      else free += 1;
    }
  };
}
