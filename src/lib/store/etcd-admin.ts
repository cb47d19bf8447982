// What operators ask of etcd itself: state, members, compaction, defragmentation, alarms.
import type { IAlarmResponse, IMemberAddResponse, IMemberListResponse, IStatusResponse } from 'etcd3';
import type { EtcdCalls } from './etcd-calls.js';
import { Endpoint, NotSentError } from './etcd-endpoint.js';
import { isGrpcError, judge, storeError } from './etcd-errors.js';
import { idFromWire, idToWire, toMember } from './etcd-wire.js';
import type { CallOptions, StoreAlarm, StoreMember, StoreStatus } from './port.js';

const ALARMS: Record<string, StoreAlarm['alarm']> = { NOSPACE: 'NOSPACE', CORRUPT: 'CORRUPT' };

/** See Store.status. */
export const status = (calls: EtcdCalls, opts: CallOptions | undefined): Promise<StoreStatus> =>
  calls.each('status', 'read', opts?.signal, async (endpoint) => {
    const limits = { timeoutMs: opts?.timeoutMs ?? calls.timeoutMs, leader: false, signal: opts?.signal };
    const s = await endpoint.call<IStatusResponse>('main', 'Maintenance', 'status', {}, limits);
    const { alarms } = await endpoint.call<IAlarmResponse>(
      'main',
      'Maintenance',
      'alarm',
      { action: 'Get' },
      limits,
    );
    const leader = idFromWire(s.leader);
    return {
      endpoint: endpoint.url,
      clusterId: idFromWire(s.header.cluster_id),
      memberId: idFromWire(s.header.member_id),
      revision: Number(s.header.revision),
      version: s.version,
      dbSize: Number(s.dbSize),
      ...(leader ? { leader } : {}),
      raftTerm: Number(s.raftTerm),
      raftIndex: Number(s.raftIndex),
      alarms: alarms.map(({ memberID, alarm }) => ({
        member: idFromWire(memberID),
        alarm: ALARMS[String(alarm).toUpperCase()] ?? 'UNKNOWN',
      })),
    };
  });

const cluster = <Res>(
  calls: EtcdCalls,
  method: string,
  what: string,
  payload: object,
  opts: CallOptions | undefined,
): Promise<Res> =>
  calls.call<Res>({
    what,
    kind: 'write',
    service: 'Cluster',
    method,
    payload,
    opts,
    // A change of members goes through raft and waits for its own connections: slower than a put.
    timeoutMs: calls.timeoutMs * 5,
  });

/** See Store.members. */
export const members = async (calls: EtcdCalls, opts: CallOptions | undefined): Promise<StoreMember[]> => {
  const answer = await calls.call<IMemberListResponse>({
    what: 'list members',
    kind: 'read',
    service: 'Cluster',
    method: 'memberList',
    payload: {},
    leader: false,
    opts,
  });
  return answer.members.map(toMember);
};

/** See Store.addMember. */
export const addMember = async (
  calls: EtcdCalls,
  peerUrls: string[],
  learner: boolean,
  opts: CallOptions | undefined,
): Promise<StoreMember> => {
  const payload = { peerURLs: peerUrls, isLearner: learner };
  const what = `add member ${peerUrls.join()}`;
  return toMember((await cluster<IMemberAddResponse>(calls, 'memberAdd', what, payload, opts)).member);
};

/** See Store.promoteMember. */
export const promoteMember = async (
  calls: EtcdCalls,
  id: string,
  opts: CallOptions | undefined,
): Promise<void> => {
  await cluster(calls, 'memberPromote', `promote member ${id}`, { ID: idToWire(id) }, opts);
};

/** See Store.removeMember; throws `not_found` when it is gone. */
export const removeMember = async (
  calls: EtcdCalls,
  id: string,
  opts: CallOptions | undefined,
): Promise<void> => {
  await cluster(calls, 'memberRemove', `remove member ${id}`, { ID: idToWire(id) }, opts);
};

/** See StoreMaintenance.compact. */
export const compact = async (
  calls: EtcdCalls,
  revision: number,
  opts: CallOptions | undefined,
): Promise<void> => {
  const payload = { revision: String(revision) };
  await calls.call({
    what: `compact ${revision}`,
    kind: 'write',
    service: 'KV',
    method: 'compact',
    payload,
    opts,
  });
};

/** See StoreMaintenance.defragment. */
export const defragment = async (
  calls: EtcdCalls,
  url: string,
  opts: CallOptions | undefined,
): Promise<void> => {
  const endpoint = new Endpoint(url, calls.tls);
  try {
    const limits = { timeoutMs: opts?.timeoutMs ?? 60_000, leader: false, signal: opts?.signal };
    await endpoint.call('main', 'Maintenance', 'defragment', {}, limits);
  } catch (error) {
    if (error instanceof NotSentError) throw storeError('unreachable', 'defragment', [url], error);
    throw isGrpcError(error) ? storeError(judge(error).code, 'defragment', [url], error) : error;
  } finally {
    endpoint.close();
  }
};

/** See StoreMaintenance.disarm. */
export const disarm = async (calls: EtcdCalls, opts: CallOptions | undefined): Promise<void> => {
  const ask = (payload: object): Promise<IAlarmResponse> =>
    calls.call({ what: 'alarms', kind: 'read', service: 'Maintenance', method: 'alarm', payload, opts });
  const { alarms } = await ask({ action: 'Get' });
  for (const { memberID, alarm } of alarms) await ask({ action: 'Deactivate', memberID, alarm });
};
