'use strict';

// A server of @grpc/grpc-js that only knows its port, and gives every call its number back.

const { Server, ServerCredentials } = require('@grpc/grpc-js');
const { nodesockd } = require('nodesockd'); // for what it says of itself alone

const toText = String;
const toBytes = Buffer.from;
const answer = {
  path: '/Numbers/Answer',
  requestStream: false,
  responseStream: false,
  requestSerialize: toBytes,
  requestDeserialize: toText,
  responseSerialize: toBytes,
  responseDeserialize: toText,
};

const server = new Server();
server.addService({ answer }, {
  answer({ request: number }, callback) {
    callback(null, JSON.stringify({ number, worker: nodesockd.id, suspended: nodesockd.suspended }));
  },
});
server.bindAsync('0.0.0.0:50051', ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
process.once('SIGTERM', () => server.tryShutdown(() => {}));
