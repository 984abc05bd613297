// The access token from MODASH_TOKEN_FILE or MODASH_TOKEN, as headers.

import { readFileSync } from "node:fs";

export function authorization(): Record<string, string> {
  const { MODASH_TOKEN_FILE: file, MODASH_TOKEN: text } = process.env;
  const token = file ? readFileSync(file, "utf8") : text;
  return token ? { authorization: `Bearer ${token.trim()}` } : {};
}
