# What the gateway's token may do, and nothing more. It reads the whole catalogue, because
# /get_service_instance may be asked for any service, and it writes one entry of it: its own.
#
#   consul acl policy create -name quaymaster-gateway -rules @consul/gateway-policy.hcl
#   consul acl token create -description "gateway" -policy-name quaymaster-gateway
#
# A token that can't read a service sees it as empty, with no error. So if you narrow the first rule
# to the services you route to, name every one of them, `quaymaster` too.

service_prefix "" {
  policy = "read"
}

# Health answers leave out every instance whose node the token can't read.
node_prefix "" {
  policy = "read"
}

# Registers, heartbeats and deregisters the gateway itself.
service "quaymaster" {
  policy = "write"
}
