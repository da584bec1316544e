// Counts each request in a file and says which it was.
const fs = require('fs');
const http = require('http');
const [port, counted] = process.argv.slice(2);
const out = fs.openSync(counted, 'a');
const server = http.createServer({ keepAliveTimeout: 600000, requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
  fs.writeSync(out, Buffer.from(`200 ${request.method} ${request.url}\n`, 'latin1'));
  request.resume();
  request.on('end', () => response.end(`${request.method} ${request.url}`));
});
server.on('clientError', (error, socket) => {
  // A connection that is cut is no request that is refused.
  if (/^HPE_(?!INVALID_EOF_STATE)/.test(error.code)) fs.writeSync(out, `400 ${error.code} -\n`);
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
server.listen(Number(port), '127.0.0.1');
