// Image references: `host:port/repository:tag` and `…@sha256:…`. Pure.

/** A reference in two parts, as the engine's API takes them. */
export interface ImageRef {
  repository: string;
  /** A tag, or a digest (`sha256:…`). `latest` when the reference has neither. */
  tag: string;
}

/** Splits a reference. A colon before the last slash belongs to the registry's port. */
export const splitRef = (ref: string): ImageRef => {
  const at = ref.indexOf('@');
  if (at >= 0) {
    const { repository } = splitRef(ref.slice(0, at));
    return { repository, tag: ref.slice(at + 1) };
  }
  const colon = ref.lastIndexOf(':');
  if (colon < 0 || ref.indexOf('/', colon) >= 0) return { repository: ref, tag: 'latest' };
  return { repository: ref.slice(0, colon), tag: ref.slice(colon + 1) };
};
