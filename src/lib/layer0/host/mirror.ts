// Own keys in memory: what the informer told, merged with our own writes that it has not told yet.

/** A value with the revision it was written at. */
export interface Kept<T> {
  value: T;
  revision: number;
}

const tombstonesKept = 2_000;

/**
 * A map of keys to values in which the higher revision wins, deletions too.
 * Without the revisions, a late event of a watch would bring back what we have just deleted, for a moment.
 */
export class Mirror<T> {
  private readonly kept = new Map<string, Kept<T>>();
  private readonly gone = new Map<string, number>();

  /** The value of a key with its revision. */
  get(key: string): Kept<T> | undefined {
    return this.kept.get(key);
  }

  /** All keys with their values. */
  entries(): IterableIterator<[string, Kept<T>]> {
    return this.kept.entries();
  }

  /** Takes over a value of unknown age, unless anything is known of the key: whatever the store tells replaces it. */
  seed(key: string, value: T): void {
    if (!this.kept.has(key) && !this.gone.has(key)) this.kept.set(key, { value, revision: 0 });
  }

  /** Takes over a value unless something newer is known of the key; true when it was taken over. */
  put(key: string, value: T, revision: number): boolean {
    if ((this.kept.get(key)?.revision ?? 0) >= revision || (this.gone.get(key) ?? 0) >= revision)
      return false;
    this.gone.delete(key);
    this.kept.set(key, { value, revision });
    return true;
  }

  /** Takes over a deletion unless the key was written after it; true when there was something to delete. */
  remove(key: string, revision: number): boolean {
    if ((this.kept.get(key)?.revision ?? 0) > revision) return false;
    this.gone.delete(key);
    this.gone.set(key, revision);
    if (this.gone.size > tombstonesKept) {
      const oldest = this.gone.keys().next();
      if (!oldest.done) this.gone.delete(oldest.value);
    }
    return this.kept.delete(key);
  }

  /** Forgets revisions and tombstones, for a store whose revision went back; the values stay. */
  restart(): void {
    this.gone.clear();
    for (const kept of this.kept.values()) kept.revision = 0;
  }
}
