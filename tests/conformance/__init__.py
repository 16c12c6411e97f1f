"""Black-box tests of the gateway over real sockets: public conformance cases, fuzz, named faults, leaks."""
