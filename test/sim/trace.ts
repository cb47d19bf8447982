// A digest of everything that happened in a run: two runs with one digest did the same things in the same order.

/** Two words of a rolling hash (FNV-1a with two primes): for telling runs apart, not for security. */
export class Trace {
  private a = 0x811c9dc5;
  private b = 0x9e3779b9;

  /** Mixes a text in; of a long one the length and every seventh character. */
  text(text: string): void {
    let { a, b } = this;
    const step = text.length > 64 ? 7 : 1;
    a ^= text.length;
    for (let i = 0; i < text.length; i += step) {
      const code = text.charCodeAt(i);
      a = Math.imul(a ^ code, 0x01000193);
      b = Math.imul(b ^ code, 0x85ebca6b);
    }
    this.a = a ^ (b >>> 15);
    this.b = b;
  }

  number(value: number): void {
    this.a = Math.imul(this.a ^ value, 0x01000193);
    this.b = Math.imul(this.b ^ value, 0x85ebca6b) ^ (this.a >>> 13);
  }

  /** 16 hexadecimal digits. */
  digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.a) + hex(this.b);
  }
}
