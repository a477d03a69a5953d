// The frames between a worker and its daemon, in the names of 2.x. Only types: apps that mention them compile.

import { JsonObject, JsonSerializable } from './json.js';

/** A message from a client or another worker. */
export type ApplicationMessage = { message: string; data?: JsonObject };

/** A request from a client or another worker. */
export type ApplicationRequest = { request: string; data?: JsonObject };

/** What a worker answers. */
export type ApplicationRequestReply = { pid: number; data?: JsonSerializable };

/** The same, as it is passed on to whoever asked: `id` is the worker's. */
export type DaemonApplicationRequestReply = { id: string; pid: number; data?: JsonSerializable; errors?: string[] };

/** Kinds of messages and requests: what they carry and, for a request, what answers it. */
export interface IpcMessageMap {
  [type: string]: [data?: JsonObject | undefined, reply?: unknown];
}

/** What a worker tells and asks its daemon. */
export interface WorkerIpcOutgoingMap extends IpcMessageMap {
  'online': [data: { id: string; pid: number; suspended?: boolean; leader?: boolean }, reply: void];
  'leader': [data: { id: string; pid: number; leader: boolean; term: number }, reply: void];
  'broken': [data: { id: string; pid: number; reason?: string }, reply: void];
  'send-app-msg': [data: ApplicationMessage & { workers?: string }, reply: void];
  'send-app-req': [data: ApplicationRequest & { workers?: string }, reply: AsyncIterableIterator<DaemonApplicationRequestReply>];
}

/** What a daemon tells and asks its worker. */
export interface WorkerIpcIncomingMap extends IpcMessageMap {
  'app-msg': [data: ApplicationMessage, reply: void];
  'app-req': [data: ApplicationRequest, reply: AsyncIterableIterator<ApplicationRequestReply> | ApplicationRequestReply];
  'resume': [data: undefined, reply: void];
  'detach': [data: { ipcPath: string }, reply: void];
  'shutdown': [data: undefined, reply: void];
  'set-name': [data: { name: string }, reply: void];
  'slot': [data: { slot: number }, reply: void];
  'leader': [data: { leader: boolean; term: number }, reply: void];
}
