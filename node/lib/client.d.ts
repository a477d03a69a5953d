import { Replies } from './index.js';

/** Commands a daemon over its IPC socket. Connects when it has something to say; an open connection keeps no process alive. */
export declare class NodesockdClient {
  /** @param ipcPath the daemon's `ipcFile`; a worker finds it in `NODESOCKD_IPC_PATH` */
  constructor(ipcPath: string);

  /** Connects; rejects when there is no daemon. */
  run(): Promise<void>;

  /** Connects, calls `fn` and hangs up when it is done, whatever comes of it. */
  run<T>(fn: (client: this) => T | PromiseLike<T>): Promise<T>;

  /** Hangs up; what waits for an answer fails. The daemon carries on with what it was asked to do. */
  terminate(): void;

  getStatus(): Promise<Status>;

  /** The configuration in force and the files it came from. */
  getConfig(): Promise<{ config: Record<string, unknown>; files: string[] }>;

  /** Resolves when the workers are online. */
  startWorkers(options?: StartOptions): Promise<{ pid: number } | undefined>;

  /** Resolves when the old workers are gone. Code `start-failed`: the new ones could not be started, the old ones still serve. */
  restartWorkers(options?: RestartOptions): Promise<{ pid: number; upgrading?: boolean }>;

  resumeWorkers(): Promise<unknown>;
  stopWorkers(): Promise<unknown>;
  setWorkerCount(count: number): Promise<unknown>;
  setStandbyCount(count: number): Promise<unknown>;

  /** @param workers a selector such as `0-2`, `$4711` or a UUID; default all workers in slots */
  sendAppMessage(message: string, data?: unknown, workers?: string): Promise<unknown>;

  /** Await all answers, or iterate over them as they come. */
  sendAppRequest<T = any>(request: string, data?: unknown, workers?: string): Replies<T>;

  /** Rejects with what is wrong with the configuration; the old one stays in force. */
  reloadConfig(): Promise<unknown>;

  /** Stops the workers and the daemon. */
  terminateDaemon(): Promise<{ pid: number }>;
}

/** A request that failed, or could not be made. */
export declare class NodesockdError extends Error {
  /** What went wrong, in sentences. */
  readonly errors: string[];

  /**
   * The daemon's: `usage`, `invalid-config`, `busy`, `start-failed`, `time-out`, `not-permitted`. Ours: `ERR_CLOSED`, `ERR_PROTOCOL`,
   * `ERR_TOO_LONG`, `ERR_NOT_CONNECTED`. Or the operating system's: `ENOENT`, `ECONNREFUSED`, `EACCES`…
   */
  readonly code?: string;

  /** What the daemon says besides. */
  readonly data?: unknown;
}

export interface StartOptions {
  suspended?: boolean;
  /** Instead of `options.maxStartAttempts`. */
  maxAttempts?: number;
  /** Wait for the operation in progress instead of failing with `busy`. */
  wait?: boolean;
  /** Told about each worker's steps. */
  onProgress?(progress: Progress): void;
}

export interface RestartOptions extends StartOptions {
  /** Upgrade the daemon first if it is older than this. */
  version?: string;
}

export interface Progress {
  id: string;
  idx?: number;
  pid?: number;
  stage: 'starting' | 'online' | 'serving' | 'standby' | 'failed' | 'draining' | 'gone';
  reason?: string;
}

/** Times are in ms since the epoch. */
export interface Status {
  version: string;
  pid: number;
  startTs: number;
  workers: WorkerStatus[];
  /** Of daemons from 3.0 on. */
  name?: string;
  suspended?: boolean;
  vacant?: { idx: number; failures: number; retryTs?: number; reason?: string }[];
  operation?: string;
}

export interface WorkerStatus {
  id: string;
  /** The slot, if it has one. */
  idx?: number;
  pid?: number;
  state: 'running' | 'online' | 'suspended' | 'broken' | 'terminating' | 'dead';
  stateTs: number;
  standby?: boolean;
}
