// An app of Next.js with a server of its own.

import next from 'next';
import { nodesockd } from 'nodesockd';

await nodesockd.listen(next({ dev: false, dir: import.meta.dirname }));
