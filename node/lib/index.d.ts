/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { ListenOptions, Server } from 'node:net';

/** This process, as a worker of a daemon. Without a daemon, everything is there and nothing happens. */
declare const nodesockd: nodesockd.Worker;

declare namespace nodesockd {
  interface Worker extends EventEmitter {
    /** The worker's UUID; undefined without a daemon, as are the next two. */
    readonly id: string | undefined;

    /** Its last five characters. */
    readonly shortId: string | undefined;

    /** Where to listen. */
    readonly socketPath: string | undefined;

    /** Whether the worker must not *do* anything yet: it may listen, and requests may wait. */
    readonly suspended: boolean;

    /** Resolves when the worker is told to resume; at once if it was not suspended. */
    readonly resumed: Promise<void>;

    /**
     * Express (Connect) middleware that holds requests back while the worker is suspended. Put it first. A worker that is shut
     * down instead answers them with 503, `Connection: close` and `Retry-After: 0`.
     */
    suspendMiddleware(req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void): void;

    /**
     * Does the whole integration. Under a daemon: listens on the worker's socket (or the one it inherits), holds requests
     * back while suspended, reports online, and on `shutdown` drains: every answer is its connection's last, and the server is
     * closed when nginx has let go of its connections, or shortly before `options.shutdownTimeout` is over.
     *
     * Close what keeps the process alive (a database pool, say) in the server's `close` event.
     *
     * @param target an http.Server, a request listener (an Express app is one), a Koa app or a Fastify instance
     * @param fallback where to listen without a daemon; default `process.env.PORT`, else 3000
     * @returns the server, listening; an inherited socket is not listened on before the worker is resumed
     * @throws what `server.listen` fails with; TypeError for another kind of target
     */
    listen(target: Server | RequestListener | KoaLike | FastifyLike, fallback?: number | string | ListenOptions, options?: ServeOptions): Promise<Server>;

    /** Tells the daemon that the worker listens on its socket. `listen` does it for you. */
    reportOnline(): void;

    /** Asks the daemon for a replacement. Keep serving until `shutdown`. */
    reportBroken(reason?: string): void;

    /**
     * Sets who answers requests from clients and other workers. An iterator or readable stream is sent as a stream of answers;
     * an error is sent as one.
     */
    setRequestHandler(handler: ((request: string, data: any) => unknown) | undefined): void;

    /**
     * Sends a message to workers. Never an unhandled rejection; await it to know.
     *
     * @param workers a selector such as `0-2`, `!self`, `$4711`; default all workers in slots
     * @throws NodesockdError when the daemon refuses it or is not there
     */
    sendAppMessage(message: string, data?: unknown, workers?: string): Promise<void>;

    /** Sends a request to workers. Await all answers, or iterate over them as they come. */
    sendAppRequest<T = any>(request: string, data?: unknown, workers?: string): Replies<T>;

    /** A message from a client or another worker. */
    on(event: 'message', listener: (message: string, data: any) => unknown): this;
    /** Finish what you have begun. `listen` has seen to the server. */
    on(event: 'shutdown', listener: () => unknown): this;
    once(event: 'message', listener: (message: string, data: any) => unknown): this;
    once(event: 'shutdown', listener: () => unknown): this;
    off(event: 'message' | 'shutdown', listener: (...args: any[]) => unknown): this;
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
  interface Replies<T = any> extends PromiseLike<Reply<T>[]>, AsyncIterable<Reply<T>> {
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
}

export = nodesockd;
