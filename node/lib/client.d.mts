export { NodesockdClient, NodesockdError } from './client.js';
export type {
  Config,
  DaemonApplicationRequestReply,
  DaemonConfig,
  DaemonStatus,
  JsonObject,
  JsonSerializable,
  Progress,
  RestartOptions,
  RestartReply,
  StartOptions,
  Status,
  WorkerState,
  WorkerStatus,
} from './client.js';
