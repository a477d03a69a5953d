export { NodesockdClient, NodesockdError, Progress, RestartOptions, StartOptions, Status, WorkerStatus } from './client.js';
