// Every type that 2.x exports.
import { nodesockd } from 'nodesockd';
import type {
  ApplicationMessage,
  ApplicationRequest,
  ApplicationRequestReply,
  JsonObject,
  JsonSerializable,
  NodesockdWorker,
  NodesockdWorkerEvents,
  WorkerIpcIncomingMap,
  WorkerIpcOutgoingMap,
} from 'nodesockd';
import type {
  DaemonApplicationRequestReply,
  DaemonStatus,
  JsonObject as ClientObject,
  JsonSerializable as ClientSerializable,
  NodesockdClient,
  WorkerState,
  WorkerStatus,
} from 'nodesockd/client';

export const worker: NodesockdWorker = nodesockd;
export function subscribe<E extends string & keyof NodesockdWorkerEvents>(event: E, handler: (...args: NodesockdWorkerEvents[E]) => void): void {
  nodesockd.on(event, handler);
  nodesockd.once(event, handler);
}
subscribe('message', (message: string, data?: JsonObject) => console.log(message.length, data?.key));
subscribe('shutdown', () => {});

export const message: ApplicationMessage = { message: 'm', data: { a: [1, null, { b: undefined }] } };
export const request: ApplicationRequest = { request: 'r' };
export const reply: ApplicationRequestReply = { pid: 1, data: 'x' };
export const json: [JsonSerializable, ClientSerializable, ClientObject] = ['x', [1, true, null], { a: 'b' }];
export const online: WorkerIpcOutgoingMap['online'][0] = { id: 'x', pid: 1, suspended: true };
export const asked: WorkerIpcOutgoingMap['send-app-req'][0] = { request: 'r', workers: '0' };
export const name: WorkerIpcIncomingMap['set-name'][0] = { name: 'x' };
export const detach: WorkerIpcIncomingMap['detach'][0] = { ipcPath: '/x' };

export async function inspect(client: NodesockdClient): Promise<WorkerState[]> {
  const status: DaemonStatus = await client.getStatus();
  const first: WorkerStatus | undefined = status.workers[0];
  const replies: AsyncIterableIterator<DaemonApplicationRequestReply> = client.sendAppRequest('who');
  for await (const { id, pid, data, errors } of replies) console.log(id, pid, data, errors);
  return first ? [first.state] : [];
}
