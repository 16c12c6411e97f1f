# A Consul server: three of these keep the catalogue, and one may be lost at any time.
# Start it with what differs from machine to machine:
#
#   consul agent -config-file=/etc/consul.d/server.hcl -config-file=/etc/consul.d/gossip.hcl \
#       -node=consul-1 -bind=10.0.0.11
#
# Every key here is one that Consul 1.8 and today's releases both take.

datacenter = "dc1"
data_dir   = "/var/lib/consul"
log_level  = "INFO"
log_json   = true

server           = true
bootstrap_expect = 3
retry_join       = ["consul-1.internal", "consul-2.internal", "consul-3.internal"]

# The HTTP API only for programs on this machine; others ask the agent on theirs.
client_addr = "127.0.0.1"

# A server that is restarted must stay a member: leaving shrinks the quorum.
leave_on_terminate = false

# Consul's default of 5 is for small machines: a lost leader would take three times as long to replace.
performance {
  raft_multiplier = 1
}

# Deny what no token allows. Without this whoever reaches an agent can register an address and have
# the gateway send calls there.
acl {
  enabled        = true
  default_policy = "deny"
  # While the servers can't be asked, agents go on with the answers they remember.
  down_policy              = "extend-cache"
  enable_token_persistence = true
}

# Whoever may register a service must not thereby run commands on this machine.
enable_script_checks       = false
enable_local_script_checks = false
disable_remote_exec        = true
disable_update_check       = true
