// A server of Node.js that says in a header how it has read each request. Its socket
// is the first argument.

import { createServer } from "node:http"

const server = createServer((request, response) => {
  const pieces = []
  request.on("data", (piece) => pieces.push(piece))
  request.on("end", () => {
    const body = Buffer.concat(pieces).toString("latin1")
    response.setHeader("x-read", JSON.stringify([request.method, request.url, body]))
    response.end()
  })
})
// What waits for more bytes is given up soon.
server.headersTimeout = 1000
server.requestTimeout = 1000
server.keepAliveTimeout = 1000
server.listen(process.argv[2], () => console.log("ready"))
