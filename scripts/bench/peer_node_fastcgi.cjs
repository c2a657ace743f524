// The benchmark's FastCGI program with npm's node-fastcgi. Usage: node peer_node_fastcgi.cjs PACKAGE SOCKET
const [, , folder, socket] = process.argv;
const large = Buffer.alloc(64 * 1024, "x");

require(folder).createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/plain" });
  response.end(request.url.includes("/large") ? large : "hello world\n");
}).listen(socket);
