"""What spans and SIP messages have in common; a new store is given it, and keeps to it."""

from __future__ import annotations

_MESSAGES = r"""
Proxy-Authenticate: [hidden]\nAuthorization: [hidden]\nDiversion: P-Asserted-Identity: Privacy:
Refer-To: <sip:Referred-By: <sip:Replaces: Target-Dialog: Event: refer\nSubscription-State: active;expires=
Subscription-State: terminated;reason=noresource\nSession-Expires: 1800;refresher=uac\nMin-SE: 90\n
Require: timer\nRAck: RSeq: Reason: Record-Route: <sip:;lr>\nRoute: <sip:;lr>\nServer: User-Agent:
Accept: application/sdp\nSupported: replaces, timer, 100rel\n
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, PRACK, UPDATE, SUBSCRIBE, MESSAGE\n
CANCEL sip:NOTIFY sip:REFER sip:SIP/2.0 202 Accepted\nSIP/2.0 404 Not Found\nSIP/2.0 486 Busy Here\n
SIP/2.0 487 Request Terminated\nSIP/2.0 503 Service Unavailable\nSIP/2.0 481 SIP/2.0 100 Trying\n
SIP/2.0 183 Session Progress\nSIP/2.0 180 Ringing\nSIP/2.0 200 OK\n
[body: 132 bytes, application/sdp]",0],[17,true,"UDP","TCP","127.0.0.1:5060","180 Ringing","200 OK","BYE",
"INVITE",1,0,"***@127.0.0.1","BYE sip:ACK sip:INVITE sip:***@127.0.0.1:5060 SIP/2.0\n
Via: SIP/2.0/TCP ;rport;received=Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK\nMax-Forwards: 70\n
From: *** <sip:***@127.0.0.1>;tag=\nTo: *** <sip:***@127.0.0.1>;tag=\nCall-ID: \nCSeq: 1 INVITE\n
CSeq: 1 ACK\nCSeq: 2 BYE\nContact: <sip:***@127.0.0.1:5060;transport=udp>\ntraceparent: 00--01\n
tracestate: Session-ID: ;remote=X-traceparent: Content-Type: application/sdp\nContent-Length: 0\n\n
"""

_CALLS = """
"links":["transferred":true,"transfers":1,"failed":true,"error":"timeout","outcome":"busy","cancelled","status":486,
"session_id":"","interaction_id":"","number":,"root_id":"","trace_id":"","began_ns":17,"state":"talking","over",
"sampled":true,"traces":[""],"sender":"***","receiver":"***","trunks":["",""],"call_keys":[,],"call_ids":["",""],
"answered_ns":17,"ended_ns":17,"outcome":"answered","status":200,"end":"caller_bye","setup_ms":,"talk_ms":,"spans":5}
"""

_SPANS = """
"sip.transfer":true,"sip.transfer.kind":"blind","attended","sip.transfer.mode":"relay","local",
"sip.transfer.outcome":"completed","sip.transfer.stage":"answered","failed","unreachable","unknown",
"error.type":"timeout","sip.trace.rejected":"","sip.trace.previous_id":"","sip.dialog.end":"transferred","lost"
"session.id":"","sip.peer.rtt_ms":,"user_agent.original":"","retransmission",17,{"sip.retransmissions":1}],["notify",17,
null],["outcome",17,null],["CANCEL",17,null],["487",17,null]],0,[],"
1,"","route","INTERNAL",17,17,false,{"sip.trunk":"",},[],0,[],"INVITE","SERVER",17,17,false,{"sip.request.method":
"INVITE","sip.call_id":"","sip.leg":"caller","sip.trunk":"","sip.trace.carrier":"none","traceparent",
"sip.trace.decision":"new","recovered","linked","adopted","sip.cseq":1,"sip.from.user":"***","sip.to.user":"***",
"sip.request_uri.user":"***","server.address":"","sip.response.status_code":200,"sip.setup.duration_ms":,
"network.transport":"udp","network.peer.address":"","network.peer.port":5060,"interaction.id":""},[["100",17,null],
["183",17,null],["180",17,null],["200",17,null],["ACK",17,null]],0,[],""],["INVITE","CLIENT",17,17,false,
{"sip.request.method":"INVITE","sip.call_id":"","sip.cseq":1,"sip.leg":"callee","sip.trunk":"","server.address":
"127.0.0.1","sip.proxy.delay_us":,"dialog","SERVER","dialog","CLIENT",17,17,false,{"sip.call_id":"","sip.leg":"callee",
"sip.leg":"caller","sip.trunk":"","sip.ring_ms":,"sip.dialog.end":"callee_bye","caller_bye","sip.talk_ms":,
"network.transport":"udp","network.peer.address":"127.0.0.1","network.peer.port":5060,"interaction.id":""},
[["BYE",17,null]],0,[],""]]
"""

DICTIONARY = (_MESSAGES + _CALLS + _SPANS).replace("\n", "").encode()
