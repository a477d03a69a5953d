'use strict';

/** What the daemon takes: it refuses a longer line. Bytes, without the newline. */
const MAX_SENT = 1 << 20;

/** What we take. More than the daemon takes, because it wraps workers' answers before it passes them on. */
const MAX_RECEIVED = 2 << 20;

/** A request that failed, or could not be made. */
class NodesockdError extends Error {
  /**
   * @param {string[]} errors what went wrong, in sentences
   * @param {string} [code] the kind of failure, from the daemon or the operating system
   * @param {unknown} [data] what the daemon says besides
   */
  constructor(errors, code, data) {
    super(errors.join('; '));
    this.name = 'NodesockdError';
    this.errors = errors;
    if (code !== undefined) this.code = code;
    if (data !== undefined) this.data = data;
  }
}

/** `frame` as a line, without its newline. Throws when JSON cannot express it, or when it is too long to be taken. */
function encode(frame) {
  const line = JSON.stringify(frame);
  const size = Buffer.byteLength(line);
  if (size > MAX_SENT) {
    throw new NodesockdError([`a "${frame.type}" of ${size} bytes is longer than the ${MAX_SENT} bytes a message may have`], 'ERR_TOO_LONG');
  }
  return line;
}

/** Splits a stream of bytes into lines, however the bytes are cut. */
class LineDecoder {
  #parts = [];
  #size = 0;

  /** Yields the lines that `chunk` completes. Throws when one is longer than anything we are sent. */
  *push(chunk) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      const line = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#size = 0;
      start = end + 1;
      yield line.toString('utf8');
    }
    this.#keep(chunk.subarray(start));
  }

  #keep(part) {
    this.#size += part.length;
    if (this.#size > MAX_RECEIVED) throw new NodesockdError([`a line of more than ${MAX_RECEIVED} bytes`], 'ERR_TOO_LONG');
    if (part.length > 0 || this.#parts.length === 0) this.#parts.push(part);
  }
}

module.exports = { LineDecoder, NodesockdError, encode };
