// An app of SvelteKit, whose request listener adapter-node has made.

import { nodesockd } from 'nodesockd';
import { handler } from './build/handler.js';

await nodesockd.listen(handler);
