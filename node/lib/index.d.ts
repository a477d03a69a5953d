/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { ListenOptions, Server } from 'node:net';
import * as json from './json.js';
import * as protocol from './protocol.js';

/** This process, as a worker of a daemon. Without a daemon, everything is there and nothing happens. */
declare const nodesockd: nodesockd.Worker & {
  /** The same, by the name that 2.x exports: `import { nodesockd } from 'nodesockd'`. */
  readonly nodesockd: nodesockd.Worker;
};

declare namespace nodesockd {
  interface Worker extends EventEmitter {
    /** The worker's UUID. It comes from the environment, as do the next two: undefined without a daemon, unless you set it. */
    readonly id: string | undefined;

    /** Its last five characters. */
    readonly shortId: string | undefined;

    /** Where to listen. */
    readonly socketPath: string | undefined;

    /** Whether the worker must not *do* anything yet: it may listen, and requests may wait. */
    readonly suspended: boolean;

    /**
     * The number of the slot that the worker serves, from 0. Undefined for a standby until it is promoted, and without a daemon.
     * While a worker finishes its last requests, the one that follows it has the same number: what must not run twice asks `leader`.
     */
    readonly slot: number | undefined;

    /**
     * Whether this worker leads. Of all workers of an app that serve and are not suspended, the daemon has one lead, and at no time
     * two. Without a daemon nobody does.
     */
    readonly leader: boolean;

    /** Resolves when the worker is told to resume; at once if it was not suspended, or has no daemon. */
    readonly resumed: Promise<void>;

    /** Does nothing: a worker runs from the start. There for apps that call it. */
    run(): Promise<void>;

    /**
     * Express (Connect) middleware that holds requests back while the worker is suspended. Put it first. A worker that is shut
     * down instead answers them with 503, `Connection: close` and `Retry-After: 0`.
     *
     * @returns a promise of what `next` returns, or of its error
     */
    suspendMiddleware(req: any, res: any, next: () => any): Promise<void>;

    /**
     * Does the whole integration. Under a daemon: listens on the worker's socket (or the one it inherits), holds requests
     * back while suspended, reports online, and on `shutdown` drains: every answer is its connection's last, and the server is
     * closed when nginx has let go of its connections, or shortly before `options.shutdownTimeout` is over.
     *
     * Close what keeps the process alive (a database pool, say) in the server's `close` event.
     *
     * @param target a server of HTTP or HTTP/2, a request listener (an Express app is one), or an app of Koa, Fastify, Nest, Next, Hapi or Polka
     * @param fallback where to listen without a daemon; default `process.env.PORT`, else 3000
     * @returns the server, listening; an inherited socket is not listened on before the worker is resumed
     * @throws what `server.listen` fails with; TypeError for another kind of target, and for one that would not be served right
     */
    listen(target: Server | RequestListener | KoaLike | FastifyLike | NestLike | NextLike | HapiLike | PolkaLike, fallback?: number | string | ListenOptions, options?: ServeOptions): Promise<Server>;

    /**
     * Tells the daemon that the worker listens on its socket. `listen` does it for you. Resolves when that is said, never rejects:
     * while there is no daemon, the next one is told.
     */
    reportOnline(): Promise<void>;

    /**
     * Asks the daemon for a replacement. Keep serving until `shutdown`. Without a daemon nobody can replace this process, and
     * `shutdown` follows at once.
     */
    reportBroken(reason?: string): Promise<void>;

    /**
     * Sets who answers requests of that name from clients and other workers. An iterator or readable stream is sent as a stream
     * of answers; an error is sent as one. `null` takes the handler away.
     *
     * @throws TypeError when it is neither
     */
    setRequestHandler(request: string, handler: ((data: any) => unknown) | null): void;

    /** Sets who answers requests of any other name. */
    setRequestHandler(handler: ((request: string, data: any) => unknown) | null): void;

    /**
     * Sends a message to workers. Never an unhandled rejection, unless an argument is wrong; await it to know.
     *
     * @param workers a selector such as `0-2`, `!self`, `$4711`; default all workers in slots
     * @throws NodesockdError when the daemon refuses it or is not there
     */
    sendAppMessage(message: string, data?: unknown, workers?: string): Promise<void>;

    /**
     * Sends a request to workers. Await all answers, or iterate over them as they come. Without a daemon it rejects, with code
     * `ERR_STANDALONE`.
     */
    sendAppRequest<T = any>(request: string, data?: unknown, workers?: string, limits?: Limits): Replies<T>;

    /** A message from a client or another worker. A listener that is there already is not added again. */
    on(event: 'message', listener: (message: string, data: any) => unknown): this;
    /** Finish what you have begun. `listen` has seen to the server. */
    on(event: 'shutdown', listener: () => unknown): this;
    /**
     * The worker begins to lead, or ends. Another one leads only when what the listeners return has settled, or this process is
     * dead: return a promise of the job that you are to finish first. Not emitted for what was so before the listener was added.
     */
    on(event: 'leader', listener: (leads: boolean) => unknown): this;
    on<E extends string & keyof NodesockdWorkerEvents>(event: E, listener: (...args: NodesockdWorkerEvents[E]) => unknown): this;
    once(event: 'message', listener: (message: string, data: any) => unknown): this;
    once(event: 'shutdown', listener: () => unknown): this;
    once(event: 'leader', listener: (leads: boolean) => unknown): this;
    once<E extends string & keyof NodesockdWorkerEvents>(event: E, listener: (...args: NodesockdWorkerEvents[E]) => unknown): this;

    /** Takes a listener away, without one all of the event, and without an event all. */
    off(event?: string | symbol, listener?: (...args: any[]) => unknown): this;
  }

  /** How long a request may take, in ms; 0 for no limit. */
  interface Limits {
    /** To the first answer; default 30000. */
    timeout?: number;
    /** From one answer to the next; default 10000. */
    partTimeout?: number;
  }

  interface ServeOptions {
    /**
     * nginx's `keepalive_timeout` of this upstream, in ms; default 60000, as nginx's. The drain waits 15 s longer than that for idle
     * connections that nginx does not close.
     */
    upstreamKeepAlive?: number;
  }

  /** What a worker answers. */
  interface Reply<T = any> {
    /** The worker. */
    id: string;
    pid: number;
    data?: T;
    /** Why there is no data. */
    errors?: string[];
  }

  /** Replies, as they come or all at once: do one or the other. */
  interface Replies<T = any> extends PromiseLike<Reply<T>[]>, AsyncIterableIterator<Reply<T>> {
    [Symbol.asyncIterator](): Replies<T>;
    next(): Promise<IteratorResult<Reply<T>, any>>;
    return(value?: any): Promise<IteratorResult<Reply<T>, any>>;
    throw(error?: any): Promise<IteratorResult<Reply<T>, any>>;
    catch<R>(onRejected: (reason: any) => R | PromiseLike<R>): Promise<Reply<T>[] | R>;
    finally(onSettled: () => void): Promise<Reply<T>[]>;
  }

  interface KoaLike {
    callback(): RequestListener;
  }

  interface FastifyLike {
    server: Server;
    ready?(): PromiseLike<unknown>;
    close?(): PromiseLike<unknown>;
  }

  interface NestLike {
    init(): PromiseLike<unknown>;
    getHttpServer(): any;
    close(): PromiseLike<unknown>;
  }

  interface NextLike {
    prepare(): PromiseLike<unknown>;
    getRequestHandler(): (req: any, res: any) => unknown;
    close(): PromiseLike<unknown>;
  }

  interface HapiLike {
    listener: any;
    initialize(): PromiseLike<unknown>;
    stop(): PromiseLike<unknown>;
  }

  interface PolkaLike {
    handler(req: any, res: any): unknown;
    parse(req: any): unknown;
  }

  // 2.x's names.
  type NodesockdWorker = Worker;
  interface NodesockdWorkerEvents {
    [event: string]: any[];
    message: [message: string, data?: JsonObject];
    shutdown: [];
    leader: [leads: boolean];
  }
  type ApplicationMessage = protocol.ApplicationMessage;
  type ApplicationRequest = protocol.ApplicationRequest;
  type ApplicationRequestReply = protocol.ApplicationRequestReply;
  type WorkerIpcIncomingMap = protocol.WorkerIpcIncomingMap;
  type WorkerIpcOutgoingMap = protocol.WorkerIpcOutgoingMap;
  type JsonObject = json.JsonObject;
  type JsonSerializable = json.JsonSerializable;
}

export = nodesockd;
