// A bootstrap that goes on: the same hosts, the same domain, and the same kind of grid, or a refusal that says what was begun.
import { describe, expect, it } from 'vitest';
import Bootstrap from '../../../src/commands/cluster/bootstrap.js';
import type { BootstrapOptions } from '../../../src/lib/operator/bootstrap.js';
import { sameHosts } from '../../../src/lib/operator/cluster-record.js';
import type { ClusterJournal } from '../../../src/lib/operator/journal.js';

const begun = (layer0?: true): ClusterJournal =>
  ({ name: 'n', domain: 'd.test', hosts: [], ...(layer0 ? { layer0 } : {}) }) as unknown as ClusterJournal;
const asked = (layer0: boolean | undefined): BootstrapOptions => ({ layer0 }) as unknown as BootstrapOptions;

describe('bootstrap again', () => {
  it('given no flag, as at the first time, then it goes on', () => {
    expect(sameHosts(begun(), [], asked(undefined))).toEqual(begun());
    expect(sameHosts(begun(), [], asked(false))).toEqual(begun());
    expect(sameHosts(begun(true), [], asked(true))).toEqual(begun(true));
    expect(Bootstrap.flags.layer0.default).toBe(false);
  });

  it.each([
    [begun(), true, 'with the platform'],
    [begun(true), false, 'Layer 0 alone'],
    [begun(true), undefined, 'Layer 0 alone'],
  ])(
    'given another kind of grid than was begun, then it is refused and says which',
    (journal, flag, words) => {
      expect(() => sameHosts(journal, [], asked(flag))).toThrow(words);
    },
  );
});
