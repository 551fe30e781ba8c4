// An application that answers sipproxy's routing webhook: which queue for a caller, which trunk for a number.
//
//     npm ci
//     npm start
//
// Its spans, those of its queries among them, stand in the trace of the call that it was asked about.
//
//     OTEL_EXPORTER_OTLP_ENDPOINT   where they go (http://localhost:4318)
//     HOST, PORT                    where it listens (127.0.0.1, 9002)
//     DATABASE                      its SQLite file (customers.db), made with example rows if there is none
//     DATABASE_TIMEOUT_MS           how long a query may wait (150; the proxy waits for 300)
//
// POST /route, as sipproxy's docs/webhook.md describes it:
//
//     200   where the call goes, or that it is rejected
//     400   a question that is none; 408: half of one; 413: a longer one than any
//     503   the database does not answer
//     500   a fault of ours
//
// With anything but 200 the proxy sends the call where its route says. No fault of a question or of the database ends the
// process, and none of the numbers in a question gets into a log, an answer or a span.

'use strict';

const { nameRequest, stop, withInteraction } = require('./tracing.js');
const http = require('node:http');
const customers = require('./customers.js');

const DEFAULT_TRUNK = process.env.TRUNK ?? 'carrier'; // for numbers that have no line
const LONGEST_QUESTION = 65536; // bytes
const TEXTS = ['call_id', 'from', 'to', 'uri', 'trunk', 'interaction_id'];
const ROUTES = { '/route': { POST: route }, '/healthz': { GET: async () => ({ status: 'alive' }) } };

let ending = false;

class Refusal extends Error {
  constructor(status, text, headers = {}) {
    super(text);
    Object.assign(this, { status, headers });
  }
}

async function route(request) {
  const question = readQuestion(await bodyOf(request));
  return withInteraction(question.interaction_id, () => decide(question));
}

// The queue by who calls, the trunk by what was dialled.
async function decide(question) {
  const customer = await customers.findCustomer(numberOf(question.from));
  if (customer?.blocked) return { reject: 403, reason: 'Account suspended' };
  const trunk = await customers.findTrunk(numberOf(question.uri));
  return { to: [trunk ?? DEFAULT_TRUNK], headers: { 'X-Queue': customer?.queue ?? 'standard' } };
}

async function bodyOf(request) {
  const pieces = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    if (length > LONGEST_QUESTION) throw new Refusal(413, 'too long', { Connection: 'close' });
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

// The question, all of whose fields are there and of their type.
function readQuestion(body) {
  let question;
  try {
    question = JSON.parse(body);
  } catch {
    throw new Refusal(400, 'the body is no JSON');
  }
  if (!isObject(question)) throw new Refusal(400, 'the question is no object');
  for (const name of TEXTS) {
    if (typeof question[name] !== 'string') throw new Refusal(400, `${name} is missing, or no text`);
  }
  if (!isObject(question.headers)) throw new Refusal(400, 'headers is missing, or no object');
  return question;
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// The user part of a sip: or tel: URI.
function numberOf(uri) {
  const user = uri.slice(uri.indexOf(':') + 1).split('@')[0].split(';')[0];
  try {
    return decodeURIComponent(user);
  } catch {
    return user; // `%` and no hex digits
  }
}

// Each fault has its status, and says what is wrong.
async function answer(request, response) {
  const path = request.url.split('?')[0];
  let [status, body, headers] = [200, {}, {}];
  try {
    const methods = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
    if (!methods) throw new Refusal(404, 'Not Found');
    nameRequest(request.method, path);
    if (!Object.hasOwn(methods, request.method)) {
      throw new Refusal(405, 'Method Not Allowed', { Allow: Object.keys(methods).join() });
    }
    body = await methods[request.method](request);
  } catch (error) {
    if (response.destroyed) return; // whoever asked is gone
    if (error instanceof Refusal) {
      ({ status, headers } = error);
      body = { error: error.message };
    } else if (error instanceof customers.DatabaseError) {
      console.error('the database does not answer:', error.message);
      [status, body] = [503, { error: 'the database does not answer' }];
    } else {
      console.error('a fault of ours:', error.name); // its text could hold a number
      [status, body] = [500, { error: 'a fault of ours' }];
    }
  }
  const text = JSON.stringify(body);
  const usual = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  if (ending) usual.Connection = 'close'; // nobody is to keep it, and us, for the next question
  response.writeHead(status, { ...usual, ...headers }).end(text);
}

// Until SIGTERM or Ctrl-C; questions that are open then are answered first.
function serve() {
  customers.prepare();
  const server = http.createServer({ connectionsCheckingInterval: 1000 }, answer); // or it looks twice a minute
  server.requestTimeout = 5000; // for the whole of a question
  server.listen(Number(process.env.PORT ?? 9002), process.env.HOST ?? '127.0.0.1', () => {
    console.log(`listening on ${server.address().port}`);
  });
  const end = () => {
    ending = true;
    server.close(async () => {
      await customers.close();
      await stop();
      process.exit(0);
    });
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 2000).unref();
  };
  process.once('SIGTERM', end).once('SIGINT', end);
}

serve();
