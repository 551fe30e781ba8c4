/** The telephone: JsSIP over one WebSocket. Each INVITE carries the context of a span of this page. */

import { Span, parentIn } from "./trace.js";

const MEDIA = { audio: true, video: false };

/** `changed()` is told when a call changes, `note(text)` what happened, `connected(yes)` when the socket does. */
export class Phone {
  constructor({ server, uri, traced, changed, note, connected }) {
    Object.assign(this, { traced, changed, note });
    this.calls = [];
    // register: false, since the proxy is no registrar: this desk calls, and nobody calls it.
    this.agent = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(server)], uri, register: false });
    this.agent.on("connected", () => {
      connected(true);
      // JsSIP comes back by itself when the connection breaks, and says nothing. By which one a call goes on the proxy
      // knows from the first request in it that comes by the new one.
      for (const call of this.calls.filter((each) => each.talking)) call.session.sendRequest("OPTIONS");
    });
    this.agent.on("disconnected", () => connected(false));
    this.agent.start();
  }

  /** A call that the page begins, and with it a trace. */
  call(target, interaction) {
    const span = this.#span(null, interaction);
    const options = { mediaConstraints: MEDIA, extraHeaders: this.#headers(span, interaction) };
    return this.#follow(this.agent.call(target, options), { span, interaction, peer: target });
  }

  /** BYE to everybody, or CANCEL. The socket stays open for their answers, for two seconds. */
  leave() {
    this.agent.stop();
  }

  #follow(session, about) {
    const call = new Call(this, session, about);
    this.calls.push(call);
    session.on("refer", (referral) => this.#goOn(call, referral));
    this.changed();
    return call;
  }

  /** We are asked to call somebody else. JsSIP has said 202 already, and reports in NOTIFY how it goes. */
  #goOn(call, { request, accept }) {
    const { interaction, peer } = call;
    const parent = parentIn(request.getHeader("traceparent"), request.getHeader("tracestate"));
    const span = this.#span(parent ?? call.span, interaction);
    const headers = this.#headers(span, interaction);
    // Whoever follows a REFER says on whose behalf (RFC 3892); JsSIP leaves that to us.
    if (request.hasHeader("Referred-By")) headers.push(`Referred-By: ${request.getHeader("Referred-By")}`);
    this.note(`transferred by ${peer}`);
    accept((session) => this.#follow(session, { span, interaction, peer: String(session.remote_identity.uri) }),
      { mediaConstraints: MEDIA, extraHeaders: headers });
  }

  #span(parent, interaction) {
    const span = new Span("call", parent);
    if (interaction) span.attributes["interaction.id"] = interaction;
    return span;
  }

  #headers(span, interaction) {
    return [...(interaction ? [`X-Interaction-ID: ${interaction}`] : []), ...(this.traced ? span.headers : [])];
  }
}

/** One call of the desk; `state` is for people. */
class Call {
  constructor(phone, session, { span, interaction, peer }) {
    Object.assign(this, { phone, session, span, interaction, peer, state: "calling" });
    session.on("progress", () => this.#is("ringing"));
    session.on("accepted", () => {
      this.#is("talking");
      this.#report("");
    });
    session.on("failed", ({ cause, message }) => {
      this.#is(`failed: ${cause}`);
      this.#report(`${message?.status_code ?? cause}`);
    });
    session.on("ended", ({ originator, cause }) => this.#is(`ended (${originator}: ${cause})`));
  }

  get over() {
    return this.session.isEnded();
  }

  get talking() {
    return this.session.isEstablished();
  }

  hangUp() {
    if (!this.over) this.session.terminate();
  }

  /** Send the other side on, to a URI, or with `other` to whom we have in that call; then both are on their own. */
  transfer(target, other = null) {
    const { note } = this.phone;
    const transfer = this.session.refer(target, { replaces: other?.session });
    transfer.on("requestFailed", ({ cause }) => note(`transfer refused: ${cause}`));
    transfer.on("progress", ({ status_line: { status_code: status } }) => note(`transfer: ${status}`));
    transfer.on("failed", ({ status_line: { status_code: status } }) => note(`transfer failed: ${status}`));
    transfer.on("accepted", () => {
      note("transfer completed");
      this.hangUp();
    });
  }

  #is(state) {
    this.state = state;
    this.phone.note(`${this.peer}: ${state}`);
    this.phone.changed();
  }

  /** The page's span ends with the answer, so that the trace has its root while people still talk. */
  #report(fault) {
    if (!this.phone.traced) return;
    this.span.end(fault).catch((error) => this.phone.note(`the page's span is lost: ${error.message}`));
  }
}
