# A Consul client: one on every machine that runs a gateway, a service or a handler. Programs talk to
# the agent at 127.0.0.1:8500; it runs their checks and survives a restart of the servers.
#
#   consul agent -config-file=/etc/consul.d/client.hcl -config-file=/etc/consul.d/gossip.hcl \
#       -config-dir=/etc/consul.d/services -node=app-1 -bind=10.0.0.21 -node-meta=zone:a
#
# The zone is where this machine is: gateways with the same `zone` prefer the instances here. An instance
# that has a `zone` in its own meta goes by that. Leave it out where there is only one.
#
# Every key here is one that Consul 1.8 and today's releases both take.

datacenter = "dc1"
data_dir   = "/var/lib/consul"
log_level  = "INFO"
log_json   = true

server      = false
retry_join  = ["consul-1.internal", "consul-2.internal", "consul-3.internal"]
client_addr = "127.0.0.1"

# A machine that shuts down tells the others at once, so that nothing is sent to it any more. One that
# dies instead is noticed by gossip after some seconds.
leave_on_terminate = true

acl {
  enabled        = true
  default_policy = "deny"
  # While the servers can't be asked, this agent goes on with the answers it remembers.
  down_policy              = "extend-cache"
  enable_token_persistence = true
}

# A gateway keeps one connection open for each service it watches. Consul's default of 200 is the
# limit of all programs with the same source address together.
limits {
  http_max_conns_per_client = 500
}

# Whoever may register a service must not thereby run commands on this machine.
enable_script_checks       = false
enable_local_script_checks = false
disable_remote_exec        = true
disable_update_check       = true
