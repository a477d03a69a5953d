import nodesockd = require('nodesockd');
import { NodesockdClient } from 'nodesockd/client';

const replies: nodesockd.Replies<string> = nodesockd.sendAppRequest<string>('who');
replies.then((all) => all.map(({ data }) => data?.length));
nodesockd.listen((req, res) => nodesockd.suspendMiddleware(req, res, () => res.end()), 3000).then((server) => server.close());
new NodesockdClient('/tmp/nodesockd.ipc').setWorkerCount(2);
