// The schedulers' way to Sampi: any live copy, the same transaction id again when an answer was lost.
import type { z } from 'zod';
import type { RouteContract } from '../../api/contract.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { ports } from '../../api/grid.js';
import type { JobTemplate, JobTemplateInput } from '../../api/job.js';
import type { GridView, TransactionAnswer, TransactionInput } from '../../api/sampi.js';
import { sampiRoutes } from '../../api/sampi-routes.js';
import type { ApplianceClients } from '../../appliance/client.js';

/** What a scheduler asks of Sampi; the tests' fake has the same shape. */
export interface Sampi {
  transact(request: TransactionInput): Promise<TransactionAnswer>;
  view(): Promise<GridView>;
  putTemplate(input: JobTemplateInput): Promise<{ hash: string; template: JobTemplate }>;
}

/** Sampi over mTLS. `addresses` gives the copies in order of preference, the local one first. */
export class SampiClient implements Sampi {
  constructor(
    private readonly clients: ApplianceClients,
    private readonly addresses: () => readonly string[],
    private readonly timeoutMs = 3_000,
    private readonly port: number = ports.sampi,
  ) {}

  /** Commits a transaction. Throws the coded errors of `transact`; `unreachable` when no copy answers. */
  transact(request: TransactionInput): Promise<TransactionAnswer> {
    return this.anyCopy(sampiRoutes.transact, request);
  }

  /** One consistent view of all hosts. */
  view(): Promise<GridView> {
    return this.anyCopy(sampiRoutes.view);
  }

  /** Stores a template; returns its hash. */
  putTemplate(input: JobTemplateInput): Promise<{ hash: string; template: JobTemplate }> {
    return this.anyCopy(sampiRoutes.putTemplate, input);
  }

  // Every call is idempotent (transactions by id, templates by content), so the next copy may be asked after any loss.
  private async anyCopy<S extends z.ZodType>(
    { method, path, answer }: RouteContract & { answer: S },
    body?: unknown,
  ): Promise<z.infer<S>> {
    let last: unknown;
    for (const address of this.addresses()) {
      try {
        return await this.clients.at(address, this.port, this.timeoutMs).call(method, path, answer, { body });
      } catch (error) {
        if (
          !isFlynnError(error, 'unreachable') &&
          !isFlynnError(error, 'timeout') &&
          !isFlynnError(error, 'no_quorum')
        )
          throw error;
        last = error;
      }
    }
    if (isFlynnError(last, 'no_quorum')) throw last;
    throw new FlynnError({
      code: 'unreachable',
      message: 'no copy of sampi answers',
      hint: 'flynn cluster status',
      cause: last,
    });
  }
}
