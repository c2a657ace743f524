/**
 * What a WebSocket's client says to a server that greets it and sends everything back. It runs in Node, with the client of a
 * package, and in a browser, which has it as text.
 *
 * @module
 */

/**
 * Resolves when all has come back as it was, and rejects with what was wrong.
 *
 * @param {typeof WebSocket} Client
 * @param {string} url
 * @param {string} extensions that the server has to choose
 */
export async function talk(Client, url, extensions) {
  const socket = new Client(url, ["other", "echo"]);
  socket.binaryType = "arraybuffer";
  const come = [];
  let wake = () => {};
  let closed;
  const late = setTimeout(() => wake(new Error(`nothing came for 60 s behind ${come.length} messages`)), 60_000);
  socket.onmessage = ({ data }) => {
    come.push(data);
    wake();
  };
  socket.onclose = ({ code, reason, wasClean }) => {
    closed = { code, reason, wasClean };
    wake();
  };
  socket.onerror = () => {};
  let taken = 0;
  const next = async () => {
    while (come.length === taken && !closed) {
      const error = await new Promise((resolve) => wake = resolve);
      if (error) throw error;
    }
    if (come.length === taken) throw new Error(`closed with ${closed.code} behind ${taken} messages`);
    return come[taken++];
  };
  const is = (what, found, expected) => {
    if (found !== expected) throw new Error(`${what} is ${found}, not ${expected}`);
  };
  const bytesAre = (found, expected) => {
    const bytes = new Uint8Array(found);
    is("the length", bytes.length, expected.length);
    is("the first other byte", bytes.findIndex((byte, i) => byte !== expected[i]), -1);
  };
  await next();
  is("the protocol", socket.protocol, "echo");
  is("the list of extensions", socket.extensions, extensions);
  const text = "Grüße, 世界 🌍".repeat(1000);
  socket.send(text);
  is("the text", await next(), text);
  socket.send("");
  is("the empty text", await next(), "");
  for (const length of [0, 3, 125, 126, 65535, 65536, 16 * 1024 * 1024]) {
    const bytes = new Uint8Array(length).map((_, i) => i * 7 + (i >> 8));
    socket.send(bytes);
    bytesAre(await next(), bytes);
  }
  for (let i = 0; i < 500; i++) socket.send(`message ${i}`);
  for (let i = 0; i < 500; i++) is("the answer", await next(), `message ${i}`);
  socket.close(4001, "bye");
  while (!closed) await new Promise((resolve) => wake = resolve);
  clearTimeout(late);
  is("the close code", closed.code, 4001);
  is("the close", closed.wasClean, true);
}
