// The access token of MODASH_TOKEN, if there is one.

export const TOKEN = process.env.MODASH_TOKEN;
export const HEADERS = TOKEN ? { authorization: `Bearer ${TOKEN}` } : {};
