"""`sipproxy probe`: what is left of the trace behind a session border controller, or a load balancer.

The probe is at both ends. It sends along a path that leads back to itself, and compares what arrives with
what it sent, carrier by carrier:

    messages, agent, callee           SIP: calls and a transfer, on the proxy's own SIP core
    wire, placing                     its sockets, and the order of the calls
    http_wire, asking                 HTTP requests
    fates                             what became of one carrier
    *_verdict, trouble, advice        what follows from it, and what to switch on for this peer
    report, command                   the table, the JSON, the command line
"""
