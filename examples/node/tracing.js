// OpenTelemetry of this application. Loaded first (node --require ./tracing.js app.js): what is loaded before it is not
// instrumented. `stop` sends what is left.
//
// The customer interaction is bound to the context of one call, as W3C baggage in AsyncLocalStorage, and from there to
// each span that begins in it. Never to the resource: that describes the process, and the process has many calls.

'use strict';

const defaults = { // the environment overrides them
  OTEL_SERVICE_NAME: 'voice-app-node',
  OTEL_SEMCONV_STABILITY_OPT_IN: 'http', // today's names: http.request.method, url.path
  OTEL_NODE_RESOURCE_DETECTORS: 'env,serviceinstance', // the others tell command line, user and paths
  OTEL_METRICS_EXPORTER: 'none', // spans only
  OTEL_LOGS_EXPORTER: 'none',
  OTEL_EXPORTER_OTLP_TIMEOUT: '2000', // ms for one export
};
for (const [name, value] of Object.entries(defaults)) process.env[name] ??= value;

const { context, propagation, trace } = require('@opentelemetry/api');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { KnexInstrumentation } = require('@opentelemetry/instrumentation-knex');
const { NodeSDK, tracing } = require('@opentelemetry/sdk-node');

const INTERACTION = 'interaction.id';
const LONGEST = 128; // characters of an interaction id; sipproxy keeps as many
const FLUSH_MS = 3000; // at the end; a collector that is away must not keep the process

// Each span says which customer interaction it belongs to, from its first moment on.
class InteractionProcessor {
  onStart(span, parentContext) {
    const entry = propagation.getBaggage(parentContext)?.getEntry(INTERACTION);
    if (entry) span.setAttribute(INTERACTION, entry.value.slice(0, LONGEST));
  }
  onEnd() {}
  async forceFlush() {}
  async shutdown() {}
}

const sdk = new NodeSDK({
  spanProcessors: [new InteractionProcessor(), new tracing.BatchSpanProcessor(new OTLPTraceExporter())],
  instrumentations: [
    new HttpInstrumentation({
      ignoreIncomingRequestHook: (request) => request.url === '/healthz', // a load balancer asks every second
    }),
    new KnexInstrumentation({ maxQueryLength: 1024 }), // the text of queries, whose values are `?`
  ],
});
sdk.start();

// Inside, all that is done belongs to this interaction. The request's own span, which is open already, gets it too: where
// a proxy on the way took the baggage header away, the question's body is where the interaction stands.
function withInteraction(interaction, work) {
  if (!interaction) return work();
  trace.getActiveSpan()?.setAttribute(INTERACTION, interaction.slice(0, LONGEST));
  const here = context.active();
  const baggage = propagation.getBaggage(here) ?? propagation.createBaggage();
  return context.with(propagation.setBaggage(here, baggage.setEntry(INTERACTION, { value: interaction })), work);
}

// The name of a request's span: nobody but the application knows its routes.
function nameRequest(method, path) {
  trace.getActiveSpan()?.updateName(`${method} ${path}`).setAttribute('http.route', path);
}

// Send what is left, in bounded time.
async function stop() {
  const enough = new Promise((resolve) => setTimeout(resolve, FLUSH_MS).unref());
  await Promise.race([sdk.shutdown().catch((error) => console.error('spans were lost:', error.code ?? error.name)), enough]);
}

module.exports = { nameRequest, stop, withInteraction };
