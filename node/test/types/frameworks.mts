import express from 'express';
import Fastify from 'fastify';
import Hapi from '@hapi/hapi';
import polka from 'polka';
import { Hono } from 'hono';
import { createAdaptorServer } from '@hono/node-server';
import { createApp, toNodeListener } from 'h3';
import http2 from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import type { INestApplication } from '@nestjs/common';
import { listen } from 'nodesockd';

declare const nest: INestApplication;
await listen(express());
await listen(Fastify());
await listen(Hapi.server());
await listen(polka());
await listen(nest);
await listen(createAdaptorServer(new Hono()));
await listen(toNodeListener(createApp()));
await listen(http2.createServer());
// @ts-expect-error that of gRPC makes its own
await listen(new grpc.Server());
// @ts-expect-error a Hono app has no server of Node
await listen(new Hono());
// @ts-expect-error nor has one of h3
await listen(createApp());
