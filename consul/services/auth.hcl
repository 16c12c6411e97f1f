# A service that knows nothing of Consul: the agent asks it over HTTP.
# `consul services register consul/services/auth.hcl`, or put the file into the agent's -config-dir.

service {
  id   = "auth-1"
  name = "auth"
  # The address the gateway calls. Left out, it is that of this agent's machine.
  address = "10.0.0.21"
  port    = 9001
  tags    = ["v1"]

  # An instance with weight 2 gets twice the calls of one with weight 1. `warning` holds while a check
  # warns, which over HTTP means that it answers 429.
  weights {
    passing = 2
    warning = 1
  }

  checks = [
    {
      id       = "auth-1-live"
      name     = "answers /health"
      http     = "http://10.0.0.21:9001/health"
      interval = "2s"
      timeout  = "1s"

      # Critical for so long, it is removed. Long enough for a restart: removal is not what stops
      # calls, the failed check is.
      deregister_critical_service_after = "5m"
    },
  ]
}
