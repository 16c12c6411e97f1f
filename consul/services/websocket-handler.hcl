# A WebSocket handler without Quaymaster's SDK. It is handed out and counted by reservations alone; a
# handler with the SDK registers itself and reports its true number of connections.

service {
  id      = "wsh-1"
  name    = "websocket-handler"
  address = "10.0.0.31"
  port    = 8001

  # What the gateway reads: where clients connect (not the address above, which is for machines), the
  # path of the WebSocket, and how many clients at once.
  meta = {
    public_url = "https://ws1.example.com"
    path       = "/ws"
    capacity   = "1000"
  }

  weights {
    passing = 1
    warning = 1
  }

  checks = [
    {
      id       = "wsh-1-live"
      name     = "answers /health"
      http     = "http://10.0.0.31:8001/health"
      interval = "1s"
      timeout  = "1s"

      deregister_critical_service_after = "5m"
    },
  ]
}
