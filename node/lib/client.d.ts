import { Limits, Replies } from './index.js';
import { Config } from './config.js';
import { JsonObject } from './json.js';

export type { Config };
export type { DaemonApplicationRequestReply } from './protocol.js';
export type { JsonObject, JsonSerializable } from './json.js';

/**
 * Commands a daemon over its IPC socket. Connects when it has something to say; an open connection keeps no process alive. All
 * methods reject with a TypeError when an argument is wrong.
 */
export declare class NodesockdClient {
  /**
   * @param ipcPath the daemon's `ipcFile`; a worker finds it in `NODESOCKD_IPC_PATH`
   * @param limits how long the daemon may take to answer questions, and workers to answer requests. What the daemon is asked to do
   *   may take as long as it takes
   */
  constructor(ipcPath: string, limits?: Limits);

  /** Connects; rejects when there is no daemon. */
  run(): Promise<void>;

  /** Connects, calls `fn` and hangs up when it is done, whatever comes of it. */
  run<T>(fn: (client: this) => T | PromiseLike<T>): Promise<T>;

  /**
   * Hangs up, and resolves when that is done; what waits for an answer fails. The daemon carries on with what it was asked to
   * do.
   */
  terminate(): Promise<void>;

  getStatus(): Promise<Status>;

  /** What the daemon has counted: `docs/05-ipc.md` describes it. */
  getMetrics(): Promise<JsonObject>;

  /** The configuration in force and the files it came from. */
  getConfig(): Promise<DaemonConfig>;

  /** Resolves when the workers are online. */
  startWorkers(suspended?: boolean, maxAttempts?: number): Promise<void>;
  startWorkers(options: StartOptions): Promise<{ pid: number } | undefined>;

  /**
   * Resolves when the old workers are gone. Code `start-failed`: the new ones could not be started, the old ones still serve.
   *
   * @param upgrade upgrade the daemon first if it is older than this library
   */
  restartWorkers(suspended?: boolean, maxAttempts?: number, upgrade?: boolean): Promise<RestartReply>;
  restartWorkers(options: RestartOptions): Promise<RestartReply>;

  /** Switches to a release, watches it, and goes back if its workers fail: then this rejects with the code `rolled-back`. */
  deploy(options?: DeployOptions): Promise<{ pid: number }>;

  resumeWorkers(): Promise<void>;
  stopWorkers(): Promise<void>;

  /** @param count at least 1; `stopWorkers` ends all of them */
  setWorkerCount(count: number): Promise<void>;

  setStandbyCount(count: number): Promise<void>;

  /** @param workers a selector such as `0-2`, `$4711` or a UUID; default all workers in slots */
  sendAppMessage(message: string, data?: unknown, workers?: string): Promise<void>;

  /** Await all answers, or iterate over them as they come. */
  sendAppRequest<T = any>(request: string, data?: unknown, workers?: string, limits?: Limits): Replies<T>;

  /** Rejects with what is wrong with the configuration; the old one stays in force. */
  reloadConfig(): Promise<void>;

  /** Stops the workers and the daemon. Resolves with the daemon's pid when it has begun. */
  terminateDaemon(): Promise<number>;
}

/** A request that failed, or could not be made. */
export declare class NodesockdError extends Error {
  /** What went wrong, in sentences. */
  readonly errors: string[];

  /**
   * The daemon's: `usage`, `invalid-config`, `busy`, `start-failed`, `rolled-back`, `not-rolled-back`, `time-out`, `not-permitted`. Ours: `ERR_CLOSED`, `ERR_PROTOCOL`,
   * `ERR_TOO_LONG`, `ERR_NOT_CONNECTED`, `ERR_TIMED_OUT`, `ERR_STANDALONE`. Or the operating system's: `ENOENT`, `ECONNREFUSED`, `EACCES`…
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
  /** Resolve when the new workers serve, and not only when the old ones are gone. Not with `suspended`. */
  untilSwap?: boolean;
  /** Told about each worker's steps. */
  onProgress?(progress: Progress): void;
}

export interface RestartOptions extends StartOptions {
  /** How long the app may stay suspended, in milliseconds, from when this resolves. Only with `suspended` and `then`. */
  for?: number;
  /** What is done after that: the new workers are resumed, or the release that served before is started again. */
  then?: 'resume' | 'rollback';
  /** Upgrade the daemon first if it is older than this library. */
  upgrade?: boolean;
  /** The same, if it is older than this. */
  version?: string;
  /** Instead of `options.batch`: at most so many new workers beside the full set; 0 for all at once, which is what `suspended` needs. */
  batch?: number;
}

export interface DeployOptions {
  /** The folder of the release; what the daemon's working directory leads to unless given. */
  release?: string;
  /** For how many ms the new workers are watched; 30000 unless given, and 0 with a migration. */
  watch?: number;
  /** What each new worker has to answer with 2xx or 3xx while it is watched, as the path of a GET. */
  health?: string;
  /** A command, for `sh`, that runs in the new release while no worker is active. */
  migrate?: string;
  /** A command that undoes that. */
  revert?: string;
  /** How many ms each of these may take; for ever unless given. */
  migrateTimeout?: number;
  /** Instead of `options.maxStartAttempts`. */
  maxAttempts?: number;
  /** Instead of `options.batch`: at most so many new workers beside the full set; 0 for all at once, which is what `migrate` needs. */
  batch?: number;
  /** Told about each step. */
  onStep?(step: DeployStep): void;
  /** Told about each worker's steps. */
  onProgress?(progress: Progress): void;
}

export interface DeployStep {
  step: 'switched' | 'migrating' | 'output' | 'migrated' | 'reverting' | 'watching' | 'confirmed' | 'rolling-back';
  /** The release that the step is about. */
  release?: string;
  /** For how many more ms the new workers are watched. */
  watch?: number;
  /** While they are watched, no old ones are kept. */
  alone?: boolean;
  /** The command that runs. */
  command?: string;
  /** What the command wrote, control characters escaped. */
  line?: string;
  /** Why it is rolled back. */
  reason?: string;
}

export interface RestartReply {
  /** The daemon's. */
  pid: number;
  /** It goes to make room for a newer one: ask that one again. */
  upgrading?: boolean;
  /** What it was before it upgraded itself. */
  upgradedFrom?: string;
}

export interface DaemonConfig {
  config: Config;
  files: string[];
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
  failingStandby?: { missing: number; failures: number; retryTs?: number; reason: string };
  failures?: { idx: number; count: number; lastTs: number; reason: string }[];
  operation?: string;
}

export interface WorkerStatus {
  id: string;
  /** The slot, if it has one. */
  idx?: number;
  pid?: number;
  state: WorkerState;
  stateTs: number;
  standby?: boolean;
  /** It is of the former generation, and kept while a deploy is watched. */
  kept?: boolean;
  /** It leads. */
  leader?: boolean;
}

export type WorkerState = 'waiting' | 'running' | 'online' | 'suspended' | 'broken' | 'terminating' | 'dead';

/** By 2.x's name. */
export type DaemonStatus = Status;
