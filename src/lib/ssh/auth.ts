// Which keys are offered to a host and in which order; what was tried is kept for the error message.
import { join } from 'node:path';
import ssh2, {
  type AnyAuthMethod,
  type BaseAgent,
  type ParsedKey,
  type SignCallback,
  type SigningRequestOptions,
} from 'ssh2';
import { FlynnError } from '../api/errors.js';
import { readOptional } from './files.js';
import { outlineKey, readKey } from './key-file.js';
import type { AuthOptions } from './port.js';

/** One key that can be offered. */
export interface Candidate {
  /** For messages: a path, `the key from FLYNN_SSH_KEY`, `comment (agent)`. */
  label: string;
  /** Needs a passphrase first: left for last. */
  locked: boolean;
  /** The method for ssh2; undefined when the human gave no passphrase. Throws `usage` for a bad key. */
  method(user: string): Promise<AnyAuthMethod | undefined>;
}

/** The part of ssh_config that speaks about keys. */
export interface AuthConfig {
  identityFiles: readonly string[];
  identitiesOnly: boolean;
  identityAgent?: string | false;
}

const DEFAULTS = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

/** Lists the agent's keys; none when no agent answers. */
const agentKeys = (agent: BaseAgent): Promise<ParsedKey[]> =>
  new Promise((resolve) => {
    agent.getIdentities((error, keys) => {
      resolve(error || !keys ? [] : (keys as ParsedKey[]).filter((key) => typeof key === 'object'));
    });
  });

/** An agent that shows one key only: the order of keys is ours, and servers count every offer. */
class OneKeyAgent extends ssh2.BaseAgent<ParsedKey> {
  constructor(
    private readonly agent: BaseAgent,
    private readonly key: ParsedKey,
  ) {
    super();
  }
  override getIdentities(cb: (error?: Error | null, keys?: ParsedKey[]) => void): void {
    cb(null, [this.key]);
  }
  override sign(
    key: ParsedKey,
    data: Buffer,
    options: SigningRequestOptions | SignCallback,
    done?: SignCallback,
  ): void {
    if (typeof options === 'function') this.agent.sign(key, data, options);
    else this.agent.sign(key, data, options, done);
  }
}

const fromAgent = (agent: BaseAgent, key: ParsedKey, label: string): Candidate => ({
  label,
  locked: false,
  method: (username) =>
    Promise.resolve({ type: 'agent', username, agent: new OneKeyAgent(agent, key) as BaseAgent }),
});

const fromText = (text: string, label: string): Candidate => ({
  label,
  locked: false,
  method: (username) =>
    Promise.resolve().then(() => ({ type: 'publickey', username, key: readKey(text, label) })),
});

const fromLocked = (text: string, file: string, ask: NonNullable<AuthOptions['passphrase']>): Candidate => ({
  label: file,
  locked: true,
  method: async (username) => {
    const passphrase = await ask(file);
    if (passphrase === undefined) return undefined;
    return { type: 'publickey', username, key: readKey(text, file, passphrase) };
  },
});

const blobOf = (key: ParsedKey): string => key.getPublicSSH().toString('base64');

/** A key's public half: from its own text, else from the `.pub` beside it. */
const publicBlob = async (file: string, text: string | undefined): Promise<string | undefined> => {
  const own = text === undefined ? undefined : outlineKey(text).publicBlob;
  return own ?? (await readOptional(`${file}.pub`))?.trim().split(/\s+/)[1];
};

/** What listing the keys needs from outside. */
export interface AuthSources {
  auth: AuthOptions;
  config: AuthConfig;
  /** Socket of the agent unless `auth` or ssh_config say otherwise. */
  agentSocket?: string;
  home: string;
}

/**
 * The keys to offer, in order: given texts, named files (through the agent where it holds them), the agent's other
 * keys, default identities; those that need a passphrase come last. Throws `usage` for a named file that is missing.
 */
export const listCandidates = async ({
  auth,
  config,
  agentSocket,
  home,
}: AuthSources): Promise<Candidate[]> => {
  const socket = auth.agent ?? config.identityAgent ?? agentSocket;
  const agent = socket ? ssh2.createAgent(socket) : undefined;
  const held = new Map((agent ? await agentKeys(agent) : []).map((key) => [blobOf(key), key]));
  const offered = new Set<string>();
  const found: Candidate[] = [];
  const offer = (candidate: Candidate, blob: string | undefined): void => {
    if (blob !== undefined && offered.has(blob)) return;
    if (blob !== undefined) offered.add(blob);
    found.push(candidate);
  };
  const offerFile = async (file: string, must: boolean): Promise<void> => {
    const text = await readOptional(file);
    const blob = await publicBlob(file, text);
    const inAgent = blob === undefined ? undefined : held.get(blob);
    if (agent && inAgent) return offer(fromAgent(agent, inAgent, `${file} (agent)`), blob);
    if (text === undefined) {
      if (!must) return;
      throw new FlynnError({ code: 'usage', message: `the identity file ${file} does not exist` });
    }
    if (!outlineKey(text).encrypted) return offer(fromText(text, file), blob);
    if (auth.passphrase) return offer(fromLocked(text, file, auth.passphrase), blob);
    if (must) {
      throw new FlynnError({
        code: 'refused',
        message: `the identity file ${file} is encrypted and nobody can be asked for its passphrase`,
        hint: `run ssh-add ${file} first`,
      });
    }
  };

  for (const text of auth.keyTexts ?? []) {
    const label = 'the key given as text';
    if (outlineKey(text).encrypted) {
      throw new FlynnError({
        code: 'usage',
        message: `${label} is encrypted`,
        hint: 'give a key without a passphrase, or use an agent',
      });
    }
    offer(fromText(text, label), outlineKey(text).publicBlob);
  }
  for (const file of auth.identityFiles ?? []) await offerFile(file, true);
  // Files of ssh_config may be absent: people share one configuration between computers.
  for (const file of config.identityFiles) await offerFile(file, false);
  if (agent && !config.identitiesOnly) {
    for (const [blob, key] of held) offer(fromAgent(agent, key, `${key.comment || key.type} (agent)`), blob);
  }
  const named =
    (auth.keyTexts?.length ?? 0) + (auth.identityFiles?.length ?? 0) + config.identityFiles.length;
  if (auth.defaultIdentities ?? named === 0) {
    for (const name of DEFAULTS) await offerFile(join(home, '.ssh', name), false);
  }
  return [...found.filter((c) => !c.locked), ...found.filter((c) => c.locked)];
};
