// A TCP relay on a port of its own that can be cut and restored.
import { connect, createServer } from "node:net";

/** Relays to the host and port of `target`. */
export async function openRelay(target) {
  const sockets = new Set();
  const port = Number(target.port || 80);
  const make = () =>
    createServer((client) => {
      const server = connect(port, target.hostname);
      for (const [one, other] of [
        [client, server],
        [server, client],
      ]) {
        sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  const listen = (server, at) => new Promise((done) => server.listen(at, "127.0.0.1", done));
  let server = make();
  await listen(server, 0);
  const own = server.address().port;
  const cut = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${own}`,
    cut,
    async restore() {
      server = make();
      await listen(server, own);
    },
    close: cut,
  };
}
