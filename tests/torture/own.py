"""Torture messages of our own, of the kinds that RFC 4475 and RFC 5118 hold, and what each earns.

Each is one sound message with a part exchanged, so what is wrong with it, or merely odd, can be seen at once.
"""

from __future__ import annotations

from tests.torture.sample import SDP, Own, invite, other


def _case(name: str, data: bytes, *outcomes: str) -> Own:
    return Own(name, data, outcomes)


_LONG = "x" * 4000

MESSAGES = [
    # Odd, and sound
    _case(
        "every header folded",
        invite(
            From="From:\r\n Alice\r\n\t<sip:alice@example.com>\r\n ;tag=a1",
            CSeq="CSeq:\r\n 1\r\n INVITE",
            To="To :\r\n <sip:bob@example.com>",
        ),
        "forward",
    ),
    _case(
        "compact forms in both cases",
        invite(
            Via="v: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKown",
            From="F: <sip:alice@example.com>;tag=a1",
            To="t: <sip:bob@example.com>",
            Call_ID="I: own",
            Contact="m: <sip:alice@192.0.2.99>",
            Content_Length=f"l:{len(SDP)}",
        ),
        "forward",
    ),
    _case(
        "blanks inside Via",
        invite(Via="Via: SIP / 2.0 / UDP   192.0.2.99 : 5060 ; branch = z9hG4bKown"),
        "forward",
    ),
    _case(
        "quotes, commas and semicolons in a display name",
        invite(From='From: "Smith, \\"Al\\"; <x>" <sip:alice@example.com>;tag=a1'),
        "forward",
    ),
    _case("no blank before the bracket", invite(From="From: Alice<sip:alice@example.com>;tag=a1"), "forward"),
    _case(
        "UTF-8 in a display name without quotes",
        invite(From="From: Zoë <sip:zoe@example.com>;tag=a1"),
        "forward",
    ),
    _case("an unknown header like broken parameters", invite('X-Odd: ;;,,;=;"<>'), "forward"),
    _case("escapes in the user part", invite(start="INVITE sip:b%6fb%3b%00@example.com SIP/2.0"), "forward"),
    _case("a password", invite(start="INVITE sip:bob:se%20cret@example.com SIP/2.0"), "forward"),
    _case(
        "a semicolon and a question mark in the user part",
        invite(start="INVITE sip:a;b=c?d@example.com SIP/2.0"),
        "forward",
    ),
    _case("a tel URI", invite(start="INVITE tel:+4930123;phone-context=example.com SIP/2.0"), "forward"),
    _case("SIPS and an odd-cased scheme", invite(To="To: <SIP:bob@EXAMPLE.com>"), "forward"),
    _case(
        "IPv6 in Via, Contact and Request-URI",
        invite(
            start="INVITE sip:bob@[2001:db8::1]:5070 SIP/2.0",
            Via="Via: SIP/2.0/UDP [2001:DB8::9]:5060;branch=z9hG4bKown",
            Contact="Contact: <sip:alice@[2001:db8::9]>",
        ),
        "forward",
    ),
    _case(
        "an IPv4 address inside IPv6 with three colons",
        invite(Contact="Contact: <sip:a@[2001:db8:::192.0.2.1]>"),
        "forward",
        "400",
    ),
    _case(
        "long values",
        invite(From=f"From: <sip:{_LONG}@example.com>;tag={_LONG}", Call_ID=f"Call-ID: {_LONG}"),
        "forward",
    ),
    _case(
        "many Via values in one line",
        invite(
            Via="Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKown, "
            + ", ".join(f"SIP/2.0/UDP h{n};branch=z9hG4bK{n}" for n in range(60))
        ),
        "forward",
    ),
    _case(
        "a transport nobody knows below the top Via",
        invite("Via: SIP/2.0/PIGEON roof.example.com;branch=z9hG4bKp"),
        "forward",
    ),
    _case("a hop below the top Via that is broken", invite("Via: nonsense"), "forward", "400"),
    _case("a lower-case method is a method of its own", other("invite"), "forward", "405", "501"),
    _case("a method of every mark", other("!%*_+`'~.-A"), "forward", "405", "501"),
    _case("noise behind Content-Length", invite(body=SDP + b"INVITE sip:x SIP/2.0\r\n"), "forward"),
    _case(
        "a body of all octets",
        invite(Content_Length="Content-Length: 256", body=bytes(range(256))),
        "forward",
    ),
    _case("no Content-Length in a datagram", invite(Content_Length=None), "forward"),
    _case("leading zeros", invite(Max_Forwards="Max-Forwards: 0000069", CSeq="CSeq: 0001 INVITE"), "forward"),
    _case("blank lines before the message", b"\r\n\r\n" + invite(), "forward"),
    _case(
        "no From tag, no branch, no Contact",
        invite(From="From: sip:alice@example.com", Contact=None, Via="Via: SIP/2.0/UDP 192.0.2.99"),
        "forward",
        "400",
    ),
    _case(
        "a branch that is the bare cookie",
        invite(Via="Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK"),
        "forward",
        "400",
    ),
    _case("an invalid Date", invite("Date: Fri, 01 Jan 2010 16:00:00 EST"), "forward", "400"),
    _case(
        "maddr and a received that lies",
        invite(Via="Via: SIP/2.0/UDP h;maddr=255.255.255.255;received=203.0.113.2;branch=z9hG4bKown"),
        "forward",
    ),
    _case(
        "a Contact that no one can reach",
        invite(Contact="Contact: <sip:alice@999.999.999.999>"),
        "forward",
        "400",
    ),
    _case(
        "a Contact for a transport that no socket of ours speaks",
        invite(Contact="Contact: <sip:alice@192.0.2.99;transport=sctp>"),
        "forward",
        "400",
    ),
    _case(
        "a Contact of another scheme", invite(Contact="Contact: <mailto:alice@example.com>"), "forward", "400"
    ),
    _case("a Record-Route without lr", invite("Record-Route: <sip:192.0.2.98>"), "forward"),
    _case(
        "no Contact, and brackets in the display name",
        invite(From='From: "a <x>" <sip:alice@192.0.2.99>;tag=a1', Contact=None),
        "forward",
        "400",
    ),
    # Broken
    _case(
        "empty Via parameters", invite(Via="Via: SIP/2.0/UDP 192.0.2.99;;branch=z9hG4bKown;"), "400", "drop"
    ),
    _case("Content-Length too large", invite(Content_Length="Content-Length: 9999"), "400", "drop"),
    _case("Content-Length negative", invite(Content_Length="Content-Length: -1"), "400", "drop"),
    _case(
        "Content-Length with a fold inside", invite(Content_Length="Content-Length: 1\r\n 0"), "400", "drop"
    ),
    _case("two Content-Length", invite("l: 3"), "400", "drop"),
    _case("CSeq over 32 bits", invite(CSeq="CSeq: 4294967296 INVITE"), "400"),
    _case("CSeq in other digits", invite(CSeq="CSeq: \u0661 INVITE"), "400"),
    _case("CSeq of another method", invite(CSeq="CSeq: 1 OPTIONS"), "400"),
    _case("Max-Forwards without a number", invite(Max_Forwards="Max-Forwards: many"), "400"),
    _case("Max-Forwards of zero", invite(Max_Forwards="Max-Forwards: 0"), "483"),
    _case("a quote that never ends", invite(From='From: "Alice <sip:alice@example.com>;tag=a1'), "400"),
    _case("a quote that never ends in a tag", invite(From='From: <sip:alice@example.com>;tag="a1'), "400"),
    _case("an empty tag", invite(From="From: <sip:alice@example.com>;tag="), "400", "forward"),
    _case(
        "brackets around the Request-URI",
        invite(start="INVITE <sip:bob@example.com> SIP/2.0"),
        "400",
        "forward-repaired",
    ),
    _case(
        "a blank inside the Request-URI",
        invite(start="INVITE sip:bob@example.com; lr SIP/2.0"),
        "400",
        "forward-repaired",
    ),
    _case("a tab in the request line", invite(start="INVITE\tsip:bob@example.com SIP/2.0"), "400", "drop"),
    _case(
        "two blanks in the request line",
        invite(start="INVITE  sip:bob@example.com SIP/2.0"),
        "400",
        "forward-repaired",
    ),
    _case(
        "a blank behind the request line",
        invite(start="INVITE sip:bob@example.com SIP/2.0 "),
        "400",
        "forward-repaired",
    ),
    _case("no version", invite(start="INVITE sip:bob@example.com"), "400", "drop"),
    _case("a later version", invite(start="INVITE sip:bob@example.com SIP/7.0"), "505"),
    _case(
        "headers in the Request-URI",
        invite(start="INVITE sip:bob@example.com?Route=%3Csip:evil%3E SIP/2.0"),
        "400",
        "forward-repaired",
    ),
    _case("an unknown scheme", invite(start="INVITE isbn:2983792873 SIP/2.0"), "416", "404"),
    _case("IPv6 without brackets", invite(start="INVITE sip:bob@2001:db8::1 SIP/2.0"), "400"),
    _case("a port that is none", invite(start="INVITE sip:bob@example.com:65536 SIP/2.0"), "400"),
    _case(
        "a colon without a port",
        invite(start="INVITE sip:bob@example.com: SIP/2.0"),
        "400",
        "forward-repaired",
    ),
    _case("no host", invite(start="INVITE sip:bob@ SIP/2.0"), "400"),
    _case("no Call-ID", invite(Call_ID=None), "400", "drop"),
    _case("an empty Call-ID", invite(Call_ID="Call-ID:"), "400", "drop"),
    _case("no Via", invite(Via=None), "400", "drop"),
    _case("two To", invite("t: <sip:carol@example.com>"), "400"),
    _case("a line without a colon", invite("Nonsense"), "400", "drop"),
    _case("a name with a blank inside", invite("X Y: z"), "400", "drop"),
    _case(
        "a fold right behind the request line",
        invite(start="INVITE sip:bob@example.com SIP/2.0\r\n folded"),
        "400",
        "drop",
    ),
    _case("a bare LF between headers", invite("X: y\nZ: w"), "400", "drop", "forward-repaired"),
    _case("no end of the headers", invite(body=b"")[:-2], "400", "drop"),
    _case("more headers than we take", invite(*(f"X-{n}: y" for n in range(300))), "400", "513"),
    _case(
        "what we do not support is required", invite("Require: teleport", "Proxy-Require: levitate"), "420"
    ),
    _case("a RAck that is none", invite("RAck: nonsense"), "forward", "400"),
    _case(
        "two Contacts in a call",
        invite(Contact="Contact: <sip:a@192.0.2.99>, <sip:b@192.0.2.99>"),
        "forward",
        "400",
    ),
    _case("a Contact of a star in a call", invite(Contact="Contact: *"), "400"),
    _case("a Contact with a blank inside", invite(Contact="Contact: <sip:al ice@192.0.2.99>"), "400"),
    _case("a Record-Route that is no address", invite("Record-Route: <nonsense"), "400"),
    _case("a Record-Route that is no URI", invite("Record-Route: <sip:[broken>"), "400"),
    _case("a BYE outside of any dialog", other("BYE", To="To: <sip:bob@example.com>;tag=gone"), "481"),
    _case("an ACK for nothing", other("ACK", To="To: <sip:bob@example.com>;tag=gone"), "drop"),
    _case("a CANCEL for nothing", other("CANCEL"), "481"),
    _case("a broken ACK", other("ACK", CSeq="CSeq: x ACK"), "drop"),
    # Responses that nobody waits for
    _case("a stray 200", other("OPTIONS", start="SIP/2.0 200 OK"), "drop"),
    _case("a response without a reason", other("OPTIONS", start="SIP/2.0 200 "), "drop"),
    _case("a response without even the blank", other("OPTIONS", start="SIP/2.0 200"), "drop"),
    _case("an enormous status", other("OPTIONS", start="SIP/2.0 4294967396 Big"), "drop"),
    _case("a status of one digit", other("OPTIONS", start="SIP/2.0 9 Small"), "drop"),
    _case("a status above 699", other("OPTIONS", start="SIP/2.0 700 Beyond"), "drop"),
    _case(
        "a response with broken numbers",
        other("OPTIONS", start="SIP/2.0 200 OK", CSeq="CSeq: 99999999999 X"),
        "drop",
    ),
    # Not SIP at all
    _case("nothing", b"", "drop"),
    _case("a keep-alive", b"\r\n\r\n", "drop"),
    _case("four NULs", b"\0\0\0\0", "drop"),
    _case("a STUN binding request", bytes.fromhex("000100002112a442") + bytes(12), "drop"),
    _case("an HTTP request", b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "drop"),
    _case("all octets", bytes(range(256)), "drop"),
    _case("line ends and nothing else", b"\r\n" * 2000, "drop"),
]
