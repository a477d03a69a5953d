import client from './client.js';

export const { NodesockdClient, NodesockdError } = client;
