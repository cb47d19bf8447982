// An operation of a plan: what will be done where, after what. The plan that is shown is the plan that runs.

/** The kinds of operation that bootstrap and add-host know. */
export type OperationKind =
  | 'docker.install'
  | 'docker.configure'
  | 'files.write'
  | 'images.build'
  | 'images.load'
  | 'etcd.start'
  | 'etcd.wait'
  | 'etcd.auth'
  | 'grid.seed'
  | 'grid.join'
  | 'grid.admit'
  | 'agent.start'
  | 'grid.wait'
  | 'local.remember';

/** One step. Carrying it out twice changes nothing the second time. */
export interface Operation {
  /** `etcd.start@a`: unique in the plan, the same in every run. */
  id: string;
  kind: OperationKind;
  /** The host it is done on; absent for what concerns the cluster. */
  host?: string;
  title: string;
  /** More lines for --dry-run. */
  detail: string[];
  /** Ids that must be done before. */
  after: string[];
}

/** The plan as text, one operation after the other, details indented. */
export function describeOperations(operations: readonly Operation[]): string[] {
  return operations.flatMap((operation) => [
    `${operation.host ? `${operation.host}: ` : ''}${operation.title}  [${operation.id}]`,
    ...operation.detail.map((line) => `    ${line}`),
  ]);
}
