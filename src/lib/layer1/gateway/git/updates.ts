// What a push wants to change, and whether that deploys. Pure.

/** One line of a pre-receive hook. */
export interface RefUpdate {
  old: string;
  new: string;
  ref: string;
}

/** What becomes of a push: one commit to build, or a refusal in the words the pusher reads. */
export type Verdict = { deploy: string; branch: string } | { refuse: string[] };

/** Branches whose pushes deploy. */
export const deployBranches: readonly string[] = ['main', 'master'];

const nothing = /^0+$/;
const hash = /^[0-9a-f]{40,64}$/;

/** Reads `OLD NEW REF`; undefined for anything else. */
export function parseUpdate(line: string): RefUpdate | undefined {
  const [old = '', fresh = '', ref = '', ...more] = line.split(' ');
  if (!hash.test(old) || !hash.test(fresh) || !ref.startsWith('refs/') || more.length > 0) return undefined;
  return { old, new: fresh, ref };
}

/** Judges a push as a whole: git takes all of it or nothing. Tags may go along with a branch that deploys. */
export function judge(updates: readonly RefUpdate[]): Verdict {
  const branches = updates.filter(({ ref }) => !ref.startsWith('refs/tags/'));
  const other = branches.find(({ ref }) => !deployBranches.includes(branchOf(ref)));
  if (other) {
    const branch = branchOf(other.ref);
    return {
      refuse: [`only main (or master) deploys: git push flynn ${branch}:main`, `${branch} was not accepted`],
    };
  }
  const gone = branches.find((update) => nothing.test(update.new));
  if (gone) {
    return {
      refuse: [
        `${branchOf(gone.ref)} is what the app runs and cannot be deleted: flynn scale web=0 stops it, flynn apps:destroy removes it`,
      ],
    };
  }
  const [first, ...rest] = branches;
  if (!first)
    return { refuse: ['tags alone deploy nothing: git push flynn main   (tags may go along with it)'] };
  if (rest.some((update) => update.new !== first.new)) {
    return { refuse: ['main and master are two names for what the app runs: push one of them'] };
  }
  return { deploy: first.new, branch: branchOf(first.ref) };
}

function branchOf(ref: string): string {
  return ref.replace(/^refs\/heads\//, '');
}
