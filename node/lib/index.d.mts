import nodesockd from './index.js';

export default nodesockd;
/** By the name that 2.x exports. */
export { nodesockd };

export declare const id: typeof nodesockd.id;
export declare const shortId: typeof nodesockd.shortId;
export declare const socketPath: typeof nodesockd.socketPath;
/** A live binding: it changes when the worker is resumed. */
export declare let suspended: boolean;
/** Live bindings: they change when the worker takes a slot, and when it begins or ends to lead. */
export declare let slot: number | undefined;
export declare let leader: boolean;
export declare const resumed: typeof nodesockd.resumed;
export declare const suspendMiddleware: typeof nodesockd.suspendMiddleware;
export declare const listen: typeof nodesockd.listen;
export declare const on: typeof nodesockd.on;
export declare const once: typeof nodesockd.once;
export declare const off: typeof nodesockd.off;
export declare const run: typeof nodesockd.run;
export declare const reportOnline: typeof nodesockd.reportOnline;
export declare const reportBroken: typeof nodesockd.reportBroken;
export declare const setRequestHandler: typeof nodesockd.setRequestHandler;
export declare const sendAppMessage: typeof nodesockd.sendAppMessage;
export declare const sendAppRequest: typeof nodesockd.sendAppRequest;

export type Worker = nodesockd.Worker;
export type ServeOptions = nodesockd.ServeOptions;
export type Reply<T = any> = nodesockd.Reply<T>;
export type Replies<T = any> = nodesockd.Replies<T>;
export type Limits = nodesockd.Limits;

// 2.x's names.
export type NodesockdWorker = nodesockd.NodesockdWorker;
export type NodesockdWorkerEvents = nodesockd.NodesockdWorkerEvents;
export type { ApplicationMessage, ApplicationRequest, ApplicationRequestReply, WorkerIpcIncomingMap, WorkerIpcOutgoingMap } from './protocol.js';
export type { JsonObject, JsonSerializable } from './json.js';
