// Certificates in PEM text: found, told apart, without reading what is in them.

const block = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates of a text, one PEM block each, in order and without repeats. */
export function splitBundle(text: string): string[] {
  return [...new Set((text.match(block) ?? []).map((pem) => pem.replace(/\r/g, '')))];
}
