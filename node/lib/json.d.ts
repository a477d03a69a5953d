/** What JSON can express. */
export type JsonSerializable = string | number | boolean | null | JsonSerializable[] | JsonObject;

/** An object of it; what is undefined is left out. */
export type JsonObject = { [key: string | number]: JsonSerializable | undefined };
