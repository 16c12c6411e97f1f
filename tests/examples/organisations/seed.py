"""The endpoint list of the gateway of organisations, line by line, in an order in which each can be asked."""

from tests.examples.standins.walk import Line

TOKENS = {"access_token": str, "refresh_token": str, "token_type": "bearer", "expires_in": int}
USER = {"id": str, "email": str, "organizations": list}
ORG = {"id": str, "name": "Harbour", "members": int}
NEW = {"email": "new@example.com", "password": "correct horse"}

LINES = (
    # For everybody
    Line("POST", "/v1/client/sign-up", "public", 201, TOKENS, NEW),
    Line("POST", "/v1/client/sign-in/password", "public", 200, TOKENS, NEW,
         keep={"refresh": "refresh_token"}),
    Line("POST", "/v1/client/refresh_token", "public", 200, TOKENS, {"refresh_token": "{refresh}"},
         keep={"refresh": "refresh_token", "access": "access_token"}),
    Line("POST", "/v1/client/logout", "public", 200, {"message": "Logged out"},
         {"refresh_token": "{refresh}"}),
    # For users
    Line("GET", "/v1/client/me", "user", 200, USER | {"active_org": ...}, keep={"ada": "id"}),
    Line("POST", "/v1/org", "user", 201, ORG | TOKENS, {"name": "Harbour"}, keep={"id": "id"}, token="owner"),
    Line("PATCH", "/v1/client/switch-org", "user", 200, TOKENS | {"active_org": str}, {"org_id": "{id}"}),
    Line("GET", "/v1/org/{id}/members", "user", 200, {"members": [{"user_id": str, "role": "owner"}]}),
    Line("POST", "/v1/org/{id}/invite", "user", 201, {"invitation": str, "role": "member"},
         {"email": "bob@example.com"}, who="owner", keep={"invitation": "invitation"}),
    Line("POST", "/v1/invite/accept", "user", 200, {"org_id": str, "role": "member"},
         {"invitation": "{invitation}"}, who="bob"),
    Line("PATCH", "/v1/org/{id}/member/{user_id}/role", "user", 200, {"user_id": str, "role": "admin"},
         {"role": "admin"}, who="owner"),
    Line("DELETE", "/v1/org/{id}/member/{user_id}", "user", 204, who="owner"),
    # For services
    Line("GET", "/auth/validate", "internal", 200, {"active": True, "sub": str, "roles": ["owner"]},
         headers=("Authorization: Bearer {owner}",)),
    Line("GET", "/auth/user/{id}", "internal", 200, USER, target="/auth/user/{ada}"),
    Line("GET", "/auth/user/{id}/orgs", "internal", 200, {"organizations": [ORG | {"role": "owner"}]},
         target="/auth/user/{ada}/orgs"),
    Line("GET", "/auth/org/{id}", "internal", 200, ORG),
    Line("GET", "/auth/org/{id}/members", "internal", 200, {"members": [{"user_id": str, "role": "owner"}]}),
)  # fmt: skip

EVENTS = {
    "auth-events": {
        *("user_registered", "user_logged_in", "user_logged_out", "token_refreshed", "token_validated"),
    },
    "user-events": {
        *("user_info_requested", "organization_switched", "user_detail_requested", "user_orgs_requested"),
    },
    "organization-events": {
        *("organization_created", "user_invited", "invite_accepted"),
        *("members_listed", "member_removed", "member_role_updated"),
    },
}
"""The topics that the list names, with their events."""
