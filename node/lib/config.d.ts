/** A configuration in force: defaults filled in, paths absolute. The chapter on configuration says what each key means. */
export interface Config {
  /** Missing if there is a `command`. */
  script: string;
  command?: string[];
  node?: string;
  nodeArgs?: string[];
  tmpDir: string;
  name: string;
  socketFile: string;
  ipcFile: string;
  workers: number;
  standby: number;
  /** A list of names, or a table of names and values. */
  env: any;
  devServer?: any;
  debug: boolean;
  options: ConfigOptions;
  /** What later versions add. */
  [key: string]: any;
}

/** Times are in ms. */
export interface ConfigOptions {
  spawnTimeout: number;
  onlineTimeout: number;
  drainTimeout?: number;
  shutdownTimeout: number;
  maxStartAttempts: number;
  symlinks?: 'relative' | 'absolute';
  stdout?: string;
  stderr?: string | null;
  upgrade?: 'exec' | 'respawn';
  listen?: 'worker' | 'daemon';
  ready?: string;
  readyPath?: string;
  ipcGroup?: string;
  [key: string]: any;
}
