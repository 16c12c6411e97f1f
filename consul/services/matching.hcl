# A service that reports its own health: `quaymaster register` and the Python helper
# registry.runtime.registration.register work this way, so they need no such file. By hand:
#
#   curl -X PUT http://127.0.0.1:8500/v1/agent/check/pass/matching-1-ttl      # at least every 10 s

service {
  id      = "matching-1"
  name    = "matching"
  address = "10.0.0.22"
  port    = 9101

  weights {
    passing = 1
    warning = 1
  }

  checks = [
    {
      id   = "matching-1-ttl"
      name = "says it is alive"
      ttl  = "10s"

      deregister_critical_service_after = "5m"
    },
  ]
}
