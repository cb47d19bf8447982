// What changes the agent's knowledge of its volumes.
import type { VolumeRecord } from '../../api/volume.js';
import type { HostState } from './state.js';

/** Takes over a list that was asked for at mono time `askedAt`; what was made or destroyed since then stays so. */
export const volumesListed = (state: HostState, list: readonly VolumeRecord[], askedAt: number): void => {
  const touched = (name: string): boolean => (state.volumesTouched.get(name) ?? -Infinity) >= askedAt;
  const present = new Set(list.map(({ name }) => name));
  for (const name of [...state.volumes.keys()]) {
    if (!present.has(name) && !touched(name)) state.volumes.delete(name);
  }
  for (const record of list) if (!touched(record.name)) state.volumes.set(record.name, record);
  state.volumesListed = true;
};

/** A volume is there. */
export const volumeSeen = (state: HostState, record: VolumeRecord, mono: number): void => {
  state.volumes.set(record.name, record);
  state.volumesTouched.set(record.name, mono);
};

/** A volume is gone. */
export const volumeGone = (state: HostState, name: string, mono: number): void => {
  state.volumes.delete(name);
  state.volumesTouched.set(name, mono);
};
