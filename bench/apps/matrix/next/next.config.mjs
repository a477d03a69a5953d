// `server.mjs` runs what this builds as well.
export default { output: 'standalone' };
