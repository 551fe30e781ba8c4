"""SIPp scenarios out of steps, so that a story says who does what and in which order.

    caller = Script("alice").calls().rings().answered().hangs_up()
    callee = Script("bob").is_called().rings().answers().is_hung_up_on()
    callee.write(folder)                     # the XML file for sipp.Role.plays

Unlike the shared scenarios, both sides obey and hand back route sets: there is somebody in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

_SDP = """\
      v=0
      o={who} {version} {version} IN IP[local_ip_type] [media_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio 40000 RTP/AVP 8
      a=label:{label}
"""
_TAG = ";tag={who}-[pid]-[call_number]"
_CALLED = "sip:[service]@[remote_ip]:[remote_port]"
_CONTACT = "Contact: <sip:{who}@[contact];transport=[transport]>"


class Script:
    """What one party sends and must hear; it is the caller if `calls` is its first step."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._steps: list[str] = []
        self._calling = False
        self._cseq = 0
        self._labels = 0
        self._heard_labels = 0

    # A call is set up

    def calls(self) -> Self:
        """INVITE."""
        self._calling = True
        return self._invite(_CALLED, headers="[headers]")

    def trying(self) -> Self:
        """Somebody has taken the INVITE in hand: 100."""
        return self._hears_status(100)

    def hears_it_ring(self) -> Self:
        """100, 180."""
        return self.trying()._hears_status(180)

    def hears_answer(self, by: str) -> Self:
        """200 with the SDP of `by`, and the ACK."""
        return self._hears_status(200, label=self._next_label(by), rrs=True)._sends_ack()

    def is_called(self, by: str) -> Self:
        """INVITE with the SDP of `by`."""
        label = self._next_label(by)
        noted = "".join(
            f'      <ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{variable}"/>\n'
            for header, variable in (("From", "remote"), ("To", "local"), ("CSeq", "number"))
        )
        return self._hears("request", "INVITE", label=label, rrs=True, noted=noted)

    def rings(self) -> Self:
        """180."""
        return self._responds("180 Ringing", tag=True, contact=True)

    def answers(self) -> Self:
        """200, and must hear the ACK."""
        self._responds("200 OK", tag=True, contact=True, sdp=True)
        return self._hears("request", "ACK")

    def refuses(self, status: str) -> Self:
        """A final response that is no success, and must hear the ACK."""
        return self._responds(status, tag=True, again=True)._hears("request", "ACK")

    def is_refused(self, status: int) -> Self:
        """That final response; the ACK goes the way of the INVITE."""
        self._hears_status(status)
        return self._sends("ACK", _CALLED, "invite", self._cseq, routes=False)

    # It is given up

    def gives_up(self) -> Self:
        """CANCEL, its 200 (which a proxy may let the 487 overtake), the 487 and the ACK."""
        self._sends("CANCEL", _CALLED, "invite", self._cseq, routes=False, tagged=False, again=True)
        return self._hears_status(200, optional=True).is_refused(487)

    def is_cancelled(self) -> Self:
        """CANCEL; answers it, and the INVITE with 487."""
        self._hears("request", "CANCEL")._responds("200 OK", tag=True)
        self._responds("487 Request Terminated", tag=True, again=True, cseq="CSeq:[$number]")
        return self._hears("request", "ACK")

    # It goes on

    def reinvites(self, other: str) -> Self:
        """INVITE inside the dialog, its 200 with the SDP of `other`, and the ACK."""
        self._invite("[next_url]")
        self._hears_status(100, optional=True)
        return self._hears_status(200, label=self._next_label(other))._sends_ack()

    def is_reinvited(self, by: str) -> Self:
        """INVITE inside the dialog; 200, and must hear the ACK."""
        self._hears("request", "INVITE", label=self._next_label(by))
        self._responds("200 OK", contact=True, sdp=True)
        return self._hears("request", "ACK")

    def waits_for_cue(self) -> Self:
        """An INFO from the prompter (see `prompter.cue`), who is no part of the call: not answered."""
        return self._hears("request", "INFO")

    # It ends

    def hangs_up(self) -> Self:
        """BYE and its 200."""
        self._cseq += 1
        return self._sends("BYE", "[next_url]", f"bye{self._cseq}", self._cseq, again=True)._hears_status(200)

    def is_hung_up_on(self) -> Self:
        """BYE; 200."""
        return self._hears("request", "BYE")._responds("200 OK")

    def write(self, folder: Path) -> Path:
        """The XML file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.who}.xml"
        labels = [f"heard{number}" for number in range(1, self._heard_labels + 1)]
        names = [] if self._calling else ["remote", "local", "number"]
        used = f'  <Reference variables="{",".join([*labels, *names])}"/>\n' if [*labels, *names] else ""
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        steps = "".join(self._steps)
        path.write_text(f'{head}<scenario name="{self.who}">\n{steps}{used}</scenario>\n', "utf-8")
        return path

    # How it is written down

    def _next_label(self, of: str) -> str:
        self._heard_labels += 1
        return f"{of}-{self._heard_labels}"

    def _hears_status(
        self, status: int, *, label: str = "", rrs: bool = False, optional: bool = False
    ) -> Self:
        return self._hears("response", str(status), label=label, rrs=rrs, optional=optional)

    def _hears(
        self,
        kind: str,
        what: str,
        *,
        label: str = "",
        rrs: bool = False,
        optional: bool = False,
        noted: str = "",
    ) -> Self:
        flags = (' rrs="true"' if rrs else "") + (' optional="true"' if optional else "")
        if label:
            check = f'regexp="a=label:{label}" search_in="body" check_it="true"'
            noted += f'      <ereg {check} assign_to="heard{self._heard_labels}"/>\n'
        actions = f"    <action>\n{noted}    </action>\n" if noted else ""
        self._steps.append(f'  <recv {kind}="{what}"{flags}>\n{actions}  </recv>\n')
        return self

    def _invite(self, uri: str, headers: str = "") -> Self:
        self._cseq += 1
        new = uri == _CALLED
        return self._sends(
            "INVITE",
            uri,
            "invite" if new else f"reinvite{self._cseq}",
            self._cseq,
            headers=headers,
            tagged=not new,
            routes=not new,
            sdp=True,
            again=True,
        )

    def _sends_ack(self) -> Self:
        return self._sends("ACK", "[next_url]", f"ack{self._cseq}", self._cseq)

    def _sends(
        self,
        method: str,
        uri: str,
        branch: str,
        cseq: int,
        *,
        headers: str = "",
        tagged: bool = True,
        routes: bool = True,
        sdp: bool = False,
        again: bool = False,
    ) -> Self:
        if self._calling:
            own = f"From: <sip:{self.who}@[local_ip]:[local_port]>" + _TAG.format(who=self.who)
            peer = f"To: <{_CALLED}>" + ("[peer_tag_param]" if tagged else "")
        else:
            own, peer = "From:[$local]" + _TAG.format(who=self.who), "To:[$remote]"
        via = "Via: SIP/2.0/[transport] [local_ip]:[local_port]"
        rows = [f"{method} {uri} SIP/2.0", f"{via};branch=z9hG4bK-[pid]-[call_number]-{branch};rport"]
        rows += ["[routes]"] if routes else []
        rows += ["Max-Forwards: 70", own, peer, "Call-ID: [call_id]", f"CSeq: {cseq} {method}"]
        rows += [_CONTACT.format(who=self.who)] if method == "INVITE" else []
        rows += [headers] if headers else []
        return self._message(rows, sdp=sdp, again=again)

    def _responds(
        self,
        status: str,
        *,
        tag: bool = False,
        contact: bool = False,
        sdp: bool = False,
        again: bool = False,
        cseq: str = "[last_CSeq:]",
    ) -> Self:
        to = "[last_To:]" + (_TAG.format(who=self.who) if tag else "")
        rows = [f"SIP/2.0 {status}", "[last_Via:]", "[last_From:]", to, "[last_Call-ID:]", cseq]
        rows += ["[last_Record-Route:]", _CONTACT.format(who=self.who)] if contact else []
        return self._message(rows, sdp=sdp, again=again or sdp)

    def _message(self, rows: list[str], *, sdp: bool, again: bool) -> Self:
        body = ""
        if sdp:
            self._labels += 1
            body = _SDP.format(who=self.who, version=self._labels, label=f"{self.who}-{self._labels}")
            rows += ["Content-Type: application/sdp", "Content-Length: [len]"]
        else:
            rows += ["Content-Length: 0"]
        text = "".join(f"      {row}\n" for row in rows)
        retrans = ' retrans="500"' if again else ""
        self._steps.append(f"  <send{retrans}>\n    <![CDATA[\n\n{text}\n{body}\n    ]]>\n  </send>\n")
        return self
